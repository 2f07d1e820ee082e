package dagger_test

import (
	"debug/elf"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	sdk "dagger.io/dagger"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

func TestTheEngineCompilesAndFindsErrorsBeforeItBuilds(t *testing.T) {
	if why, present := dagger.Present(os.Getenv, exec.LookPath); !present {
		t.Skip(why)
	}
	image, err := dagger.GoImage("../../..")
	if err != nil {
		t.Fatal(err)
	}
	e, err := dagger.New(t.Context(), dagger.Options{
		Repo: "../../..", Environ: os.Environ(), Connect: dagger.Dial,
		Go: func(c *sdk.Client) *sdk.Container { return c.Container().From(image) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	out := filepath.Join(t.TempDir(), "shim")
	if err := e.Compile(t.Context(), io.Discard, dagger.ShimProgram("../../..", "arm64", out)); err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if f.Machine != elf.EM_AARCH64 {
		t.Errorf("compiled for %s", f.Machine)
	}

	for text, want := range map[string]string{
		"FROM scratch\nRNU true\n":                           "Dockerfile:2: unknown instruction: RNU",
		"FROM docker.io/library/there-is-none:1\nRUN true\n": "Dockerfile: pull docker.io/library/there-is-none:1: ",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		err := e.CheckBuild(t.Context(), engine.BuildRequest{Platform: amd64, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Reference: "scratch:1"}})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, want one line with %q", err, want)
		}
		t.Log(err)
	}
}

// Only the listed files are uploaded, and if one is missing the engine fails late.
func TestTheEngineGetsAllPackagesThatItsProgramsImport(t *testing.T) {
	for _, program := range []gotool.Program{dagger.ShimProgram("../../..", "amd64", ""), dagger.RewriteProgram("../../..", "amd64", "")} {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}", program.Package)
		cmd.Dir = program.Dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		packages := strings.Fields(string(out))
		if len(packages) < 2 {
			t.Fatalf("got %q", out)
		}
		for _, name := range packages {
			dir := strings.TrimPrefix(name, "github.com/linuxserver/docker-netbox/")
			if !slices.ContainsFunc(program.Files, func(file string) bool { return file == dir+"/*.go" || strings.HasPrefix(dir+"/", file+"/") }) {
				t.Errorf("%s imports %s, which is not among the files %q", program.Package, name, program.Files)
			}
		}
	}
}
