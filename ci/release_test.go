package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
)

func TestAReleaseMadeOnTwoMachinesBecomesOneIndexBeforeAnyTagMoves(t *testing.T) {
	p := newProject(t)
	plan, file := p.plan("--published", p.repositories[0]+":latest")
	if plan.Version != "v4.7.3-ls1" || plan.Skip != "" {
		t.Fatalf("plan %+v", plan)
	}
	digests := map[string]string{}
	for _, platform := range []v1.Platform{amd64, arm64} {
		output, digest := p.prove(platform, labels(plan), nil)
		digests[platform.Architecture] = digest.String()
		p.good("publish", "--plan", file, "--by-digest", "--output", output)
	}
	index := p.good("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"), "--by-digest")
	for _, repository := range p.repositories {
		if tags := p.tags(repository); len(tags) != 0 {
			t.Errorf("%s has tags already: %v", repository, tags)
		}
		if got := p.digest(repository + "@" + strings.TrimSpace(index)); got+"\n" != index {
			t.Errorf("%s has %s, want %s", repository, got, index)
		}
	}
	if again := p.good("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven")); again != index {
		t.Errorf("the index was %s and is %s", index, again)
	}
	want := map[string]string{}
	for _, tag := range []string{"v4.7.3-ls1", "version-v4.7.3", "4.7.3", "latest"} {
		want[tag], want["amd64-"+tag], want["arm64v8-"+tag] = strings.TrimSpace(index), digests["amd64"], digests["arm64"]
	}
	for _, repository := range p.repositories {
		if tags := p.tags(repository); len(tags) != len(want) {
			t.Errorf("%s has %v", repository, tags)
		}
		for tag, digest := range want {
			if got := p.digest(repository + ":" + tag); got != digest {
				t.Errorf("%s:%s is %s, want %s", repository, tag, got, digest)
			}
		}
	}
	if out := p.file("output"); !strings.Contains(out, "digest<<_GitHubActionsFileCommandDelimeter_\n"+index) {
		t.Errorf("outputs:\n%s", out)
	}
	for _, want := range []string{"| linux/amd64 | ✅ passed |", "| linux/arm64 | ✅ passed |", "`" + p.repositories[1] + ":arm64v8-latest`"} {
		if !strings.Contains(p.file("summary"), want) {
			t.Errorf("the summary does not hold %q:\n%s", want, p.file("summary"))
		}
	}

	old := filepath.Join(p.dir, "old.json")
	if err := os.Rename(file, old); err != nil {
		t.Fatal(err)
	}

	// Without further changes no release is due.
	after, _ := p.plan()
	if !strings.Contains(after.Skip, "nothing has changed since") || after.Published.Version != "v4.7.3-ls1" {
		t.Errorf("skip %q, published %+v", after.Skip, after.Published)
	}
	if !strings.Contains(p.file("output"), "skip<<_GitHubActionsFileCommandDelimeter_\nnothing has changed since") {
		t.Errorf("outputs:\n%s", p.file("output"))
	}
	p.write("ci/help.go", "package main\n")
	p.write("tools/d2/go.sum", "a sum\n")
	p.commitAll("what no image is made of")
	if after, _ = p.plan(); !strings.Contains(after.Skip, "only files outside the image changed: ci/help.go, tools/d2/go.sum") {
		t.Errorf("after changes of the tools: skip %q", after.Skip)
	}
	for _, file := range []string{"root/opt/netbox/conf/x.py", "pipeline/base/init/boot.go", "Dockerfile"} {
		p.write(file, "package main\n")
		p.commitAll(file)
		if after, _ = p.plan(); after.Skip != "" || after.Version != "v4.7.3-ls2" || after.Commit != p.commit || !strings.Contains(after.Why(), file) {
			t.Errorf("after a change of %s: skip %q, version %s, since %s", file, after.Skip, after.Version, after.Why())
		}
	}
	if _, stderr, code := p.ci("merge", "--plan", old, "--reports", filepath.Join(p.dir, "proven")); code != failure.ExitUsage || !strings.Contains(stderr, "planned for commit") {
		t.Errorf("an old plan: status %d, %s", code, stderr)
	}
}

func TestImagesThatDoNotAgreeAreNotMerged(t *testing.T) {
	p := newProject(t)
	plan, file := p.plan("--published", "none")
	others := labels(plan)
	others["org.opencontainers.image.version"] = "v4.7.3-ls9"
	for name, test := range map[string]struct {
		labels map[string]string
		change func(*report.Report)
		says   string
	}{
		"another commit":         {labels(plan), func(r *report.Report) { r.Commit = strings.Repeat("0", 40) }, "build all images from one commit"},
		"another base":           {labels(plan), func(r *report.Report) { r.Base.Name = "oci:elsewhere" }, "build all images on one base"},
		"another NetBox":         {labels(plan), func(r *report.Report) { r.Version = "4.7.2" }, "build all images of one release"},
		"another version":        {others, nil, `want "v4.7.3-ls1"`},
		"a boot that failed":     {labels(plan), func(r *report.Report) { r.Stages[2].Errors = []string{"broken"} }, "no check of it has passed"},
		"an image never pushed":  {labels(plan), func(r *report.Report) { r.Platforms[0].Image = "sha256:" + strings.Repeat("0", 64) }, "404 Not Found"},
		"the other architecture": {labels(plan), func(r *report.Report) { r.Platforms = nil }, "a report has no image"},
	} {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.t, p.dir = t, t.TempDir()
			p.env = nil
			for _, machine := range []struct {
				platform v1.Platform
				labels   map[string]string
				change   func(*report.Report)
			}{{amd64, labels(plan), nil}, {arm64, test.labels, test.change}} {
				output, _ := p.prove(machine.platform, machine.labels, nil)
				p.good("publish", "--plan", file, "--by-digest", "--output", output)
				if machine.change != nil { // in the report of its machine
					r, err := report.Load(filepath.Join(output, "report"))
					if err != nil {
						t.Fatal(err)
					}
					machine.change(&r)
					if err := r.Write(filepath.Join(p.dir, "proven", machine.platform.Architecture), func(s string) string { return s }); err != nil {
						t.Fatal(err)
					}
				}
			}
			stdout, stderr, code := p.ci("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"))
			if code == 0 || stdout != "" || !strings.Contains(stderr, test.says) {
				t.Errorf("status %d, %q, want %q in:\n%s", code, stdout, test.says, stderr)
			}
			for _, repository := range p.repositories {
				if tags := p.tags(repository); len(tags) != 0 {
					t.Errorf("tags moved: %v", tags)
				}
			}
		})
	}
}

func TestAPlanIsPrintedWithItsReasons(t *testing.T) {
	p := newProject(t)
	text := p.good("release", "--dry-run")
	for _, want := range []string{
		"release v4.7.3-ls1\n", "versions.yml pins it", "branch main is released", "it is the first release", "nothing is published yet",
		"  " + p.repositories[1] + "\n", "\ntags of the index:\n  v4.7.3-ls1\n  version-v4.7.3\n  4.7.3\n  latest\n",
		"\ntags of linux/arm64:\n  arm64v8-v4.7.3-ls1\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	var plan release.Plan
	if err := json.Unmarshal([]byte(p.good("release", "--dry-run", "--json")), &plan); err != nil || plan.Version != "v4.7.3-ls1" {
		t.Errorf("as JSON: %+v, %v", plan, err)
	}
	for ref, want := range map[string]string{
		"refs/pull/7/merge":      "-dev-" + p.commit + "-pr-7",
		"refs/heads/topic":       "-dev-" + p.commit,
		"refs/tags/v4.7.3-ls30":  "v4.7.3-ls30",
		"refs/heads/tags/v9-ls1": "-dev-" + p.commit,
	} {
		p.env["GITHUB_REF"] = ref
		if plan, _ := p.plan(); !strings.HasSuffix(plan.Version, want) {
			t.Errorf("%s: version %s, want …%s", ref, plan.Version, want)
		}
	}
	p.env["GITHUB_REF"] = "refs/tags/nightly"
	if _, stderr, code := p.ci("release", "--dry-run"); code != failure.ExitUsage || !strings.Contains(stderr, "::error::") || !strings.Contains(stderr, `"nightly"`) {
		t.Errorf("a tag of another sort: status %d, %s", code, stderr)
	}
	p.env = nil
	if text := p.good("release", "--dry-run"); !strings.Contains(text, "branch main is released") {
		t.Errorf("outside Actions git is not asked:\n%s", text)
	}
	if _, stderr, _ := p.ci("release", "--dry-run", "--netbox", "nonsense"); strings.Contains(stderr, "::") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("outside Actions: %q", stderr)
	}
}

func TestNoReleaseIsMadeOfFilesThatAreNotCommittedOrNotLocked(t *testing.T) {
	p := newProject(t)
	if _, stderr, code := p.ci("release", "--netbox", "99.0.0"); code != failure.ExitUsage || !strings.Contains(stderr, "go run ./ci pin --netbox 99.0.0") {
		t.Errorf("another NetBox: status %d, %s", code, stderr)
	}
	if err := os.WriteFile(filepath.Join(p.repo, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := p.ci("release"); code != failure.ExitUsage || !strings.Contains(stderr, "commit them") {
		t.Errorf("a new file: status %d, %s", code, stderr)
	}
	if text := p.good("release", "--dry-run"); !strings.Contains(text, "\nnext: commit the files that differ from commit "+p.commit[:12]) || strings.Contains(text, "shallow") {
		t.Errorf("the plan does not say what to do about a new file:\n%s", text)
	}
	p.commitAll("two")
	shallow := t.TempDir()
	p.git("clone", "-q", "--depth=1", "file://"+p.repo, shallow)
	p.repo = shallow
	if text := p.good("release", "--dry-run"); !strings.Contains(text, "\nnext: run \"git fetch --unshallow --tags\"") || strings.Contains(text, "commit the files") {
		t.Errorf("the plan does not say what to do about a shallow clone:\n%s", text)
	}
	p.git("fetch", "-q", "--unshallow", "--tags")
	if text := p.good("release", "--dry-run"); strings.Contains(text, "next:") {
		t.Errorf("something is still to be done:\n%s", text)
	}
}

func TestAnErrorInAFileIsAnnotatedOnItsLine(t *testing.T) {
	p := newProject(t)
	pins := filepath.Join(p.repo, "versions.yml")
	text, err := os.ReadFile(pins)
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(text), "suite:")
	if !found {
		t.Fatal("versions.yml has no suite")
	}
	if err := os.WriteFile(pins, bytes.Replace(text, []byte("suite:"), []byte("suit:"), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("::error file=versions.yml,line=%d::versions.yml:", strings.Count(before, "\n")+1)
	if _, stderr, code := p.ci("release", "--dry-run"); code != failure.ExitUsage || !strings.Contains(stderr, want) {
		t.Errorf("status %d, want %q in:\n%s", code, want, stderr)
	}
}

func TestCredentialsInTheEnvironmentAreUsedAndMasked(t *testing.T) {
	p := newProject(t)
	host, _, _ := strings.Cut(p.repositories[0], "/")
	suffix := strings.NewReplacer(".", "_", ":", "_").Replace(host)
	p.env["REGISTRY_USERNAME_"+suffix], p.env["REGISTRY_PASSWORD_"+suffix] = "robot", "correct-horse"
	_, stderr, code := p.ci("release", "--dry-run")
	if code != 0 || strings.Count(stderr, "correct-horse") != 1 || !strings.Contains(stderr, "::add-mask::correct-horse\n") {
		t.Errorf("status %d, %s", code, stderr)
	}
}
