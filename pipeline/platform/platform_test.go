package platform

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestParse(t *testing.T) {
	for _, test := range []struct{ names, want string }{
		{"linux/amd64", "linux/amd64"},
		{"linux/arm64", "linux/arm64/v8"},
		{"linux/arm64/v8", "linux/arm64/v8"},
		{"linux/arm64,linux/amd64,linux/arm64/v8", "linux/amd64 linux/arm64/v8"},
	} {
		platforms, err := Parse(strings.Split(test.names, ","))
		var got []string
		for _, p := range platforms {
			got = append(got, p.String())
		}
		if err != nil || strings.Join(got, " ") != test.want {
			t.Errorf("%s: %v, %v; want %s", test.names, got, err, test.want)
		}
	}
	for _, name := range []string{"", "amd64", "linux", "linux/386", "linux/arm/v7", "linux/arm64/v7", "linux/amd64/v3", "darwin/arm64", "darwin/amd64"} {
		if _, err := Parse([]string{name}); failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%q: %v, want wrong use", name, err)
		}
	}
	if _, err := Parse(nil); failure.ExitCode(err) != failure.ExitUsage {
		t.Errorf("none: %v, want wrong use", err)
	}
}

// An emulator that the kernel does not keep open cannot be used in a container.
func TestAnEmulatorIsReadyWhenItIsEnabledAndKeptOpen(t *testing.T) {
	arm, _ := Of("arm64")
	for _, test := range []struct {
		name, entry string
		want        bool
	}{
		{"missing", "", false},
		{"ready", "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POCF\noffset 0\n", true},
		{"disabled", "disabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POCF\n", false},
		{"not kept open", "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POC\n", false},
	} {
		dir := t.TempDir()
		if test.entry != "" {
			if err := os.WriteFile(filepath.Join(dir, "qemu-aarch64"), []byte(test.entry), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := arm.Emulated(dir); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

// Files that are not Go code name each platform themselves.
func TestTheRepositorySupportsEveryPlatform(t *testing.T) {
	for _, p := range All() {
		arch := p.OCI.Architecture
		says := map[string][]string{
			"build/extensions":                   {arch + ") cpu=" + p.Machine + " ;;"},
			"build/install":                      {arch + ") cpu=" + p.Machine + " ;;"},
			"readme-vars.yml":                    {`tag: "` + p.TagPrefix + `<version tag>"`},
			".github/ISSUE_TEMPLATE/bug.yml":     {p.Label},
			".github/workflows/pull-request.yml": {"- platform: " + p.Name() + "\n", "report: report-" + arch + "\n"},
			".github/workflows/release.yml":      {"- platform: " + p.Name() + "\n", "report: report-" + arch + "\n"},
			"ci/dagger/main.go":                  {`dagger.Platform{"` + p.Name() + `"}`},
		}
		for _, other := range All() {
			says[other.Dockerfile] = append(says[other.Dockerfile], " AS extensions-"+arch+"\n", "/build/extensions "+arch+" ")
		}
		says[p.Dockerfile] = append(says[p.Dockerfile], ":"+p.BasePrefix+"3")
		for file, wanted := range says {
			text, err := os.ReadFile(filepath.Join("../..", file))
			if err != nil {
				t.Errorf("%s: %v", p.Name(), err)
				continue
			}
			for _, want := range wanted {
				if !strings.Contains(string(text), want) {
					t.Errorf("%s says nowhere %q, for %s", file, want, p.Name())
				}
			}
		}
	}
	if !slices.IsSorted(Names()) {
		t.Errorf("%v are not sorted, as an index is", Names())
	}
}
