package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	ggcr "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// project is a clone of a repository with nothing in it but pins, and two
// registries that it publishes to.
type project struct {
	t            *testing.T
	repo, dir    string
	commit       string
	repositories []string
	env          map[string]string
}

func newProject(t *testing.T) *project {
	t.Helper()
	p := &project{t: t, repo: t.TempDir(), dir: t.TempDir()}
	pins, err := os.ReadFile("../versions.yml")
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`@sha256:[0-9a-f]{64}`).ReplaceAllString(string(pins), "") // no test asks other registries
	for _, at := range []string{"    - ghcr.io/linuxserver/netbox\n", "    - docker.io/linuxserver/netbox\n"} {
		server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0)), ggcr.WithReferrersSupport(true)))
		t.Cleanup(server.Close)
		repository := strings.TrimPrefix(server.URL, "http://") + "/linuxserver/netbox"
		p.repositories = append(p.repositories, repository)
		text = strings.Replace(text, at, "    - "+repository+"\n", 1)
	}
	for _, line := range []string{"    - registry.gitlab.com/linuxserver.io/docker-netbox\n", "    - quay.io/linuxserver.io/netbox\n"} {
		text = strings.Replace(text, line, "", 1)
	}
	if err := os.WriteFile(filepath.Join(p.repo, "versions.yml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, file := range attest.PinFiles()[1:] {
		if err := os.MkdirAll(filepath.Join(p.repo, filepath.Dir(file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(p.repo, file), []byte("django==5\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"Dockerfile": "FROM a\nCOPY root/ /\n", "Dockerfile.aarch64": "FROM a\n", "go.mod": "module m\n\ngo 1.26\n",
		"pipeline/base/init/main.go": "package main\n\nfunc main() {}\n", "pipeline/base/mods/main.go": "package main\n\nfunc main() {}\n",
	} {
		p.write(name, text)
	}
	p.git("init", "-q", "-b", "main")
	p.commitAll("one")
	p.env = map[string]string{
		"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": filepath.Join(p.dir, "output"), "GITHUB_STEP_SUMMARY": filepath.Join(p.dir, "summary"),
		"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "linuxserver/docker-netbox", "GITHUB_RUN_ID": "42",
		"GITHUB_REF": "refs/heads/main",
	}
	return p
}

func (p *project) write(name, text string) {
	p.t.Helper()
	file := filepath.Join(p.repo, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *project) git(args ...string) string {
	p.t.Helper()
	out, err := exec.Command("git", append([]string{"-C", p.repo, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p *project) commitAll(message string) {
	p.git("add", "-A")
	p.git("commit", "-q", "-m", message)
	p.commit = p.git("rev-parse", "HEAD")
}

// ci runs a verb as a step of a workflow would.
func (p *project) ci(args ...string) (stdout, stderr string, code int) {
	p.t.Helper()
	args = append(args, "--repo", p.repo)
	if !slices.Contains(args, "--output") && reads(p.t, args[0], "--output") {
		args = append(args, "--output", filepath.Join(p.dir, "dist"))
	}
	var out, err bytes.Buffer
	code = run(p.t.Context(), args, streams{in: strings.NewReader(""), out: &out, err: &err}, func(name string) string { return p.env[name] })
	return out.String(), err.String(), code
}

func (p *project) good(args ...string) string {
	p.t.Helper()
	stdout, stderr, code := p.ci(args...)
	if code != 0 {
		p.t.Fatalf("%v: status %d:\n%s", args, code, stderr)
	}
	return stdout
}

func (p *project) file(name string) string {
	text, _ := os.ReadFile(filepath.Join(p.dir, name))
	return string(text)
}

// plan plans a release into a file.
func (p *project) plan(args ...string) (release.Plan, string) {
	p.t.Helper()
	file := filepath.Join(p.dir, "plan.json")
	text := p.good(append([]string{"release", "--dry-run", "--json"}, args...)...)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
	plan, err := release.Load(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return plan, file
}

// prove leaves in an output directory what `check` of one platform does: an
// image, and the report that it was found good.
func (p *project) prove(platform v1.Platform, labels map[string]string, change func(*report.Report)) (output string, digest v1.Hash) {
	t := p.t
	t.Helper()
	layer, err := random.Layer(20_000, types.OCILayer)
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.Append(mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON), mutate.Addendum{Layer: layer})
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant, config.Config.Labels = platform.OS, platform.Architecture, platform.Variant, labels
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	if digest, err = img.Digest(); err != nil {
		t.Fatal(err)
	}
	idx, err := registry.Index([]registry.PlatformImage{{Platform: platform, Image: img}}, registry.About{})
	if err != nil {
		t.Fatal(err)
	}
	key := registry.Key(platform)
	output = filepath.Join(p.dir, "dist-"+platform.Architecture)
	if err := registry.WriteLayout(filepath.Join(output, "image"), idx); err != nil {
		t.Fatal(err)
	}
	r := report.Report{Commit: p.commit, Version: "4.7.3", Base: report.Base{Name: "local"}, Platforms: []report.Platform{{Platform: key, Image: digest.String()}}}
	for _, stage := range []string{"build", "graph", "boot", "smoke", "stop"} {
		r.Stages = append(r.Stages, report.Stage{Key: report.Key{Stage: stage, Platform: key}, Seconds: 1})
		r.Expected = append(r.Expected, report.Key{Stage: stage, Platform: key})
	}
	if change != nil {
		change(&r)
	}
	if err := r.Write(filepath.Join(output, "report"), func(s string) string { return s }); err != nil {
		t.Fatal(err)
	}
	proven := filepath.Join(p.dir, "proven", platform.Architecture)
	if err := r.Write(proven, func(s string) string { return s }); err != nil {
		t.Fatal(err)
	}
	return output, digest
}

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
)

// labels are what images of a plan carry.
func labels(plan release.Plan) map[string]string {
	return map[string]string{
		"build_version":                     "Linuxserver.io version:- " + plan.Version + " Build-date:- 2026-11-23T00:00:00Z",
		"org.opencontainers.image.version":  plan.Version,
		"org.opencontainers.image.revision": plan.Commit,
		"org.opencontainers.image.source":   pipeline.SourceURL,
	}
}

// tags lists the tags of a repository.
func (p *project) tags(repository string) []string {
	p.t.Helper()
	repo, err := name.NewRepository(repository)
	if err != nil {
		p.t.Fatal(err)
	}
	list, err := remote.List(repo)
	if err != nil {
		return nil // nothing there yet
	}
	return list
}

func (p *project) digest(reference string) string {
	p.t.Helper()
	d, err := registry.Source{}.Digest(p.t.Context(), reference)
	if err != nil {
		p.t.Error(err)
	}
	return d.String()
}

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

	// And now there is nothing to do, until something changes.
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
	if after, _ = p.plan(); !strings.Contains(after.Skip, "only what no image is made of has changed: ci/help.go, tools/d2/go.sum") {
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
				if machine.change != nil { // what its machine says of it
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

func TestAPlanIsToldWithItsReasons(t *testing.T) {
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

func TestAMistakeInAFileIsAnnotatedOnItsLine(t *testing.T) {
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
