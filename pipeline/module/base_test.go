package module_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/module"
)

func TestAnInvalidCallFailsInOneLineWithTheModulesFlags(t *testing.T) {
	elsewhere := t.TempDir() // a project that has the module installed as a toolchain
	if err := os.WriteFile(filepath.Join(elsewhere, "go.mod"), []byte("module example.com/other\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		call     module.Call
		want     string
		mustLack string
	}{
		{module.Call{Repo: repo, Base: "local"}, "pass --base REFERENCE, or --base-layout DIRECTORY", "oci:"},
		{module.Call{Repo: repo, Base: "oci:dist/base"}, "--base-layout DIRECTORY", "go.mod"},
		{module.Call{Repo: repo, Platforms: []string{"linux/mips"}}, "pass --platforms linux/amd64 or --platforms linux/arm64", "--platform "},
		{module.Call{Repo: elsewhere}, "install it as a dependency, call it with -m, or pass --source", elsewhere},
	} {
		err := test.call.Check()
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), test.mustLack) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v\nwant one line with %q, without %q", err, test.want, test.mustLack)
		}
		if failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%v is not wrong use", err)
		}
	}
	if err := (module.Call{Repo: repo, Platforms: []string{"linux/arm64"}, Base: "localhost:5000/base:1"}).Check(); err != nil {
		t.Error(err)
	}
}

func TestAnInvalidBaseIsReportedWithoutInternalPaths(t *testing.T) {
	call := module.Call{Repo: repo, Output: t.TempDir(), Layout: filepath.Join(t.TempDir(), "nothing")}
	_, err := call.Build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "--base-layout") || strings.Contains(err.Error(), "--base oci:") {
		t.Errorf("got %v", err)
	}
	archive := filepath.Join(t.TempDir(), "base.tar")
	if err := os.WriteFile(archive, []byte("no archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = module.Call{Repo: repo, Output: t.TempDir(), Archive: archive}.Build(t.Context())
	if err == nil || !strings.Contains(err.Error(), "pass a container that has an image") {
		t.Errorf("got %v", err)
	}
}
