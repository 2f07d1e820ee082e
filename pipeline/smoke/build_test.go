package smoke

import (
	"context"
	"debug/elf"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

// probe returns the probe of this repository, to be compiled to out.
func probe(arch, out string) gotool.Program {
	p := Probe("../..", arch)
	p.Out = out
	return p
}

func TestTheProbeIsAStaticProgramOfTheArchitectureAskedFor(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		out := filepath.Join(t.TempDir(), "probe")
		if err := gotool.Compile(t.Context(), io.Discard, probe(arch, out)); err != nil {
			t.Fatal(err)
		}
		f, err := elf.Open(out)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != machine {
			t.Errorf("%s: made for %s", arch, f.Machine)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s: needs a dynamic linker of the container", arch)
			}
		}
		if arch == runtime.GOARCH {
			text, err := exec.Command(out).CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(text), "-version") {
				t.Errorf("without arguments it ended with %v: %s", err, text)
			}
		}
	}
}

func TestABuildThatFailsSaysWhy(t *testing.T) {
	err := gotool.Compile(t.Context(), io.Discard, probe("vax", filepath.Join(t.TempDir(), "probe")))
	if err == nil || !strings.Contains(err.Error(), "vax") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := gotool.Compile(ctx, io.Discard, probe(runtime.GOARCH, filepath.Join(t.TempDir(), "probe"))); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
