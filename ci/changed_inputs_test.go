package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	baseimage "github.com/linuxserver/docker-netbox/pipeline/base"
	"github.com/linuxserver/docker-netbox/pipeline/release"
)

// This test treats all files of this repository as changed.
func TestChangedInputsAreThoseOfTheDockerfilesAndTheBase(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "git", "-C", "..", "ls-files", "-z").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	base, err := (&baseimage.Builder{Source: ".."}).Inputs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	entering := func(base *baseimage.Inputs) []string {
		t.Helper()
		entering, err := release.FindChangedInputs(t.Context(), "..", "", files, base)
		if err != nil {
			t.Fatal(err)
		}
		return entering
	}
	local, published := entering(&base), entering(nil)

	image := []string{
		"Dockerfile", "Dockerfile.aarch64", ".dockerignore", "versions.yml", "build/packages", "build/requirements.txt", "build/schema", "build/extras.txt",
		"root/opt/netbox/lib/netbox_container/web.py", "root/etc/s6-overlay/s6-rc.d/svc-netbox/run", "root/etc/s6-overlay/s6-rc.d/user/contents.d/svc-netbox",
	}
	made := []string{
		"pipeline/base/debian.go", "pipeline/base/init/boot.go", "pipeline/base/mods/main.go", "pipeline/base/rootfs/etc/apt/apt.conf.d/90-lean",
		"pipeline/s6rc/compile.go", "pipeline/s6rc/sources/base/type",
	}
	never := []string{
		"ci/help.go", "ci/dagger/main.go", "pipeline/report/page/style.css", "tools/d2/go.sum", "tools/go.mod", "go.sum", "build/lock", "build/requirements.in",
		"pipeline/base/init/boot_test.go", "pipeline/base/sidecars/usr/local/bin/redis-run", "pipeline/base/browser/Dockerfile", "pipeline/registry/push.go",
		"pipeline/s6rc/testdata/recorded/01-clean-boot.txt", "README.md", "readme-vars.yml", "docs/releases.md", ".github/workflows/release.yml", "tests/life/core_test.go", "package_versions.txt", "LICENSE",
	}
	for _, file := range slices.Concat(image, made, never) {
		if !slices.Contains(files, file) && !strings.HasSuffix(file, "boot_test.go") {
			t.Errorf("%s is not in the repository", file)
		}
		if got, want := slices.Contains(local, file), !slices.Contains(never, file); got != want {
			t.Errorf("%s enters the image on the local base: %t", file, got)
		}
		if got, want := slices.Contains(published, file), slices.Contains(image, file); got != want {
			t.Errorf("%s enters the image on a published base: %t", file, got)
		}
	}
	if len(local) > len(files)/2 {
		t.Errorf("%d of %d files enter the image", len(local), len(files))
	}
}

func TestGoModCountsForPackagesThatAreCompiledIntoTheBase(t *testing.T) {
	p := newProject(t)
	const mod = "module m\n\ngo 1.26.1\n\nrequire (\n\tgolang.org/x/sys v0.49.0\n\tgithub.com/spf13/cobra v1.10.2\n)\n"
	p.write("go.mod", mod)
	p.commitAll("with a module")
	base, err := (&baseimage.Builder{Source: ".."}).Inputs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		strings.Replace(mod, "cobra v1.10.2", "cobra v1.10.3", 1): false,
		strings.Replace(mod, "sys v0.49.0", "sys v0.50.0", 1):     true,
		strings.Replace(mod, "go 1.26.1", "go 1.27.0", 1):         true,
		mod + "\ntoolchain go1.26.9\n":                            true,
		mod + "\n// a comment\n":                                  false,
	} {
		p.write("go.mod", text)
		entering, err := release.FindChangedInputs(t.Context(), p.repo, p.commit, []string{"go.mod"}, &base)
		if err != nil || (len(entering) == 1) != want {
			t.Errorf("%v, %v, want %t for\n%s", err, entering, want, text)
		}
	}
}
