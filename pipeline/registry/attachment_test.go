package registry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// attach attaches two documents: one to the index, one to its amd64 image.
func attach(t *testing.T, booted map[string]v1.Hash) func(context.Context, v1.ImageIndex) ([]registry.Attachment, error) {
	t.Helper()
	return func(_ context.Context, idx v1.ImageIndex) ([]registry.Attachment, error) {
		digest, err := idx.Digest()
		must(t, err)
		var list []registry.Attachment
		for _, subject := range []v1.Hash{digest, booted["linux/amd64"]} {
			a, err := registry.Attach(idx, subject, registry.Document{
				Type: "application/vnd.example.list", Data: []byte("of " + subject.String()),
				Annotations: map[string]string{"org.opencontainers.image.title": "list"},
			})
			must(t, err)
			list = append(list, a)
		}
		return list, nil
	}
}

// attached returns the text of each document attached to a digest.
func attached(t *testing.T, repository string, subject v1.Hash) (texts []string) {
	t.Helper()
	ref, err := name.NewDigest(repository + "@" + subject.String())
	must(t, err)
	referrers, err := remote.Referrers(ref)
	must(t, err)
	manifest, err := referrers.IndexManifest()
	must(t, err)
	for _, d := range manifest.Manifests {
		if d.Annotations["org.opencontainers.image.title"] != "list" {
			t.Errorf("listed as %+v", d)
		}
		img, err := remote.Image(ref.Context().Digest(d.Digest.String()))
		must(t, err)
		if of, err := img.Manifest(); err != nil || of.ArtifactType != "application/vnd.example.list" || of.Subject.Digest != subject {
			t.Errorf("%s is %+v (%v)", d.Digest, of, err)
		}
		layers, err := img.Layers()
		must(t, err)
		rc, err := layers[0].Compressed()
		must(t, err)
		text, err := io.ReadAll(rc)
		must(t, err)
		texts = append(texts, string(text))
	}
	return texts
}

func TestAttachmentsAreListedWithTheirSubjectsBeforeATagMoves(t *testing.T) {
	for name, lists := range map[string]bool{"a registry that lists referrers": true, "a registry that has to be given the list": false} {
		t.Run(name, func(t *testing.T) {
			reg := newFaulty(t, ggcr.WithReferrersSupport(lists))
			idx, booted := index(t)
			digest, err := idx.Digest()
			must(t, err)
			targets := []registry.Target{reg.target(t, "netbox:1")}
			opts := registry.Options{Booted: booted, Attach: attach(t, booted)}
			_, err = registry.Publish(t.Context(), idx, targets, opts)
			must(t, err)
			all := reg.takeRequests("PUT")
			if at := slices.Index(all, "PUT /v2/netbox/manifests/1"); at != len(all)-1 {
				t.Errorf("the tag was not set last: %q", all)
			}
			for _, subject := range []v1.Hash{digest, booted["linux/amd64"]} {
				if got := attached(t, reg.host+"/netbox", subject); len(got) != 1 || got[0] != "of "+subject.String() {
					t.Errorf("attached to %s: %q", subject, got)
				}
			}
			if got := attached(t, reg.host+"/netbox", booted["linux/arm64"]); len(got) != 0 {
				t.Errorf("attached to the other image: %q", got)
			}

			reg.takeRequests()
			done, err := registry.Publish(t.Context(), idx, targets, opts)
			must(t, err)
			if sent := reg.takeRequests("PUT", "PATCH", "POST"); len(sent) > 0 || !done[0].Unchanged {
				t.Errorf("the second run sent %q: %+v", sent, done[0])
			}
		})
	}
}

func TestAnAttachmentThatAKilledRunLeftUnlistedIsListed(t *testing.T) {
	reg := newFaulty(t, ggcr.WithReferrersSupport(false))
	idx, booted := index(t)
	digest, err := idx.Digest()
	must(t, err)
	opts := registry.Options{Booted: booted, Attach: attach(t, booted)}
	targets := []registry.Target{reg.target(t, "netbox:1")}
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, "/v2/netbox/manifests/sha256-") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
	_, err = registry.Publish(t.Context(), idx, targets, opts)
	wantError(t, err, "listing what is attached to sha256:", "403 Forbidden")
	if tag := reg.tag(t, "netbox:1"); tag != "" {
		t.Errorf("the tag points at %s", tag)
	}
	reg.setFault(nil)
	_, err = registry.Publish(t.Context(), idx, targets, opts)
	must(t, err)
	if got := attached(t, reg.host+"/netbox", digest); len(got) != 1 {
		t.Errorf("attached: %q", got)
	}
}

func TestConcurrentRunsKeepTheAttachmentsOfBoth(t *testing.T) {
	reg := newFaulty(t, ggcr.WithReferrersSupport(false))
	idx, booted := index(t)
	digest, err := idx.Digest()
	must(t, err)
	other := v1.Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: booted["linux/arm64"]}
	raw, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{other}})
	must(t, err)
	written := newSet()
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/manifests/sha256-") && written.add(r.URL.Path) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw)) // a concurrent run overwrites the list
		}
		next.ServeHTTP(w, r)
	})
	var w fakeClock
	opts := registry.Options{Booted: booted, Attach: attach(t, booted), Clock: w.clock()}
	_, err = registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, opts)
	must(t, err)
	list, err := name.NewTag(reg.host + "/netbox:sha256-" + digest.Hex)
	must(t, err)
	now, err := remote.Index(list)
	must(t, err)
	manifest, err := now.IndexManifest()
	must(t, err)
	if len(manifest.Manifests) != 2 || !slices.ContainsFunc(manifest.Manifests, func(d v1.Descriptor) bool { return d.Digest == other.Digest }) {
		t.Errorf("listed: %+v", manifest.Manifests)
	}
}

func TestAListThatLosesEntriesBetweenWritingAndReadingIsWrittenAgain(t *testing.T) {
	reg := newFaulty(t, ggcr.WithReferrersSupport(false))
	idx, booted := index(t)
	digest, err := idx.Digest()
	must(t, err)
	list, err := name.NewTag(reg.host + "/netbox:sha256-" + digest.Hex)
	must(t, err)
	before := mutate.IndexMediaType(mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, arm64)}), types.OCIImageIndex)
	must(t, remote.WriteIndex(list, before))
	none, err := empty.Index.RawManifest()
	must(t, err)
	written := newSet()
	reg.setFault(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, list.TagStr()) && written.add("") {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(none)), int64(len(none)) // a clean-up removes the entries
		}
		next.ServeHTTP(w, r)
	})
	var w fakeClock
	opts := registry.Options{Booted: booted, Attach: attach(t, booted), Clock: w.clock()}
	_, err = registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, opts)
	must(t, err)
	if got := attached(t, reg.host+"/netbox", digest); len(got) != 1 {
		t.Errorf("attached: %q", got)
	}
}

func TestNothingIsAttachedToWhatIsNotPublished(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	other, otherBooted := index(t)
	if _, err := registry.Attach(idx, otherBooted["linux/amd64"], registry.Document{}); err == nil {
		t.Error("a document of another image was attached")
	}
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, registry.Options{
		Booted: booted,
		Attach: func(ctx context.Context, _ v1.ImageIndex) ([]registry.Attachment, error) {
			return attach(t, otherBooted)(ctx, other)
		},
	})
	wantError(t, err, "the index has no such image")
	if sent := reg.takeRequests("PUT", "POST", "PATCH"); len(sent) != 0 {
		t.Errorf("something was sent: %v", sent)
	}
}
