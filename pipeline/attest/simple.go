package attest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// Simple signing is the older format, which podman, skopeo and older versions of
// cosign read: the image with the tag sha256-….sig has a layer for each payload,
// with the signature in an annotation (cosign, specs/SIGNATURE_SPEC.md).
const (
	simpleType        = "application/vnd.dev.cosign.simplesigning.v1+json"
	simpleSignature   = "dev.cosignproject.cosign/signature"
	simplePayloadType = "cosign container image signature"
	maxSimpleLayers   = 100
)

// simplePayload is the payload that is signed.
type simplePayload struct {
	Critical struct {
		Identity struct {
			Reference string `json:"docker-reference"` // repository
		} `json:"identity"`
		Image struct {
			Digest string `json:"docker-manifest-digest"`
		} `json:"image"`
		Type string `json:"type"`
	} `json:"critical"`
	Optional any `json:"optional"`
}

// simpleTag returns the tag of the image with the signatures of a digest.
func simpleTag(digest v1.Hash) string { return digest.Algorithm + "-" + digest.Hex + ".sig" }

// signSimple returns an image with the key's signatures of a digest, one for each
// repository that it is published in, because podman compares the repository.
func (k *Key) signSimple(digest v1.Hash, repositories []string) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, repository := range repositories {
		var s simplePayload
		s.Critical.Identity.Reference = repository
		s.Critical.Image.Digest = digest.String()
		s.Critical.Type = simplePayloadType
		var signature []byte
		payload, err := json.Marshal(s)
		if err == nil {
			signature, err = k.sign(payload)
		}
		if err == nil {
			img, err = mutate.Append(img, mutate.Addendum{
				Layer:       static.NewLayer(payload, simpleType),
				Annotations: map[string]string{simpleSignature: base64.StdEncoding.EncodeToString(signature)},
			})
		}
		if err != nil {
			return nil, fmt.Errorf("sign %s with %s: %w", digest, k, err)
		}
	}
	return img, nil
}

// readSimple reads an image of signatures. It returns their number, and whether one
// of them is by the required key. All must be signatures of digest.
func readSimple(ctx context.Context, img v1.Image, digest v1.Hash, required Verifier) (signatures int, ours bool, err error) {
	manifest, err := img.Manifest()
	if err != nil {
		return 0, false, fmt.Errorf("its manifest cannot be read: %w", err)
	}
	signatures = len(manifest.Layers)
	if signatures == 0 || signatures > maxSimpleLayers {
		return 0, false, fmt.Errorf("it holds %d signatures", signatures)
	}
	if err := registry.CopyBlob(ctx, img, manifest.Config, io.Discard); err != nil {
		return 0, false, err
	}
	key, isKey := required.(PublicKey)
	for _, described := range manifest.Layers {
		if described.MediaType != simpleType {
			return 0, false, fmt.Errorf("it holds something that is no signature, of type %q", described.MediaType)
		}
		payload, err := registry.ReadBlob(ctx, img, described)
		if err != nil {
			return 0, false, err
		}
		var s simplePayload
		if err := json.Unmarshal(payload, &s); err != nil {
			return 0, false, fmt.Errorf("what is signed is damaged: %w", err)
		}
		if s.Critical.Type != simplePayloadType || s.Critical.Image.Digest != digest.String() {
			return 0, false, fmt.Errorf("it is of %q (%s)", s.Critical.Image.Digest, s.Critical.Type)
		}
		signature, err := base64.StdEncoding.DecodeString(described.Annotations[simpleSignature])
		if err != nil {
			return 0, false, fmt.Errorf("its signature is damaged: %w", err)
		}
		ours = ours || isKey && key.hasSigned(payload, signature)
	}
	return signatures, ours, nil
}

// digestOf returns the SHA-256 digest of text.
func digestOf(text []byte) v1.Hash {
	sum := sha256.Sum256(text)
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
}
