package release_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/contents"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/source"
)

// images are those of a release with these packages, for both platforms.
func images(packages ...contents.Package) map[string]contents.Held {
	held := map[string]contents.Held{}
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		held[platform] = contents.Held{
			Packages: packages,
			Groups:   []imagesize.Group{{Name: "base", Size: 36_000_000}, {Name: "Python", Size: int64(50_000_000 + 100_000*len(packages))}},
		}
	}
	return held
}

func TestWhatAReleaseSaysOfItselfIsReadable(t *testing.T) {
	before := func(change func(*contents.Before)) *contents.Before {
		b := &contents.Before{
			Since:  contents.Since{Reference: "ghcr.io/linuxserver/netbox:latest", Digest: "sha256:0ld", Version: "v4.7.3-ls12", Commit: "0000000000000000000000000000000000000000"},
			Images: images(contents.Package{Name: "netbox", Version: "4.7.3", Type: "python"}, contents.Package{Name: "bash", Version: "5.2.37-2", Type: "deb"}),
			Commits: []source.Commit{
				{Commit: "2222222222222222222222222222222222222222", Subject: "Thank @somebody for <b>| tags (#12)"},
				{Commit: "1111111111111111111111111111111111111111", Subject: "Pin NetBox 4.8.0"},
			},
		}
		if change != nil {
			change(b)
		}
		return b
	}
	now := images(contents.Package{Name: "netbox", Version: "4.8.0", Type: "python"}, contents.Package{Name: "bash", Version: "5.2.37-2", Type: "deb"},
		contents.Package{Name: "libfoo~1", Version: "1:2.0+b1", Type: "deb"})
	only := now["linux/arm64"]
	only.Packages = append(only.Packages[:len(only.Packages):len(only.Packages)], contents.Package{Name: "bar", Version: "1", Type: "deb"})
	now["linux/arm64"] = only
	many := images()
	for i := range 30 {
		held := many["linux/amd64"]
		held.Packages = append(held.Packages, contents.Package{Name: fmt.Sprintf("package-%02d", i), Version: "1", Type: "deb"})
		many["linux/amd64"] = held
	}
	for name, test := range map[string]struct {
		before *contents.Before
		now    map[string]contents.Held
		missed []string
	}{
		"changed":   {before(nil), now, nil},
		"unchanged": {before(func(b *contents.Before) { b.Commits = nil }), before(nil).Images, nil},
		"unknown": {before(func(b *contents.Before) {
			delete(b.Images, "linux/arm64")
			b.Images["linux/amd64"] = contents.Held{}
			b.Unknown = []string{"packages of linux/amd64: the published image has no list of them"}
		}), now, []string{"quay.io/linuxserver.io/netbox:latest"}},
		"many":  {before(nil), many, nil},
		"first": {nil, now, nil},
	} {
		t.Run(name, func(t *testing.T) {
			plan, err := release.Make(facts(func(f *release.Facts) {
				f.Pinned = "4.8.0"
				if test.before == nil {
					f.Published = nil
				}
			}))
			if err != nil {
				t.Fatal(err)
			}
			d := contents.Compare(test.before, test.now)
			notes := plan.Notes(release.Outcome{
				Index: "sha256:1dx", Images: map[string]string{"linux/arm64": "sha256:a54", "linux/amd64": "sha256:a4d"},
				Difference: &d, Missed: test.missed, Run: "https://github.com/linuxserver/docker-netbox/actions/runs/42",
			})
			if notes.Tag != plan.Version || notes.Title != plan.Version {
				t.Errorf("tag %q, title %q, want %q", notes.Tag, notes.Title, plan.Version)
			}
			golden := filepath.Join("testdata", "notes-"+name+".md")
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if notes.Body != string(want) {
				t.Errorf("it is not %s but:\n%s", golden, notes.Body)
			}
		})
	}
}

func TestWhatGitHubWouldNotTakeIsCutAtALine(t *testing.T) {
	plan, err := release.Make(facts(nil))
	if err != nil {
		t.Fatal(err)
	}
	d := contents.Difference{Since: &contents.Since{Version: "v4.7.3-ls12"}}
	for range 3000 {
		d.Commits = append(d.Commits, source.Commit{Commit: strings.Repeat("1", 40), Subject: "Ändern"})
	}
	body := plan.Notes(release.Outcome{Difference: &d}).Body
	if len(body) > 125_000 || !strings.HasSuffix(body, " Ändern\n\n…cut: the report has the rest.\n") {
		t.Errorf("%d bytes, which end with %q", len(body), body[len(body)-60:])
	}
}
