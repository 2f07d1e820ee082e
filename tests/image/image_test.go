// Package image checks the sources of the image without building it: its
// Dockerfiles, its scripts and its Python package.
package image

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
)

const repository = "../.."

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The two Dockerfiles only differ in their base.
func TestDockerfilesAreInStep(t *testing.T) {
	amd64 := strings.Split(read(t, "Dockerfile"), "\n")
	arm64 := strings.Split(read(t, "Dockerfile.aarch64"), "\n")
	if len(amd64) != len(arm64) {
		t.Fatalf("Dockerfile has %d lines, Dockerfile.aarch64 has %d", len(amd64), len(arm64))
	}
	differ := 0
	for i := range amd64 {
		if amd64[i] == arm64[i] {
			continue
		}
		differ++
		if !strings.HasPrefix(amd64[i], "ARG BASE_IMAGE=") || !strings.HasPrefix(arm64[i], "ARG BASE_IMAGE=") {
			t.Errorf("line %d differs:\n  Dockerfile:         %s\n  Dockerfile.aarch64: %s", i+1, amd64[i], arm64[i])
		}
		if got := strings.Replace(arm64[i], ":arm64v8-", ":", 1); got != amd64[i] {
			t.Errorf("line %d: the bases are not of one release: %s, %s", i+1, amd64[i], arm64[i])
		}
	}
	if differ == 0 {
		t.Error("both Dockerfiles start from the base of amd64")
	}
}

// The default of the build argument is the published base of versions.yml.
func TestDefaultBaseIsThePublishedOne(t *testing.T) {
	var versions struct {
		Base struct{ Published string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "versions.yml")), &versions); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(versions.Base.Published, "@")
	if want := "\nARG BASE_IMAGE=" + name + "\n"; !strings.Contains(read(t, "Dockerfile"), want) {
		t.Errorf("Dockerfile has no line%sof versions.yml", want)
	}
}

// The lists pin the releases of versions.yml, and all files by their hash.
func TestRequirementsAreLocked(t *testing.T) {
	var versions struct {
		NetBox struct{ Release, Previous string } `yaml:"netbox"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "versions.yml")), &versions); err != nil {
		t.Fatal(err)
	}
	for list, release := range map[string]string{"requirements.txt": versions.NetBox.Release, "previous.txt": versions.NetBox.Previous} {
		if want := "netbox==" + release + " "; !strings.Contains(read(t, "build/"+list), "\n"+want) {
			t.Errorf("build/%s does not hold %s: run build/lock", list, want)
		}
	}
	entry := regexp.MustCompile(`(?m)^[a-z0-9.-]+==\S+( ;[^\\\n]*)?( \\\n    --hash=sha256:[0-9a-f]{64})+$`)
	named := regexp.MustCompile(`(?m)^[^#\s].*$`)
	for _, list := range []string{"requirements.txt", "previous.txt", "extras.txt", "extensions.txt", "tools.txt"} {
		text := read(t, "build/"+list)
		locked, all := entry.FindAllString(text, -1), named.FindAllString(text, -1)
		if len(all) == 0 || len(locked) != len(all) {
			t.Errorf("build/%s: %d of %d requirements are locked by hash", list, len(locked), len(all))
		}
	}
}

// TestPython runs the tests of the Python package. They need no NetBox and no service.
func TestPython(t *testing.T) {
	// Reading the sources makes them inputs of go test's result cache.
	for _, pattern := range []string{"root/opt/netbox/lib/*/*.py", "tests/image/*.py"} {
		files, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("looking for %s: found %d, %v", pattern, len(files), err)
		}
		for _, file := range files {
			read(t, strings.TrimPrefix(file, repository+"/"))
		}
	}
	basetest.Machine(t, repository) // installs python3
	cmd := exec.CommandContext(t.Context(), "python3", "-W", "error::SyntaxWarning", "-m", "unittest", "discover", "--verbose", "--start-directory", ".")
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(repository, "root/opt/netbox/lib"), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("python3 -m unittest: %v\n%s", err, out)
	}
	ran := regexp.MustCompile(`(?m)^Ran (\d+) tests?`).FindSubmatch(out)
	if ran == nil || string(ran[1]) == "0" {
		t.Fatalf("no test ran:\n%s", out)
	}
	t.Logf("%s", out)
}

// Mods compile extensions: Python's headers stay in the image, in whatever
// directory the distribution installs them.
func TestNoHeaderOfPythonsIsRemoved(t *testing.T) {
	removed := regexp.MustCompile(`/usr/include/(\S*)`).FindAllStringSubmatch(read(t, "Dockerfile"), -1)
	for _, header := range removed {
		if header[1] != "iproute2" {
			t.Errorf("the Dockerfile removes /usr/include/%s", header[1])
		}
	}
}
