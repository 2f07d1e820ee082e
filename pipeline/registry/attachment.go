package registry

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Attachment is what is attached to a published index or to one of its images:
// a list of packages, a provenance, a signature. It is a manifest of its own
// that names its subject (OCI 1.1), never an entry of the index, where clients
// would take it for the image of an unknown platform.
//
// The same index must get the same attachments, to the byte: publishing
// again sends what is not there yet.
type Attachment struct {
	Subject v1.Hash  // of the index or of one of its images
	Image   v1.Image // the manifest and its blobs
	// Tag is where clients look that know no referrers, as cosign does for
	// "sha256-….sig". Without one the manifest has to name its subject.
	Tag string
}

// Document is what Attach attaches.
type Document struct {
	Type        string // of Data, and what is attached: a media type
	Data        []byte
	Annotations map[string]string // of the manifest; listed with the referrers
}

// The configuration of a manifest that has none (OCI 1.1, "Guidance
// for an empty descriptor").
const (
	emptyConfig     = "{}"
	emptyConfigType = "application/vnd.oci.empty.v1+json"
)

// Attach makes a document an attachment of idx or of one of its images.
func Attach(idx v1.ImageIndex, subject v1.Hash, doc Document) (Attachment, error) {
	whole, err := partial.Descriptor(idx)
	if err != nil {
		return Attachment{}, fmt.Errorf("reading the index: %w", err)
	}
	manifest, err := idx.IndexManifest()
	if err != nil {
		return Attachment{}, fmt.Errorf("reading the index: %w", err)
	}
	all := append([]v1.Descriptor{*whole}, manifest.Manifests...)
	at := slices.IndexFunc(all, func(d v1.Descriptor) bool { return d.Digest == subject })
	if at < 0 {
		return Attachment{}, fmt.Errorf("attach a document of type %s: the index has no %s", doc.Type, subject)
	}
	layer := static.NewLayer(doc.Data, types.MediaType(doc.Type))
	config, err := partial.Descriptor(static.NewLayer([]byte(emptyConfig), emptyConfigType))
	if err != nil {
		return Attachment{}, err
	}
	data, err := partial.Descriptor(layer)
	if err != nil {
		return Attachment{}, err
	}
	raw, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: doc.Type,
		Config: *config, Layers: []v1.Descriptor{*data}, Annotations: doc.Annotations,
		Subject: &v1.Descriptor{MediaType: all[at].MediaType, Size: all[at].Size, Digest: subject},
	})
	if err != nil {
		return Attachment{}, fmt.Errorf("attach a document of type %s: %w", doc.Type, err)
	}
	img, err := partial.CompressedToImage(document{raw, layer})
	if err != nil {
		return Attachment{}, fmt.Errorf("attach a document of type %s: %w", doc.Type, err)
	}
	return Attachment{Subject: subject, Image: img}, nil
}

// ArtifactType is what an attachment is. As OCI 1.0 knows it, it has its type
// where others have that of their configuration.
func ArtifactType(m *v1.Manifest) string {
	return cmp.Or(m.ArtifactType, string(m.Config.MediaType))
}

// document is the core of an image that has one layer and no configuration.
type document struct {
	manifest []byte
	layer    partial.CompressedLayer
}

func (d document) RawManifest() ([]byte, error)        { return d.manifest, nil }
func (d document) RawConfigFile() ([]byte, error)      { return []byte(emptyConfig), nil }
func (d document) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }
func (d document) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	if digest, err := d.layer.Digest(); err != nil || h != digest {
		return nil, fmt.Errorf("the attachment has no blob %s", h)
	}
	return d.layer, nil
}
