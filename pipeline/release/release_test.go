package release_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

const (
	head   = "1111111111111111111111111111111111111111"
	before = "2222222222222222222222222222222222222222"
)

// facts returns the facts of branch main at the commit of the published image: no
// release is due.
func facts(change func(*release.Facts)) release.Facts {
	base := release.Base{Name: "ghcr.io/linuxserver/baseimage-alpine:3.20", Digest: "sha256:aaaaaaaaaaaabbbb"}
	f := release.Facts{
		Pinned: "4.7.3", Commit: head, Branch: "main", Base: base,
		Published: &release.Published{
			Since: sbom.Since{Reference: "ghcr.io/linuxserver/netbox:latest", Version: "v4.7.3-ls12", Commit: head}, Base: base,
			Label: "Linuxserver.io version:- v4.7.3-ls12 Build-date:- 2026-11-23T00:00:00Z",
		},
		Repositories: versions.Repositories{
			Live:        []string{"ghcr.io/linuxserver/netbox", "quay.io/linuxserver.io/netbox"},
			Development: []string{"ghcr.io/linuxserver/lsiodev-netbox"},
			PullRequest: []string{"ghcr.io/linuxserver/lspipepr-netbox"},
		},
	}
	if change != nil {
		change(&f)
	}
	f.ChangedInputs = slices.DeleteFunc(slices.Clone(f.Changed), func(file string) bool { return file != "Dockerfile" && !strings.HasPrefix(file, "root/") })
	return f
}

func TestAReleaseIsDueWhenSomethingHasChangedAndOtherwiseTheReasonIsGiven(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*release.Facts)
		version string
		skips   bool
		says    []string // in the text of the plan
	}{
		"nothing has changed": {nil, "v4.7.3-ls13", true, []string{
			"skip: nothing has changed since ghcr.io/linuxserver/netbox:latest v4.7.3-ls12", "NetBox: 4.7.3 is published", "commit: 111111111111 is published"}},
		"nothing has changed and the tag is at HEAD": {func(f *release.Facts) { f.Tags = []string{"v4.7.3-ls12"} }, "v4.7.3-ls12", true,
			[]string{"git tag v4.7.3-ls12 is at HEAD, and nothing has changed"}},
		"it is forced, and the number is that of the tag at HEAD": {func(f *release.Facts) { f.Force, f.Tags = true, []string{"v4.7.3-ls12"} }, "v4.7.3-ls12", false, nil},
		"the next number is taken": {func(f *release.Facts) {
			f.Published.Commit, f.Changed = before, []string{"Dockerfile"}
			f.InUse = []release.VersionInUse{{Version: "v4.7.3-ls13", Where: "quay.io/linuxserver.io/netbox:v4.7.3-ls13", Digest: "sha256:bbbb", Commit: before}}
		}, "v4.7.3-ls14", false, []string{"quay.io/linuxserver.io/netbox:v4.7.3-ls13 is sha256:bbbb of commit " + before}},
		"the first release": {func(f *release.Facts) { f.Published = nil }, "v4.7.3-ls1", false,
			[]string{"nothing is published yet", "it is the first release"}},
		"the list of packages has caught up with what is published": {func(f *release.Facts) {
			f.Published.Commit, f.Changed, f.Package, f.ListChanges = before, []string{sbom.ListFile, "README.md"}, []byte("a"), new([]sbom.Change{})
		}, "v4.7.3-ls13", true, []string{"package_versions.txt differs from the published one", "only files outside the image changed"}},
		"the list of packages is another one": {func(f *release.Facts) {
			f.Published.Commit, f.Changed, f.Package = before, []string{sbom.ListFile}, []byte("a")
			f.ListChanges = new([]sbom.Change{{Name: "bash", Type: "deb", Old: "1", New: "2"}})
		}, "v4.7.3-ls13", false, []string{"package_versions.txt is not what is published: bash 1 -> 2"}},
		"built again it has other packages": {func(f *release.Facts) {
			f.Rebuilt = &release.Rebuilt{Platform: "linux/amd64", Differs: []string{"RUN packages"}, Packages: []sbom.Change{
				{Name: "bash", Old: "1", New: "2"}, {Name: "zstd", Old: "1"}, {Name: "a", New: "1"}, {Name: "b", New: "1"}}}
		}, "v4.7.3-ls13", false, []string{"built again for linux/amd64, has other packages: bash 1 -> 2, zstd removed, was 1, a added 1 and 1 more"}},
		"the owner releases": {func(f *release.Facts) { f.Force, f.Owner = true, "LinuxServer" }, "v4.7.3-ls13", false, nil},
		"a fork has nowhere to publish": {func(f *release.Facts) { f.Force, f.Owner = true, "Ann" }, "v4.7.3-ls13", true,
			[]string{"skip: Ann has no right to publish to ghcr.io/linuxserver/netbox: name repositories of your own under repositories in versions.yml, such as ghcr.io/ann/netbox"}},
		"a fork with repositories of its own": {func(f *release.Facts) {
			f.Owner, f.Force, f.Repositories.Live = "Ann", true, []string{"ghcr.io/ann/netbox"}
		}, "v4.7.3-ls13", false, nil},
		"a fork that publishes elsewhere": {func(f *release.Facts) {
			f.Owner, f.Force, f.Repositories.Live = "Ann", true, []string{"quay.io/ann/netbox"}
		}, "v4.7.3-ls13", false, nil},
		"images are pinned in every way": {func(f *release.Facts) {
			a, b := "sha256:"+strings.Repeat("a", 64), "sha256:"+strings.Repeat("b", 64)
			f.Images = []release.PinnedImage{{Name: "a:1"}, {Name: "b:1", Digest: a, Now: a}, {Name: "c:1", Digest: a, Now: b}, {Name: "d:1", Digest: a, Problem: "no route"}}
		}, "v4.7.3-ls13", true, []string{
			"\npinned images:\n  a:1: pinned by tag, no digest known yet: run \"go run ./ci pin --images\"\n  b:1: pinned at aaaaaaaaaaaa, as the tag is now\n",
			"  c:1: behind: pinned at aaaaaaaaaaaa, the tag is now bbbbbbbbbbbb: run \"go run ./ci pin --images\"\n  d:1: pinned at aaaaaaaaaaaa; the tag is not known: no route\n"}},
		"a newer NetBox is pinned": {func(f *release.Facts) { f.Pinned = "4.8.0" }, "v4.8.0-ls13", false,
			[]string{"4.7.3 is published, this release has 4.8.0", "versions.yml pins it"}},
		"a newer NetBox is upstream": {func(f *release.Facts) { f.Upstream = "4.8.0" }, "v4.8.0-ls13", false,
			[]string{"it is the newest release upstream; versions.yml pins 4.7.3", `next: run "go run ./ci pin --netbox 4.8.0" and commit the result`}},
		"upstream is what is pinned": {func(f *release.Facts) { f.Upstream = "4.7.3" }, "v4.7.3-ls13", true,
			[]string{"it is the newest release upstream"}},
		"upstream is behind": {func(f *release.Facts) { f.Upstream = "4.7.2" }, "v4.7.3-ls13", true,
			[]string{"upstream offers nothing newer than 4.7.2"}},
		"another NetBox is asked for": {func(f *release.Facts) { f.Requested = "4.7.10" }, "v4.7.10-ls13", false, []string{"--netbox asks for it"}},
		"a file of the image has changed": {func(f *release.Facts) {
			f.Published.Commit, f.Changed = before, []string{"README.md", "root/etc/s6-overlay/s6-rc.d/svc-netbox/run"}
		}, "v4.7.3-ls13", false, []string{"since the published 222222222222: root/etc/s6-overlay/s6-rc.d/svc-netbox/run"}},
		"only the documentation has changed": {func(f *release.Facts) {
			f.Published.Commit, f.Changed = before, []string{"README.md", "docs/ldap.md", ".github/workflows/release.yml", "tests/life/boot_test.go", "readme-vars.yml", "LICENSE"}
		}, "v4.7.3-ls13", true, []string{"only files outside the image changed: README.md, docs/ldap.md, .github/workflows/release.yml and 3 more"}},
		"a page inside the image is no documentation": {func(f *release.Facts) {
			f.Published.Commit, f.Changed = before, []string{"root/opt/netbox/README.md"}
		}, "v4.7.3-ls13", false, []string{"root/opt/netbox/README.md"}},
		"another commit with the same files": {func(f *release.Facts) { f.Published.Commit = before }, "v4.7.3-ls13", true,
			[]string{"has the same files as the published 222222222222"}},
		"the published commit is unknown": {func(f *release.Facts) { f.Published.Commit, f.Unknown = before, true }, "v4.7.3-ls13", false,
			[]string{"the published commit 222222222222 is not in this clone"}},
		"the base has changed": {func(f *release.Facts) { f.Base.Digest = "sha256:ccccccccccccdddd" }, "v4.7.3-ls13", false,
			[]string{"was aaaaaaaaaaaa, now it is cccccccccccc"}},
		"the base has changed, though the tag is at HEAD": {func(f *release.Facts) {
			f.Base.Digest, f.Tags = "sha256:ccccccccccccdddd", []string{"v4.7.3-ls12"}
		}, "v4.7.3-ls13", false, []string{"its git tag is at HEAD, but the image would be another one"}},
		"it is built on another base": {func(f *release.Facts) { f.Base = release.Base{Name: "local"} }, "v4.7.3-ls13", false,
			[]string{"ghcr.io/linuxserver/baseimage-alpine:3.20 was the base, now it is local"}},
		"the base has no digest": {func(f *release.Facts) { f.Base.Digest, f.Published.Base.Digest = "", "" }, "v4.7.3-ls13", true,
			[]string{"is made of packages, it has no digest to compare"}},
		"the list of packages has changed": {func(f *release.Facts) {
			f.Published.Commit, f.Changed = before, []string{"package_versions.txt"}
		}, "v4.7.3-ls13", false, []string{"package_versions.txt has changed"}},
		"built again it is the same": {func(f *release.Facts) { f.Rebuilt = &release.Rebuilt{Platform: "linux/amd64"} }, "v4.7.3-ls13", true,
			[]string{"the same to the byte"}},
		"built again it differs": {func(f *release.Facts) {
			f.Rebuilt = &release.Rebuilt{Platform: "linux/amd64", Differs: []string{"RUN /build/packages run"}}
		}, "v4.7.3-ls13", false, []string{"differs in RUN /build/packages run"}},
		"a number is asked for": {func(f *release.Facts) { f.Number = 20 }, "v4.7.3-ls20", true, []string{"--number asks for it"}},
		"a git tag is released": {func(f *release.Facts) { f.Branch, f.Tag = "", "v4.7.3-ls14" }, "v4.7.3-ls14", false,
			[]string{"git tag v4.7.3-ls14 is released"}},
		"an image without a readable label is followed when a number is given": {func(f *release.Facts) { f.Published.Version, f.Number, f.Force = "", 40, true }, "v4.7.3-ls40", false, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := release.Make(facts(test.change))
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			if err := p.Text(&text); err != nil {
				t.Fatal(err)
			}
			if p.Version != test.version || (p.Skip != "") != test.skips {
				t.Errorf("version %s, skip %q; want %s, %v", p.Version, p.Skip, test.version, test.skips)
			}
			for _, want := range test.says {
				if !strings.Contains(text.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, text.String())
				}
			}
		})
	}
}

func TestWhatCannotBeReleasedIsRefusedInOneLine(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*release.Facts)
		says   []string
	}{
		"no release":                  {func(f *release.Facts) { f.Requested = "4.8" + "x" }, []string{`"4.8x"`, "final release"}},
		"a pre-release":               {func(f *release.Facts) { f.Requested = "4.8.0b1" }, []string{`"4.8.0b1"`}},
		"a release with a v":          {func(f *release.Facts) { f.Requested = "v4.8.0" }, []string{`"v4.8.0"`, "such as 4.7.3"}},
		"a command":                   {func(f *release.Facts) { f.Requested = "4.7.3;reboot" }, []string{"final release"}},
		"an older NetBox":             {func(f *release.Facts) { f.Requested = "4.7.2" }, []string{"v4.7.3-ls12 is published", "--force"}},
		"a label from nowhere":        {func(f *release.Facts) { f.Published.Version, f.Published.Label = "", "v4.7.3-c80feb5" }, []string{"build_version", `"v4.7.3-c80feb5"`, "--number"}},
		"a number gone by":            {func(f *release.Facts) { f.Number = 11 }, []string{"v4.7.3-ls12 is published", "from 12 on"}},
		"a number below 1":            {func(f *release.Facts) { f.Number = -1 }, []string{"--number"}},
		"a tag of another sort":       {func(f *release.Facts) { f.Tag = "v4.7.3" }, []string{`"v4.7.3"`, "v4.7.3-ls12"}},
		"a tag of another NetBox":     {func(f *release.Facts) { f.Tag = "v4.7.2-ls13" }, []string{"v4.7.2-ls13", "4.7.3", "v4.7.3-ls13"}},
		"a tag gone by":               {func(f *release.Facts) { f.Tag = "v4.7.3-ls3" }, []string{"from 12 on"}},
		"the first registry optional": {func(f *release.Facts) { f.Repositories.Optional = []string{"ghcr.io"} }, []string{"ghcr.io/linuxserver/netbox", "optional", "the first"}},
		"a repository in capitals":    {func(f *release.Facts) { f.Repositories.Live = []string{"ghcr.io/LinuxServer/netbox"} }, []string{"LinuxServer"}},
		"a commit that makes no tag":  {func(f *release.Facts) { f.Branch, f.Commit = "topic", strings.Repeat("a", 200) }, []string{"128"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := release.Make(facts(test.change))
			if failure.ExitCode(err) != failure.ExitUsage || len(failure.Lines(err)) != 1 {
				t.Fatalf("got %v and plan %s, want wrong use on one line", err, p.Version)
			}
			for _, want := range test.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestEveryTagInEveryRepositoryIsNamedAndLatestMovesLast(t *testing.T) {
	p, err := release.Make(facts(func(f *release.Facts) { f.Pinned = "4.8" }))
	if err != nil {
		t.Fatal(err)
	}
	targets, err := p.Targets()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, target := range targets {
		got = append(got, target.String())
	}
	var want []string
	for _, repository := range []string{"ghcr.io/linuxserver/netbox:", "quay.io/linuxserver.io/netbox:"} {
		for _, prefix := range []string{"amd64-", "arm64v8-", ""} {
			for _, tag := range []string{"v4.8-ls13", "version-v4.8", "4.8.0", "latest"} {
				want = append(want, repository+prefix+tag)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestBranchesAndPullRequestsHaveTagsAndRepositoriesOfTheirOwn(t *testing.T) {
	list := []byte("a 1\n")
	for name, test := range map[string]struct {
		change func(*release.Facts)
		tag    string
		repo   string
		why    string
	}{
		"branch":       {func(f *release.Facts) { f.Branch, f.Package = "topic", list }, "v4.7.3-pkg-70e6e55a-dev-" + head, "ghcr.io/linuxserver/lsiodev-netbox", "branch topic is not main"},
		"detached":     {func(f *release.Facts) { f.Branch = "" }, "v4.7.3-pkg-none-dev-" + head, "ghcr.io/linuxserver/lsiodev-netbox", "no branch is checked out"},
		"pull request": {func(f *release.Facts) { f.Pull, f.Branch = 7, "main" }, "v4.7.3-pkg-none-dev-" + head + "-pr-7", "ghcr.io/linuxserver/lspipepr-netbox", "it is pull request 7"},
		"master":       {func(f *release.Facts) { f.Branch = "master" }, "v4.7.3-ls13", "ghcr.io/linuxserver/netbox", "branch master is released"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := release.Make(facts(test.change))
			if err != nil {
				t.Fatal(err)
			}
			if p.Tags[0] != test.tag || p.Repositories[0] != test.repo || p.Channel.Reason != test.why || p.ImageTags["linux/arm64"][0] != "arm64v8-"+test.tag {
				t.Errorf("got %s in %s: %s", p.Tags[0], p.Repositories[0], p.Channel.Reason)
			}
			if name != "master" && (slices.Contains(p.Tags, "latest") || p.Skip != "") {
				t.Errorf("tags %v, skip %q", p.Tags, p.Skip)
			}
		})
	}
}

func TestReleasesAreOrderedByTheirNumbers(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"4.7.3", "4.7.3", 0}, {"4.7.10", "4.7.9", 1}, {"4.7", "4.7.0", 0}, {"4.7.0.0", "4.7.0", 0}, {"4.7.0.1", "4.7.0", 1}, {"4.7", "4.7.1", -1}, {"10.0", "9.9.9", 1}} {
		if got := release.Compare(test.a, test.b); got != test.want {
			t.Errorf("%s and %s: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestPinningChangesThreeLinesAndLeavesTheRest(t *testing.T) {
	text, err := os.ReadFile("../../versions.yml")
	if err != nil {
		t.Fatal(err)
	}
	was, err := versions.Parse("versions.yml", text)
	if err != nil {
		t.Fatal(err)
	}
	got, err := release.Pin(text, "99.1.2", time.Date(2027, 2, 3, 23, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	now, err := versions.Parse("versions.yml", got)
	if err != nil {
		t.Fatal(err)
	}
	if now.NetBox.Release != "99.1.2" || now.NetBox.Previous != was.NetBox.Release || now.Epoch != "2027-02-03" {
		t.Errorf("got %+v, epoch %s", now.NetBox, now.Epoch)
	}
	a, b := strings.Split(string(text), "\n"), strings.Split(string(got), "\n")
	var differ []string
	for i := range a {
		if a[i] != b[i] {
			differ = append(differ, b[i])
		}
	}
	if len(a) != len(b) || len(differ) != 3 {
		t.Errorf("%d lines became %d, of which differ:\n%s", len(a), len(b), strings.Join(differ, "\n"))
	}

	for bad, says := range map[string]string{"4.8.0b1": "final release", was.NetBox.Release: "already", "": "final release"} {
		if _, err := release.Pin(text, bad, time.Now()); failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := release.Pin([]byte(strings.Replace(string(text), "  release: ", "  release:  ", 1)), "99.1.2", time.Now()); err != nil {
		t.Errorf("two blanks: %v", err)
	}
}

func TestOptionalRegistriesOfTheChannelAreInThePlan(t *testing.T) {
	f := facts(func(f *release.Facts) { f.Repositories.Optional = []string{"quay.io", "registry.gitlab.com"} })
	p, err := release.Make(f)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Optional, []string{"quay.io"}) {
		t.Errorf("optional are %q, want the one that is published to", p.Optional)
	}
	var text strings.Builder
	if err := p.Text(&text); err != nil || !strings.Contains(text.String(), "registries that may fail:\n  quay.io\n") {
		t.Errorf("%v:\n%s", err, &text)
	}
}
