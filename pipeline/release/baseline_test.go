package release_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// document returns a list of one package, as syft writes it.
func document(version string) []byte {
	return fmt.Appendf(nil, `{"bomFormat": "CycloneDX", "components": [
		{"type": "file", "name": "/etc/passwd"},
		{"type": "library", "name": "netbox", "version": %q, "properties": [{"name": "syft:package:type", "value": "python"}]}]}`, version)
}

// released is an index in a registry, and the repository it was built from.
type released struct {
	repo      string
	published *release.Published
}

// newRelease publishes an index with lists of packages for some of its
// platforms, built from a commit with table as its package_versions.txt.
func newRelease(t *testing.T, lists map[string][]byte, table string, opts ...ggcr.Option) released {
	t.Helper()
	repository, err := name.NewRepository(registrytest.Server(t, opts...) + "/linuxserver/netbox")
	if err != nil {
		t.Fatal(err)
	}
	var images []registry.PlatformImage
	for _, p := range platform.All() {
		images = append(images, registry.PlatformImage{Platform: p.OCI, Image: registrytest.Image(t, p.OCI, nil, registrytest.Layer(t, 1000))})
	}
	idx, err := registry.Index(images, nil)
	if err != nil {
		t.Fatal(err)
	}
	digest, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(repository.Tag("latest"), idx); err != nil {
		t.Fatal(err)
	}
	for _, img := range images {
		list, ok := lists[registry.Key(img.Platform)]
		if !ok {
			continue
		}
		subject, err := img.Image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range []registry.Document{
			{Type: sbom.SPDXType, Data: []byte("{}")},
			{Type: sbom.CycloneDXType, Data: list},
		} {
			a, err := registry.Attach(idx, subject, doc)
			if err != nil {
				t.Fatal(err)
			}
			h, err := a.Image.Digest()
			if err != nil {
				t.Fatal(err)
			}
			if err := remote.Write(repository.Digest(h.String()), a.Image); err != nil {
				t.Fatal(err)
			}
		}
	}

	r := released{repo: t.TempDir(), published: &release.Published{Since: sbom.Since{Reference: repository.Tag("latest").String(), Digest: digest.String(), Version: "v4.7.2-ls12"}}}
	r.git(t, "init", "-q", "-b", "main")
	if table != "" {
		if err := os.WriteFile(filepath.Join(r.repo, sbom.ListFile), []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.git(t, "add", "-A")
	r.git(t, "commit", "-q", "--allow-empty", "-m", "one")
	r.published.Commit = r.git(t, "rev-parse", "HEAD")
	r.git(t, "commit", "-q", "--allow-empty", "-m", "two")
	return r
}

func (r released) git(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("git", append([]string{"-C", r.repo, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r released) before(t *testing.T) *sbom.Baseline {
	t.Helper()
	b, err := release.FindBaseline(t.Context(), registry.Source{}, r.repo, r.published)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

const table = "NAME    VERSION  TYPE\nnetbox  4.7.1    python\n"

func TestWhatAPublishedImageHoldsIsInTheListAttachedToIt(t *testing.T) {
	t.Parallel()
	for name, lists := range map[string]bool{"a registry that lists referrers": true, "one that does not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRelease(t, map[string][]byte{"linux/amd64": document("4.7.2"), "linux/arm64": document("4.7.3")}, table, ggcr.WithReferrersSupport(lists)).before(t)
			for platform, version := range map[string]string{"linux/amd64": "4.7.2", "linux/arm64": "4.7.3"} {
				held := b.Images[platform]
				if want := []sbom.Package{{Name: "netbox", Version: version, Type: "python"}}; !slices.Equal(held.Packages, want) {
					t.Errorf("%s holds %v, want %v", platform, held.Packages, want)
				}
				if len(held.Groups) != 1 || held.Groups[0].Size == 0 {
					t.Errorf("%s: groups %v", platform, held.Groups)
				}
			}
			if len(b.Unknown) != 0 || len(b.Commits) != 1 || b.Commits[0].Subject != "two" || b.Version != "v4.7.2-ls12" {
				t.Errorf("got %+v", b)
			}
		})
	}
}

func TestWithoutAnAttachedListTheOneOfItsCommitIsRead(t *testing.T) {
	t.Parallel()
	r := newRelease(t, nil, table)
	b := r.before(t)
	if want := []sbom.Package{{Name: "netbox", Version: "4.7.1", Type: "python"}}; !slices.Equal(b.Images["linux/amd64"].Packages, want) {
		t.Errorf("holds %v, want %v", b.Images["linux/amd64"].Packages, want)
	}
	if want := []string{"packages of linux/arm64: the published image has no list of them"}; !slices.Equal(b.Unknown, want) {
		t.Errorf("unknown: %q", b.Unknown)
	}
	r.published.Commit = strings.Repeat("0", 40)
	if b := r.before(t); b.Images["linux/amd64"].Packages != nil || len(b.Unknown) != 3 || !strings.Contains(b.Unknown[len(b.Unknown)-1], "000000000000") {
		t.Errorf("a commit that is not here: %+v", b)
	}
	for name, table := range map[string]string{"no list": "", "another sort of list": "bash 1\n"} {
		if b := newRelease(t, nil, table).before(t); b.Images["linux/amd64"].Packages != nil || len(b.Unknown) != 2 {
			t.Errorf("%s: %+v", name, b)
		}
	}
}

func TestTheIndexThatWasPlannedWithIsReadEvenAfterItsTagMoved(t *testing.T) {
	t.Parallel()
	r := newRelease(t, nil, table)
	tag, err := name.NewTag(r.published.Reference)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(tag, empty.Index); err != nil {
		t.Fatal(err)
	}
	if b := r.before(t); len(b.Images) != 2 {
		t.Errorf("got %+v", b)
	}
	r.published.Digest = "sha256:" + strings.Repeat("0", 64)
	if b, err := release.FindBaseline(t.Context(), registry.Source{}, r.repo, r.published); err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("an index that is gone: %+v, %v", b, err)
	}
	if b, err := release.FindBaseline(t.Context(), registry.Source{}, r.repo, nil); b != nil || err != nil {
		t.Errorf("nothing is published: %+v, %v", b, err)
	}
}

func TestAListThatIsNoneIsAnErrorAndNotAnEmptyOne(t *testing.T) {
	t.Parallel()
	r := newRelease(t, map[string][]byte{"linux/amd64": []byte("{}")}, table)
	if b, err := release.FindBaseline(t.Context(), registry.Source{}, r.repo, r.published); err == nil || !strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("got %+v, %v", b, err)
	}
}

// plainHosts fails every request and records the hosts of those in plain http.
type plainHosts map[string]bool

func (h plainHosts) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme == "http" {
		h[req.URL.Host] = true
	}
	return nil, errors.New("nobody answers")
}

func TestARegistryThatIsAskedInPlainHTTPStaysSo(t *testing.T) {
	asked := plainHosts{}
	published := release.Published{Since: sbom.Since{Reference: "http://registry.example/netbox:latest", Digest: "sha256:" + strings.Repeat("ab", 32)}}
	_, err := published.Open(t.Context(), registry.Source{Transport: asked})
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasSuffix(err.Error(), "if it was removed meanwhile, run it again") {
		t.Errorf("err is %v", err)
	}
	if !asked["registry.example"] {
		t.Error("it was asked by https alone")
	}
}

func TestAPublishedImageMayBeNamedByItsDigest(t *testing.T) {
	t.Parallel()
	tagged := published(t, nil, nil)
	p, err := release.FindPublished(t.Context(), registry.Source{}, tagged)
	if err != nil {
		t.Fatal(err)
	}
	repository := strings.TrimSuffix(tagged, ":latest")
	for _, reference := range []string{tagged, repository + "@" + p.Digest, tagged + "@" + p.Digest, "http://" + repository + "@" + p.Digest} {
		named, err := release.FindPublished(t.Context(), registry.Source{}, reference)
		if err != nil {
			t.Fatalf("%s: %v", reference, err)
		}
		if opened, err := named.Open(t.Context(), registry.Source{}); err != nil || opened.Digest.String() != p.Digest {
			t.Errorf("%s: opened %s, %v", reference, opened.Digest, err)
		}
	}
}
