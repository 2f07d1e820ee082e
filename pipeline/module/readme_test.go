package module_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/module"
)

const repo = "../.."

func TestGenerateReturnsREADMEWithItsPictures(t *testing.T) {
	call := module.Call{Repo: repo, Output: t.TempDir(), Log: t.Output(), Environ: os.Environ()}
	files, err := call.Readme(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Errorf("got %d files", len(files))
	}
	for path, want := range files {
		have, err := os.ReadFile(filepath.Join(repo, path))
		if err != nil || string(have) != want {
			t.Errorf("%s is not what is committed, %v", path, err)
		}
	}
	if err := call.CheckReadme(); err != nil {
		t.Error(err)
	}
}

func TestTheCheckOfAnEditedREADMEShowsTheDifference(t *testing.T) {
	edited := t.TempDir()
	for _, path := range []string{"README.md", "readme-vars.yml", ".github/maintainers.md", ".github/init-graph-light.svg", ".github/init-graph-dark.svg", "tools/d2/go.mod",
		"docs/configuration.md", "docs/proxy.md", "docs/ldap.md", "docs/operation.md", "docs/migration.md"} {
		text, err := os.ReadFile(filepath.Join(repo, path))
		if err != nil {
			t.Fatal(err)
		}
		if path == "README.md" {
			text = append(text, "By hand.\n"...)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(edited, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(edited, path), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	err := module.Call{Repo: edited, Output: t.TempDir(), Log: t.Output(), Environ: os.Environ()}.CheckReadme()
	if err == nil || !strings.Contains(err.Error(), "\n-By hand.\n") {
		t.Errorf("got %v", err)
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	_, err := module.Call{Repo: repo, Output: t.TempDir(), Log: t.Output()}.Graph(t.Context(), "png")
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "svg-dark") {
		t.Errorf("got %v", err)
	}
}
