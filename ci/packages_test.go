package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// list returns a package_versions.txt with these Python packages.
func list(packages ...string) string {
	text := "NAME    VERSION  TYPE\n"
	for _, p := range packages {
		name, version, _ := strings.Cut(p, " ")
		text += fmt.Sprintf("%-6s  %-7s  python\n", name, version)
	}
	return text
}

// holds returns a function that sets the packages of a report's image.
func holds(t *testing.T, table string) func(*report.Report) {
	packages, err := sbom.ParseTable([]byte(table))
	if err != nil {
		t.Fatal(err)
	}
	type property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	type component struct {
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		Properties []property `json:"properties"`
	}
	document := struct {
		BOMFormat  string      `json:"bomFormat"`
		Components []component `json:"components"`
	}{BOMFormat: "CycloneDX"}
	for _, p := range packages {
		document.Components = append(document.Components, component{p.Name, p.Version, []property{{"syft:package:type", p.Type}}})
	}
	cycloneDX, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return func(r *report.Report) {
		p := &r.Platforms[0]
		p.Packages = packages
		name := strings.ReplaceAll(p.Platform, "/", "-")
		r.Documents = append(r.Documents,
			report.Document{Name: name + ".cdx.json", Platform: p.Platform, Type: sbom.CycloneDXType, Text: cycloneDX},
			report.Document{Name: name + ".txt", Platform: p.Platform, Type: sbom.ListType, Text: []byte(table)})
	}
}

func TestPackagesWritesTheListOfTheLastCheck(t *testing.T) {
	p := newProject(t)
	file := filepath.Join(p.repo, sbom.ListFile)
	now := list("netbox 4.7.3")
	output, _ := p.prove(amd64, nil, holds(t, now))
	if stdout, stderr, code := p.ci("packages", "--check", "--output", output); code != 1 || stdout != "  python  netbox  added 4.7.3\n" || !strings.Contains(stderr, `run "go run ./ci packages"`) {
		t.Errorf("no list: status %d, %q, %s", code, stdout, stderr)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("--check has written it")
	}
	if err := os.WriteFile(file, []byte(list("netbox 4.7.2", "pip 1")), 0o644); err != nil {
		t.Fatal(err)
	}
	if stdout := p.good("packages", "--output", output); stdout != "  python  netbox  4.7.2 -> 4.7.3\n  python  pip     removed, was 1\n" {
		t.Errorf("an old list: %q", stdout)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != now {
		t.Errorf("it is now %q, %v", got, err)
	}
	if stdout := p.good("packages", "--check", "--output", output); stdout != "" {
		t.Errorf("the list is right: %q", stdout)
	}
	if stdout := p.good("packages", "--json", "--output", output); stdout != "[]\n" {
		t.Errorf("as JSON: %q", stdout)
	}
	output, _ = p.prove(arm64, nil, holds(t, now))
	if _, stderr, code := p.ci("packages", "--output", output); code != 2 || !strings.Contains(stderr, "check --platform linux/amd64") {
		t.Errorf("a check of another platform: status %d, %s", code, stderr)
	}
}

func TestAReleaseIsAnnouncedWithWhatHasChangedSinceTheLast(t *testing.T) {
	p := newProject(t)
	spoil := func(string) {}
	release := func(packages ...string) (planned, body string) {
		t.Helper()
		plan, file := p.plan("--published", p.repositories[0]+":latest")
		spoil(file)
		if plan.Skip != "" {
			t.Fatalf("skipped: %s", plan.Skip)
		}
		for _, platform := range []struct {
			output string
		}{{first(p.prove(amd64, labels(plan), holds(t, list(packages...))))}, {first(p.prove(arm64, labels(plan), holds(t, list(packages...))))}} {
			p.good("publish", "--plan", file, "--by-digest", "--output", platform.output)
		}
		p.good("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"), "--by-digest")
		if p.file("dist/release/tag") == plan.Version+"\n" {
			t.Error("it is announced before any tag has moved")
		}
		p.good("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"))
		if got := p.file("dist/release/title"); got != plan.Version+"\n" || got != p.file("dist/release/tag") {
			t.Errorf("title %q", got)
		}
		if got := p.file("dist/release/" + sbom.ListFile); got != list(packages...) {
			t.Errorf("the list is %q", got)
		}
		body = p.file("dist/release/body.md")
		for _, want := range []string{"docker pull " + p.repositories[0] + ":" + plan.Version + "\n", "actions/runs/42"} {
			if !strings.Contains(body, want) {
				t.Errorf("it does not say %q:\n%s", want, body)
			}
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		return plan.Version, body
	}
	write := func(name, text, message string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(p.repo, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		p.commitAll(message)
	}
	write(sbom.ListFile, list("netbox 4.7.2", "pip 1"), "List packages")
	version, body := release("netbox 4.7.2", "pip 1")
	if version != "v4.7.3-ls1" || !strings.Contains(body, "the first release of this image") || strings.Contains(body, "## Packages") {
		t.Errorf("%s says\n%s", version, body)
	}

	write("Dockerfile", "FROM base\n", "Change the image")
	version, body = release("netbox 4.7.3", "pip 1")
	for _, want := range []string{
		"before it was 4.7.2: [what is new]", "Since v4.7.3-ls1:\n\n- commit: ", p.commit + " Change the image\n",
		"Package: 1 changed since v4.7.3-ls1.", "| netbox | python | 4.7.2 | 4.7.3 |",
	} {
		if version != "v4.7.3-ls2" || !strings.Contains(body, want) {
			t.Errorf("%s does not say %q:\n%s", version, want, body)
		}
	}
	if !strings.Contains(p.file("dist/report/report.json"), `"old": "4.7.2"`) {
		t.Error("the report does not show the difference")
	}

	// The published image can no longer be read.
	write("Dockerfile", "FROM other\n", "Change it again")
	spoil = func(file string) {
		plan, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, regexp.MustCompile(`"digest": "sha256:[0-9a-f]{64}"`).ReplaceAll(plan, []byte(`"digest": "sha256:`+strings.Repeat("0", 64)+`"`)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	version, body = release("netbox 4.7.3", "pip 1")
	if version != "v4.7.3-ls3" || !strings.Contains(body, "It is not known which packages have changed since v4.7.3-ls2.") ||
		!strings.Contains(body, "Not compared: ") || strings.Contains(body, "no image of it was published") {
		t.Errorf("%s says\n%s", version, body)
	}

	// Updating the list to the released packages is no reason for a release.
	write(sbom.ListFile, list("netbox 4.7.3", "pip 1"), "List what was released")
	if plan, _ := p.plan(); !strings.Contains(plan.Skip, "package_versions.txt differs from the published one") {
		t.Errorf("the list of what was released: %+v", plan)
	}
	write(sbom.ListFile, list("netbox 4.7.3", "pip 2"), "List another pip")
	if text := p.good("release", "--dry-run"); !strings.Contains(text, "package_versions.txt is not what is published: pip 1 -> 2") {
		t.Errorf("another list:\n%s", text)
	}
	write(sbom.ListFile, "junk", "Spoil the list")
	if _, stderr, code := p.ci("release", "--dry-run"); code != 2 || !strings.Contains(stderr, "package_versions.txt: read a list of packages") {
		t.Errorf("junk: status %d, %s", code, stderr)
	}
}

func TestPublishingByAPlanAnnouncesTheReleaseToo(t *testing.T) {
	p := newProject(t)
	plan, file := p.plan("--published", "none")
	var whole report.Report
	var images []registry.PlatformImage
	for _, platform := range []v1.Platform{amd64, arm64} {
		output, _ := p.prove(platform, labels(plan), holds(t, list("netbox 4.7.3")))
		idx, err := registry.ReadLayout(t.Context(), filepath.Join(output, "image"))
		if err != nil {
			t.Fatal(err)
		}
		one, err := registry.Images(idx)
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, one...)
		r, err := report.Load(filepath.Join(output, "report"))
		if err != nil {
			t.Fatal(err)
		}
		r.Platforms, r.Stages = append(whole.Platforms, r.Platforms...), append(whole.Stages, r.Stages...)
		r.Expected, r.Documents = append(whole.Expected, r.Expected...), append(whole.Documents, r.Documents...)
		whole = r
	}
	idx, err := registry.Index(images, map[string]string{registry.VersionLabel: plan.Version, registry.RevisionLabel: plan.Commit})
	if err != nil {
		t.Fatal(err)
	}
	digest, err := idx.Digest()
	if err != nil {
		t.Fatal(err)
	}
	whole.Index = digest.String()
	output := filepath.Join(p.dir, "dist")
	if err := registry.WriteLayout(filepath.Join(output, "image"), idx); err != nil {
		t.Fatal(err)
	}
	if err := whole.Write(filepath.Join(output, "report"), func(s string) string { return s }); err != nil {
		t.Fatal(err)
	}
	p.good("publish", "--plan", file)
	if body := p.file("dist/release/body.md"); !strings.Contains(body, "| all | `"+whole.Index+"` | `"+plan.Version+"`") || !strings.Contains(body, "docker pull "+p.repositories[1]+":"+plan.Version) {
		t.Errorf("it says\n%s", body)
	}
	if got := p.file("dist/release/" + sbom.ListFile); got != list("netbox 4.7.3") {
		t.Errorf("the list is %q", got)
	}
}

func first(output string, _ any) string { return output }
