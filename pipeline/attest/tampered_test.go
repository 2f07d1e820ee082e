package attest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/attest/attesttest"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// The registry damages every attachment in turn.
func TestAFlippedBitInAnyAttachmentIsFound(t *testing.T) {
	reg, key := newServer(t), attesttest.Key(t)
	idx, images := index(t)
	reg.publish(t, idx, release(t, idx, key, "r/n").Attach)
	whole, err := idx.Digest()
	must(t, err)
	subjects := map[string]v1.Hash{"index": whole}
	for _, img := range images {
		digest, err := img.Image.Digest()
		must(t, err)
		subjects[registry.Key(img.Platform)] = digest
	}
	tried := 0
	for of, subject := range subjects {
		for blob, manifest := range reg.attached(t, subject) {
			tried++
			what := manifest.ArtifactType + string(manifest.Layers[0].MediaType)
			t.Run(fmt.Sprint(of, " ", what), func(t *testing.T) {
				reg.flip(blob)
				defer func() { reg.flipped = map[v1.Hash]bool{} }()
				result := reg.verify(t, policy(key.PublicKey))
				if result.Err() == nil {
					t.Fatalf("nothing was found:\n%s", printed(t, result))
				}
				if !slices.ContainsFunc(result.Lines, func(l attest.Line) bool {
					return l.Verdict == attest.Wrong && l.Of == of && strings.Contains(l.Text, blob.String())
				}) {
					t.Errorf("no line names %s of %s:\n%s", blob, of, printed(t, result))
				}
			})
		}
	}
	if tried != 12+2*8 {
		t.Errorf("%d attachments were spoiled", tried)
	}
	must(t, reg.verify(t, policy(key.PublicKey)).Err())
}

// Someone who may push, but does not have the key, changes a published release.
func TestTamperingFailsVerifyWithALineThatNamesIt(t *testing.T) {
	type world struct {
		*testing.T
		*server
		key   *attest.Key
		idx   v1.ImageIndex
		whole v1.Hash
		of    map[string]v1.Hash
	}
	// replace replaces the content of a subject's attachments of one type.
	replace := func(w world, subject v1.Hash, kind string, change func([]byte) []byte) {
		for _, manifest := range w.attached(w.T, subject) {
			if manifest.ArtifactType != kind {
				continue
			}
			layer, err := remote.Layer(w.repository(w.T).Digest(manifest.Layers[0].Digest.String()))
			must(w.T, err)
			rc, err := layer.Compressed()
			must(w.T, err)
			var text bytes.Buffer
			_, err = text.ReadFrom(rc)
			must(w.T, err)
			must(w.T, remote.Delete(w.repository(w.T).Digest(digestOf(w.T, manifest).String())))
			w.attach(w.T, w.idx, subject, registry.Document{Type: kind, Data: change(text.Bytes()), Annotations: manifest.Annotations})
		}
	}
	// misplace attaches the list of the amd64 image to the other one.
	misplace := func(w world, kind string) {
		for _, d := range release(w.T, w.idx, nil).Documents {
			if d.Platform == "linux/amd64" && d.Type == kind {
				w.attach(w.T, w.idx, w.of["linux/arm64"], registry.Document{Type: d.Type, Data: d.Text,
					Annotations: map[string]string{"org.opencontainers.image.title": d.Name}})
			}
		}
	}
	const bundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
	swap := func(old, new string) func([]byte) []byte {
		return func(text []byte) []byte { return bytes.ReplaceAll(text, []byte(old), []byte(new)) }
	}
	retag := func(w world, idx v1.ImageIndex) {
		must(w.T, remote.WriteIndex(w.repository(w.T).Tag("latest"), idx))
	}
	for name, c := range map[string]struct {
		tamper   func(w world)
		verdict  attest.Verdict
		of, what string
		parts    []string
	}{
		"a package is taken off a list": {
			func(w world) { replace(w, w.of["linux/amd64"], sbom.SPDXType, swap("nginx", "nothing")) },
			attest.Wrong, "linux/amd64", "sbom", []string{"the provenance does not name it"},
		},
		"another list is signed than is attached": {
			func(w world) {
				other := release(w.T, w.idx, w.key)
				for i := range other.Documents {
					other.Documents[i].Text = bytes.ReplaceAll(other.Documents[i].Text, []byte("nginx"), []byte("nothing"))
				}
				list, err := other.Attach(w.T.Context(), w.idx)
				must(w.T, err)
				for _, a := range list {
					manifest, err := a.Image.Manifest()
					must(w.T, err)
					if manifest.Annotations["dev.sigstore.bundle.predicateType"] == "https://spdx.dev/Document" {
						digest, err := a.Image.Digest()
						must(w.T, err)
						must(w.T, remote.Write(w.repository(w.T).Digest(digest.String()), a.Image))
					}
				}
			},
			attest.Wrong, "linux/arm64", "sbom", []string{"the signed list of type https://spdx.dev/Document is not one that is attached"},
		},
		"a second list is attached": {
			func(w world) {
				w.attach(w.T, w.idx, w.of["linux/amd64"], registry.Document{Type: sbom.CycloneDXType,
					Data: fmt.Appendf(nil, `{"bomFormat":"CycloneDX","metadata":{"component":{"version":"%s"}}}`, w.of["linux/amd64"])})
			},
			attest.Wrong, "linux/amd64", "sbom", []string{"the provenance does not name it"},
		},
		"the SPDX list of one image is attached to another": {
			func(w world) { misplace(w, sbom.SPDXType) },
			attest.Wrong, "linux/arm64", "sbom", []string{"amd64.spdx.json", "it is not of sha256:"},
		},
		"the CycloneDX list of one image is attached to another": {
			func(w world) { misplace(w, sbom.CycloneDXType) },
			attest.Wrong, "linux/arm64", "sbom", []string{"amd64.cdx.json", "it is of \"sha256:", "not of sha256:"},
		},
		"what is attached to one image is listed with another": {
			func(w world) {
				// As in a registry where clients keep the lists themselves.
				list := func(of string) name.Tag { return w.repository(w.T).Tag("sha256-" + w.of[of].Hex) }
				idx, err := remote.Index(list("linux/amd64"))
				must(w.T, err)
				must(w.T, remote.WriteIndex(list("linux/arm64"), idx))
			},
			attest.Wrong, "linux/arm64", "provenance", []string{"it is listed here, but attached to something else"},
		},
		"a list is attached to the index alone": {
			func(w world) {
				w.attach(w.T, w.idx, w.whole, registry.Document{Type: sbom.SPDXType, Data: []byte("{}"),
					Annotations: map[string]string{"org.opencontainers.image.title": "evil.json"}})
			},
			attest.Wrong, "index", "sbom", []string{"evil.json", "none of its images"},
		},
		"the report is made better": {
			func(w world) { replace(w, w.whole, attest.ReportType, swap(`"firstOK": 5.1`, `"firstOK": 1.1`)) },
			attest.Wrong, "index", "report", []string{"the provenance does not name it"},
		},
		"the report is of a run that failed": {
			func(w world) {
				replace(w, w.of["linux/arm64"], attest.ReportType, swap(`"name": "log-in page"`, `"name": "log-in page", "error": "502"`))
			},
			attest.Wrong, "linux/arm64", "report", []string{"has not passed", "502"},
		},
		"the report is of other images": {
			func(w world) {
				replace(w, w.whole, attest.ReportType, swap(w.of["linux/arm64"].Hex, strings.Repeat("a", 64)))
			},
			attest.Wrong, "index", "report", []string{"it is of another image of linux/arm64, sha256:aaaa"},
		},
		"a signature is taken from elsewhere": {
			func(w world) {
				other := release(w.T, w.idx, w.key).Provenance
				other.Details.Builder.ID = "x"
				text, err := w.key.Sign(w.Context(), asJSON(w.T, map[string]any{"_type": "https://in-toto.io/Statement/v1", "subject": []any{}, "predicate": other}))
				must(w.T, err)
				replace(w, w.of["linux/amd64"], bundle, func([]byte) []byte { return text })
			},
			attest.Wrong, "linux/amd64", "signature", []string{"what is signed is of something else"},
		},
		"what is signed is changed": {
			func(w world) {
				replace(w, w.whole, bundle, func(text []byte) []byte {
					payload := regexp.MustCompile(`"payload":"([^"]*)"`).FindSubmatch(text)[1]
					statement, err := base64.StdEncoding.DecodeString(string(payload))
					must(w.T, err)
					changed := swap("release.yml", "evil.yml")(statement)
					return bytes.ReplaceAll(text, payload, []byte(base64.StdEncoding.EncodeToString(changed)))
				})
			},
			attest.Wrong, "index", "provenance", []string{"it says that it is by key ", "the signature does not fit"},
		},
		"a signature is changed": {
			func(w world) { replace(w, w.whole, bundle, swap(`"sig":"ME`, `"sig":"MF`)) },
			attest.Wrong, "index", "signature", []string{"it says that it is by key ", "the signature does not fit"},
		},
		"the simple signature is of another image": {
			func(w world) {
				tag := func(h v1.Hash) name.Tag { return w.repository(w.T).Tag("sha256-" + h.Hex + ".sig") }
				img, err := remote.Image(tag(w.of["linux/amd64"]))
				must(w.T, err)
				must(w.T, remote.Write(tag(w.of["linux/arm64"]), img))
			},
			attest.Wrong, "linux/arm64", "signature", []string{".sig: it is of", "cosign container image signature"},
		},
		"the simple signature is another key's": {
			func(w world) {
				other := release(w.T, w.idx, attesttest.Key(w.T), "r/n")
				list, err := other.Attach(w.Context(), w.idx)
				must(w.T, err)
				for _, a := range list {
					if a.Tag != "" {
						must(w.T, remote.Write(w.repository(w.T).Tag(a.Tag), a.Image))
					}
				}
			},
			attest.Wrong, "index", "signature", []string{".sig: 1 signatures, none by key "},
		},
		"an image of the index is left out": {
			func(w world) {
				images, err := registry.Images(w.idx)
				must(w.T, err)
				retag(w, indexOf(w.T, images[:1]))
			},
			attest.Missing, "linux/arm64", "index", []string{"the index has no image for it"},
		},
		"an image of the index is left out, and what the provenance says noticed": {
			func(w world) {
				images, err := registry.Images(w.idx)
				must(w.T, err)
				retag(w, indexOf(w.T, images[:1]))
			},
			attest.Wrong, "linux/amd64", "provenance", []string{"it is of linux/arm64 sha256:", "too, which the index does not have"},
		},
		"an image of the index is another one": {
			func(w world) {
				images, err := registry.Images(w.idx)
				must(w.T, err)
				images[1].Image = image(w.T, platforms[1], "v4.7.3-ls1")
				retag(w, indexOf(w.T, images))
			},
			attest.Missing, "linux/arm64", "signature", []string{"not signed by key "},
		},
		"an image is of another version": {
			func(w world) {
				images, err := registry.Images(w.idx)
				must(w.T, err)
				images[1].Image = image(w.T, platforms[1], "v4.7.2-ls1")
				retag(w, indexOf(w.T, images))
			},
			attest.Wrong, "linux/arm64", "labels", []string{`version is "v4.7.2-ls1", but "v4.7.3-ls1" in linux/amd64`},
		},
		"something that is no image is put into the index": {
			func(w world) {
				img, err := random.Image(10, 1)
				must(w.T, err)
				retag(w, mutate.AppendManifests(w.idx, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}}))
			},
			attest.Wrong, "index", "index", []string{"(unknown/unknown) is not the image of a platform"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := world{T: t, server: newServer(t, ggcr.WithReferrersSupport(!strings.Contains(name, "is listed with another"))), key: attesttest.Key(t), of: map[string]v1.Hash{}}
			var images []registry.PlatformImage
			w.idx, images = index(t)
			var err error
			w.whole, err = w.idx.Digest()
			must(t, err)
			for _, img := range images {
				w.of[registry.Key(img.Platform)], err = img.Image.Digest()
				must(t, err)
			}
			w.publish(t, w.idx, release(t, w.idx, w.key, "r/n").Attach)
			must(t, w.verify(t, policy(w.key.PublicKey)).Err())
			c.tamper(w)
			result := w.verify(t, policy(w.key.PublicKey))
			if err := result.Err(); err == nil || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			wantLine(t, result, c.verdict, c.of, c.what, c.parts...)
		})
	}
}

func TestAnImageThatIsDamagedInTheRegistryIsFound(t *testing.T) {
	reg := newServer(t)
	idx, images := index(t)
	reg.publish(t, idx, nil)
	layers, err := images[1].Image.Layers()
	must(t, err)
	digest, err := layers[0].Digest()
	must(t, err)
	reg.flip(digest)
	result := reg.verify(t, policy(nil))
	wantLine(t, result, attest.Wrong, "linux/arm64", "image", digest.String())
	wantLine(t, result, attest.Proven, "linux/amd64", "image")
	if result.Err() == nil {
		t.Error("verify was content")
	}
}

func TestControlCharactersFromARegistryAreNotPrinted(t *testing.T) {
	reg := newServer(t)
	idx, _ := index(t)
	whole, err := idx.Digest()
	must(t, err)
	reg.publish(t, idx, func(_ context.Context, idx v1.ImageIndex) ([]registry.Attachment, error) {
		a, err := registry.Attach(idx, whole, registry.Document{Type: "x/\x1b[2Jy\nproven", Data: []byte("x")})
		return []registry.Attachment{a}, err
	})
	result := reg.verify(t, policy(nil))
	wantLine(t, result, attest.Unproven, "index", "others", "not checked: x/ [2Jy proven")
}

func TestAnAttachmentWithThePredicateOfABundleForATypeIsReportedAsNotChecked(t *testing.T) {
	for _, kind := range []string{"https://spdx.dev/Document", "https://cyclonedx.org/bom", "https://slsa.dev/provenance/v1"} {
		reg := newServer(t)
		idx, _ := index(t)
		whole, err := idx.Digest()
		must(t, err)
		reg.publish(t, idx, nil)
		reg.attach(t, idx, whole, registry.Document{Type: kind, Data: []byte("x")})
		wantLine(t, reg.verify(t, policy(nil)), attest.Unproven, "index", "others", "also attached, not checked: "+kind)
	}
}

// Without a registry that checks digests, verify must check them.
func TestAFlippedBitInAnyFileOfALayoutIsFound(t *testing.T) {
	key, dir := attesttest.Key(t), filepath.Join(t.TempDir(), "layout")
	reg := newServer(t)
	idx, _ := index(t)
	reg.publish(t, idx, release(t, idx, key, "r/n").Attach)
	reg.save(t, dir, idx)
	verify := func() error {
		at, err := registry.OpenLayout(dir)
		if err != nil {
			return err
		}
		result, err := attest.Verify(t.Context(), dir, at, policy(key.PublicKey))
		return errors.Join(err, result.Err())
	}
	must(t, verify())
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	must(t, err)
	if len(blobs) < 30 {
		t.Fatalf("there are just %d blobs", len(blobs))
	}
	for _, blob := range blobs {
		text, err := os.ReadFile(blob)
		must(t, err)
		flipped := bytes.Clone(text)
		flipped[len(flipped)/2] ^= 1
		must(t, os.WriteFile(blob, flipped, 0o644))
		if verify() == nil {
			t.Errorf("a bit was flipped in %s, and nothing was found:\n%s", filepath.Base(blob), text[:min(len(text), 200)])
		}
		must(t, os.WriteFile(blob, text, 0o644))
	}
	must(t, verify())
}

func (s *server) attach(t testing.TB, idx v1.ImageIndex, subject v1.Hash, doc registry.Document) {
	t.Helper()
	a, err := registry.Attach(idx, subject, doc)
	must(t, err)
	digest, err := a.Image.Digest()
	must(t, err)
	must(t, remote.Write(s.repository(t).Digest(digest.String()), a.Image))
}

// digestOf returns the digest of a manifest as this project encodes it.
func digestOf(t testing.TB, manifest v1.Manifest) v1.Hash {
	t.Helper()
	digest, _, err := v1.SHA256(bytes.NewReader(asJSON(t, manifest)))
	must(t, err)
	return digest
}
