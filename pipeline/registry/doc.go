// Package registry assembles the multi-arch index, stores it as an OCI layout
// and publishes it. A tag never points at incomplete content.
//
// Publishing has three phases. Each completes at every registry before the next
// begins: first the blobs, the manifests, the index and its attachments are pushed
// by digest, pulled back and compared; then version tags are set; then "latest".
package registry
