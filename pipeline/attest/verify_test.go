package attest_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/attest/attesttest"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

func TestEverythingInASignedReleaseIsProven(t *testing.T) {
	for kind, is := range map[string]struct{ lists, old bool }{
		"a registry that lists referrers": {lists: true}, "a registry that has to be given the list": {}, "a registry that refuses artifactType": {old: true},
	} {
		t.Run(kind, func(t *testing.T) {
			reg, key := newServer(t, ggcr.WithReferrersSupport(is.lists)), attesttest.Key(t)
			reg.old = is.old
			idx, _ := index(t)
			reg.publish(t, idx, release(t, idx, key, reg.host+"/lsio/netbox", "ghcr.io/linuxserver/netbox").Attach)
			result := reg.verify(t, policy(key.PublicKey))
			must(t, result.Err())
			for _, l := range result.Lines {
				if l.Verdict != attest.Proven {
					t.Errorf("%+v", l)
				}
			}
			wantLine(t, result, attest.Proven, "index", "index", "an image for linux/amd64 and for linux/arm64, and nothing else")
			wantLine(t, result, attest.Proven, "index", "labels", "version v4.7.3-ls1, commit "+commit+", base local")
			wantLine(t, result, attest.Proven, "index", "provenance", "release.yml@refs/heads/main built it from commit "+commit, "NetBox 4.7.3 on local", "1 inputs by digest")
			wantLine(t, result, attest.Proven, "index", "report", "all 4 stages passed", "linux/arm64 answered after 5.1 s, 1 checks")
			for _, of := range []string{"index", "linux/amd64", "linux/arm64"} {
				wantLine(t, result, attest.Proven, of, "signature", "signed by "+key.String()+" (sigstore bundle, simple signing)")
				wantLine(t, result, attest.Proven, of, "report")
			}
			for _, of := range []string{"linux/amd64", "linux/arm64"} {
				wantLine(t, result, attest.Proven, of, "image", "2 layers (0.0 MB)")
				wantLine(t, result, attest.Proven, of, "sbom", "SPDX-2.3, 1 packages, of this image")
				wantLine(t, result, attest.Proven, of, "sbom", "CycloneDX 1.6, 1 components, of this image")
			}
			if text := printed(t, result); !strings.Contains(text, "17 proven\n") {
				t.Errorf("the sum is wrong:\n%s", text)
			}

			manifest, err := idx.IndexManifest()
			must(t, err)
			one := reg.verifyAt(t, "@"+manifest.Manifests[1].Digest.String(), policy(key.PublicKey))
			must(t, one.Err())
			wantLine(t, one, attest.Proven, "linux/arm64", "signature", key.String())
			wantLine(t, one, attest.Proven, "linux/arm64", "provenance", "built it from commit "+commit)
		})
	}
}

func TestWithoutARequiredSignerNothingIsProven(t *testing.T) {
	reg, key := newServer(t), attesttest.Key(t)
	idx, _ := index(t)
	reg.publish(t, idx, release(t, idx, key, reg.host+"/lsio/netbox").Attach)
	result := reg.verify(t, policy(nil))
	must(t, result.Err())
	wantLine(t, result, attest.Proven, "linux/arm64", "image")
	wantLine(t, result, attest.Unproven, "index", "signature", "signed by "+key.String()+", who was not asked for")
	wantLine(t, result, attest.Unproven, "index", "provenance", "nobody was asked to vouch")
	wantLine(t, result, attest.Unproven, "linux/amd64", "sbom", "nobody was asked to vouch")
	wantLine(t, result, attest.Unproven, "index", "report", "nobody was asked to vouch")
}

func TestWithoutASignatureTheRequiredOneIsMissing(t *testing.T) {
	reg, key := newServer(t), attesttest.Key(t)
	idx, _ := index(t)
	reg.publish(t, idx, release(t, idx, nil).Attach)
	free := reg.verify(t, attest.Policy{Require: []string{"provenance", "sbom", "report"}})
	must(t, free.Err())
	wantLine(t, free, attest.Unproven, "index", "signature", "nobody signed it")
	wantLine(t, free, attest.Unproven, "index", "provenance", "built it from commit "+commit)
	strict := reg.verify(t, policy(key.PublicKey))
	wantLine(t, strict, attest.Missing, "linux/amd64", "signature", "not signed by "+key.String())
	wantLine(t, strict, attest.Missing, "index", "provenance", "none that "+key.String()+" has signed, only by nobody")
	if err := strict.Err(); err == nil || !strings.Contains(err.Error(), "checks failed: signature of index: it is not signed by") {
		t.Errorf("error %v", err)
	}
}

func TestARequiredAttachmentThatIsNotThereIsMissing(t *testing.T) {
	reg := newServer(t)
	idx, _ := index(t)
	reg.publish(t, idx, nil)
	must(t, reg.verify(t, policy(nil)).Err())
	for _, what := range attest.Requirements() {
		result := reg.verify(t, attest.Policy{Require: []string{what}})
		if result.Err() == nil {
			t.Errorf("%s is not there, and not missed", what)
		}
		wantLine(t, result, attest.Missing, "linux/arm64", what)
	}
}

func TestPublishingASignedReleaseAgainSendsNothing(t *testing.T) {
	reg, key := newServer(t), attesttest.Key(t)
	idx, _ := index(t)
	reg.publish(t, idx, release(t, idx, key, "r/n").Attach)
	if done := reg.publish(t, idx, release(t, idx, key, "r/n").Attach); !done[0].Unchanged {
		t.Errorf("the second time: %+v", done[0])
	}
}

// limitedSigner is a signer with a limit.
type limitedSigner struct {
	*attest.Key
	limit int
}

func (b limitedSigner) Limit() int { return b.limit }

// The public log refuses long lists. The release must not fail for that, and its lists
// are still proven.
func TestAListTooLongToBeSignedIsProvenByTheProvenance(t *testing.T) {
	key := attesttest.Key(t)
	idx, _ := index(t)
	r := release(t, idx, key, "r/n")
	longest := 0
	for i := range r.Documents {
		if d := &r.Documents[i]; d.Type == sbom.SPDXType {
			d.Text = append(bytes.TrimSuffix(d.Text, []byte("}")), fmt.Appendf(nil, `,"comment":%q}`, strings.Repeat("long ", 10_000))...)
			longest = max(longest, len(d.Text))
		}
	}
	r.Signer = limitedSigner{key, longest}
	reg := newServer(t)
	reg.publish(t, idx, r.Attach)
	whole, err := idx.Digest()
	must(t, err)
	found := map[string]int{}
	for _, manifest := range reg.attached(t, whole) {
		found[manifest.Annotations["dev.sigstore.bundle.predicateType"]]++
	}
	if found["https://spdx.dev/Document"] != 0 || found["https://cyclonedx.org/bom"] != len(platforms) {
		t.Errorf("signed are %v", found)
	}
	result := reg.verify(t, policy(key.PublicKey))
	must(t, result.Err())
	wantLine(t, result, attest.Proven, "linux/arm64", "sbom", "SPDX-2.3")

	var _ attest.Limited = attest.Cosign{}
}

func TestAReleaseThatAnotherKeySignedIsNotTheKeysOwn(t *testing.T) {
	reg, key, other := newServer(t), attesttest.Key(t), attesttest.Key(t)
	idx, _ := index(t)
	reg.publish(t, idx, release(t, idx, other, "r/n").Attach)
	result := reg.verify(t, policy(key.PublicKey))
	wantLine(t, result, attest.Missing, "index", "signature", "not signed by "+key.String()+", but by "+other.String())
	wantLine(t, result, attest.Missing, "linux/amd64", "provenance", "only by "+other.String())

	// When both keys have signed, each verifies its own signature.
	reg.publish(t, idx, release(t, idx, key, "r/n").Attach)
	result = reg.verify(t, policy(key.PublicKey))
	must(t, result.Err())
	wantLine(t, result, attest.Proven, "index", "signature", "signed by "+key.String())
	wantLine(t, result, attest.Unproven, "index", "signature", "also signed by "+other.String())
}

// The right key signs that another commit was built.
func TestAProvenanceThatContradictsTheImagesIsWrong(t *testing.T) {
	for problem, change := range map[string]func(*attest.Provenance){
		`it says commit "ffff", the images "` + commit: func(p *attest.Provenance) { p.Definition.External.Revision = "ffff" },
		`its input is commit "", the images are of "`:  func(p *attest.Provenance) { p.Definition.Inputs = nil },
		`it says base "other", the index "local"`:      func(p *attest.Provenance) { p.Definition.External.Base = "other@sha256:0" },
		`it says version "v1", the images "v4.7.3-ls1`: func(p *attest.Provenance) { p.Definition.External.Version = "v1" },
	} {
		reg, key := newServer(t), attesttest.Key(t)
		idx, _ := index(t)
		r := release(t, idx, key, "r/n")
		change(&r.Provenance)
		reg.publish(t, idx, r.Attach)
		result := reg.verify(t, policy(key.PublicKey))
		wantLine(t, result, attest.Wrong, "index", "provenance", problem)
		if result.Err() == nil {
			t.Error("verify was content")
		}
	}
}

func TestALayoutOnDiskIsVerifiedWithoutARegistry(t *testing.T) {
	key := attesttest.Key(t)
	idx, _ := index(t)
	dir := t.TempDir()
	path, err := layout.Write(dir, empty.Index)
	must(t, err)
	must(t, path.AppendIndex(idx))
	list, err := release(t, idx, key, "r/n").Attach(t.Context(), idx)
	must(t, err)
	for _, a := range list {
		var opts []layout.Option
		if a.Tag != "" {
			opts = append(opts, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": a.Tag}))
		}
		must(t, path.AppendImage(a.Image, opts...))
	}
	at, err := registry.OpenLayout(dir)
	must(t, err)
	result, err := attest.Verify(t.Context(), "oci:"+dir, at, policy(key.PublicKey))
	must(t, err)
	must(t, result.Err())
	wantLine(t, result, attest.Proven, "linux/arm64", "signature", "(sigstore bundle, simple signing)")
}
