package main

import (
	"bytes"
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
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// project is a clone of a repository that contains only pins, and two registries
// that it publishes to.
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
	text := regexp.MustCompile(`@sha256:[0-9a-f]{64}`).ReplaceAllString(string(pins), "") // tests use no other registries
	for _, at := range []string{"    - ghcr.io/linuxserver/netbox\n", "    - docker.io/linuxserver/netbox\n"} {
		repository := registrytest.Server(t, ggcr.WithReferrersSupport(true)) + "/linuxserver/netbox"
		p.repositories = append(p.repositories, repository)
		text = strings.Replace(text, at, "    - "+repository+"\n", 1)
	}
	for _, line := range []string{"    - registry.gitlab.com/linuxserver.io/docker-netbox\n", "    - quay.io/linuxserver.io/netbox\n"} {
		text = strings.Replace(text, line, "", 1)
	}
	p.write("versions.yml", text)
	for _, file := range attest.PinFiles()[1:] {
		p.write(file, "django==5\n")
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
	writeIn(p.t, p.repo, name, text)
}

// writeIn writes a file of a repository and creates its parent directories.
func writeIn(t *testing.T, repo, name, text string) {
	t.Helper()
	file := filepath.Join(repo, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
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
	code = run(p.t.Context(), args, streams{out: &out, err: &err}, func(name string) string { return p.env[name] })
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

// plan plans a release and writes the plan to a file.
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

// prove writes the files that `check` of one platform writes to an output directory:
// an image and its passed report.
func (p *project) prove(platform v1.Platform, labels map[string]string, change func(*report.Report)) (output string, digest v1.Hash) {
	t := p.t
	t.Helper()
	img := registrytest.Image(t, platform, labels, registrytest.Layer(t, 20_000))
	var err error
	if digest, err = img.Digest(); err != nil {
		t.Fatal(err)
	}
	idx, err := registry.Index([]registry.PlatformImage{{Platform: platform, Image: img}}, nil)
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

// labels returns the labels of a plan's images.
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
		return nil // the repository does not exist yet
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
