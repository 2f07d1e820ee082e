// Package attest creates and verifies the documents attached to a published
// index: who signed the index and its images, from which commit and inputs they
// were built, what they contain, and what their check found.
//
// The formats are those of other tools: signatures as cosign writes them
// (sigstore bundles as OCI referrers, and the tag sha256-….sig that podman and
// older programs look for), provenance as an in-toto statement of SLSA v1,
// lists of packages as SPDX and CycloneDX. The provenance names every other
// document by its digest, so its signature covers them too.
package attest
