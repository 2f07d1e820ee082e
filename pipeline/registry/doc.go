// Package registry assembles the multi-arch index, keeps it as an OCI layout
// and publishes it so that a tag never points at anything incomplete.
//
// Publishing has phases, each finished at every registry before the next begins:
// blobs, manifests, the index and what is attached to it, by digest, all of it
// pulled back and compared; then the tags that name a version; then "latest".
package registry
