package release_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// images returns the contents of images with these packages, for both platforms.
func images(packages ...sbom.Package) map[string]sbom.Contents {
	held := map[string]sbom.Contents{}
	for _, platform := range []string{"linux/amd64", "linux/arm64"} {
		held[platform] = sbom.Contents{
			Packages: packages,
			Groups:   []imagesize.Group{{Name: "base", Size: 36_000_000}, {Name: "Python", Size: int64(50_000_000 + 100_000*len(packages))}},
		}
	}
	return held
}

func TestNotesAreReadable(t *testing.T) {
	before := func(change func(*sbom.Baseline)) *sbom.Baseline {
		b := &sbom.Baseline{
			Since:  sbom.Since{Reference: "ghcr.io/linuxserver/netbox:latest", Digest: "sha256:0ld", Version: "v4.7.3-ls12", Commit: "0000000000000000000000000000000000000000"},
			Images: images(sbom.Package{Name: "netbox", Version: "4.7.3", Type: "python"}, sbom.Package{Name: "bash", Version: "5.2.37-2", Type: "deb"}),
			Commits: []git.Commit{
				{Commit: "2222222222222222222222222222222222222222", Subject: "Thank @somebody for <b>| tags (#12)"},
				{Commit: "1111111111111111111111111111111111111111", Subject: "Pin NetBox 4.8.0"},
			},
		}
		if change != nil {
			change(b)
		}
		return b
	}
	now := images(sbom.Package{Name: "netbox", Version: "4.8.0", Type: "python"}, sbom.Package{Name: "bash", Version: "5.2.37-2", Type: "deb"},
		sbom.Package{Name: "libfoo~1", Version: "1:2.0+b1", Type: "deb"})
	only := now["linux/arm64"]
	only.Packages = append(only.Packages[:len(only.Packages):len(only.Packages)], sbom.Package{Name: "bar", Version: "1", Type: "deb"})
	now["linux/arm64"] = only
	many := images()
	for i := range 30 {
		held := many["linux/amd64"]
		held.Packages = append(held.Packages, sbom.Package{Name: fmt.Sprintf("package-%02d", i), Version: "1", Type: "deb"})
		many["linux/amd64"] = held
	}
	for name, test := range map[string]struct {
		before *sbom.Baseline
		now    map[string]sbom.Contents
		missed []string
	}{
		"changed":   {before(nil), now, nil},
		"unchanged": {before(func(b *sbom.Baseline) { b.Commits = nil }), before(nil).Images, nil},
		"unknown": {before(func(b *sbom.Baseline) {
			delete(b.Images, "linux/arm64")
			b.Images["linux/amd64"] = sbom.Contents{}
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
			d := sbom.Compare(test.before, test.now)
			r := report.Report{Index: "sha256:1dx", Platforms: []report.Platform{{Platform: "linux/amd64", Image: "sha256:a4d"}, {Platform: "linux/arm64", Image: "sha256:a54"}}, Difference: &d}
			for _, reference := range test.missed {
				r.Missed = append(r.Missed, report.Missed{Reference: reference})
			}
			notes, err := plan.Notes(r, "https://github.com/linuxserver/docker-netbox/actions/runs/42")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "notes-"+name+".md")
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if notes != string(want) {
				t.Errorf("it is not %s but:\n%s", golden, notes)
			}
		})
	}
}

func TestNotesBeyondGitHubsLimitAreCutAtALine(t *testing.T) {
	plan, err := release.Make(facts(nil))
	if err != nil {
		t.Fatal(err)
	}
	d := sbom.Difference{Since: &sbom.Since{Version: "v4.7.3-ls12"}}
	for range 3000 {
		d.Commits = append(d.Commits, git.Commit{Commit: strings.Repeat("1", 40), Subject: "Ändern"})
	}
	body, err := plan.Notes(report.Report{Difference: &d}, "")
	if err != nil || len(body) > 125_000 || !strings.HasSuffix(body, " Ändern\n\n…cut: the report has the rest.\n") {
		t.Errorf("%d bytes, which end with %q, %v", len(body), body[max(0, len(body)-60):], err)
	}
}
