package local

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestSetupWithoutRootSaysWhatToDo(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: only root can step down")
	}
	e, err := New(Options{Cache: t.TempDir(), Tools: t.TempDir(), Environ: os.Environ()})
	if err != nil {
		t.Fatal(err)
	}
	err = onThread(func() error {
		// The raw system call changes only this thread.
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			return errno
		}
		return e.Setup(t.Context(), t.Output())
	})
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "sudo") {
		t.Errorf("err is %v, want a usage error with the command to run", err)
	}
}

func TestWhatIsMissingIsNamedByItsPackage(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // no program at all
	e := &Engine{opts: Options{Platforms: []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"}}}}
	missing := e.needs()
	for _, pkg := range []string{"util-linux", "mmdebstrap", "qemu-user-static", "binfmt-support", "runc"} {
		if !slices.Contains(missing, pkg) {
			t.Errorf("%s is not in %q", pkg, missing)
		}
	}
	e.opts.Platforms = nil
	if missing := e.needs(); slices.Contains(missing, "qemu-user-static") {
		t.Errorf("with nothing to emulate, %q", missing)
	}
	err := install(t.Context(), t.Output(), missing)
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "apt-get install --no-install-recommends util-linux") {
		t.Errorf("without apt-get: %v, want a usage error with the command to run", err)
	}
}

func TestARuncThatCannotBeUsedIsAUsageError(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for said, script := range map[string]string{
		"1.1 and later":    "echo \"No help topic for '$1'\"; exit 3", // 1.0
		"without seccomp":  `echo '{"linux": {"seccomp": {"enabled": false}}}'`,
		"shared libraries": "echo error while loading shared libraries: libseccomp.so.2 >&2; exit 127",
	} {
		if err := os.WriteFile(filepath.Join(bin, "runc"), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := findRunc(t.Context())
		if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), said) || !strings.Contains(err.Error(), bin+"/runc") || strings.Contains(err.Error(), "\n") {
			t.Errorf("err is %v, want a line with %q and the path", err, said)
		}
	}
}

func TestAFailedInstallationIsAUsageErrorWithTheCommand(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "apt-get"), []byte("#!/bin/sh\necho E: Unable to locate package >&2\nexit 100\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin)
	var log strings.Builder
	err := install(t.Context(), &log, []string{"mmdebstrap"})
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "Unable to locate package") ||
		!strings.Contains(err.Error(), "apt-get install --no-install-recommends mmdebstrap") {
		t.Errorf("err is %v", err)
	}
	if !strings.Contains(log.String(), "refreshing the package lists") {
		t.Errorf("the package lists were not refreshed before giving up: %q", log.String())
	}
}

func TestAnInterruptedInstallationIsFinishedFirst(t *testing.T) {
	bin := t.TempDir()
	for name, script := range map[string]string{
		"apt-get": "[ -e " + bin + "/configured ] || { echo E: dpkg was interrupted >&2; exit 100; }",
		"dpkg":    `[ "$*" = "--configure -a" ] && : >` + bin + "/configured",
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	if err := install(t.Context(), t.Output(), []string{"mmdebstrap"}); err != nil {
		t.Error(err)
	}
}
