// Package attest makes what is attached to a published index, so that others
// can tell where it comes from, and checks it: who signed the index and its
// images, from which commit and inputs they were built, what they hold, what
// was proven of them.
//
// The formats are those that others read: signatures as cosign writes them
// (sigstore bundles as OCI referrers, and the tag sha256-….sig that podman and
// older programs look for), provenance as an in-toto statement of SLSA v1,
// lists of packages as SPDX and CycloneDX. The provenance names each other
// document by its digest: who trusts its signature can trust them.
package attest
