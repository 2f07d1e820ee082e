// Package registry assembles the multi-arch index, keeps it as an OCI layout
// and publishes it so that a tag never points at anything incomplete.
//
// Publishing goes through the same steps everywhere: blobs and manifests of
// all platforms to all registries, the index by its digest, everything pulled
// back and compared, and only then the tags.
package registry
