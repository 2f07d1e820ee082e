package git_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
)

// TestACheckoutOfWindowsIsRefusedInOneLine checks the real files out as git on
// Windows does, without .gitattributes and with it.
func TestACheckoutOfWindowsIsRefusedInOneLine(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clone")
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-c", "core.autocrlf=true", "-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "safe.directory=*"}, args...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "root"), os.DirFS("../../root")); err != nil {
		t.Fatal(err)
	}
	attributes, err := os.ReadFile("../../.gitattributes")
	if err != nil {
		t.Fatal(err)
	}
	run("init", "-q", dir)
	run("-C", dir, "add", "--all")
	run("-C", dir, "commit", "-q", "-m", "one")
	again := func() {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, "root")); err != nil {
			t.Fatal(err)
		}
		run("-C", dir, "checkout", "-q", "--", "root")
	}
	again()
	err = git.CheckLineEnds(dir)
	if err == nil || failure.ExitCode(err) != failure.ExitUsage || strings.Contains(err.Error(), "\n") ||
		!strings.Contains(err.Error(), "read root/etc/cont-finish.d/netbox and ") {
		t.Errorf("a checkout with Windows line ends: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".gitattributes"), attributes, 0o644); err != nil {
		t.Fatal(err)
	}
	again()
	if err := git.CheckLineEnds(dir); err != nil {
		t.Errorf("a checkout with .gitattributes: %v", err)
	}
	if err := git.CheckLineEnds("../.."); err != nil {
		t.Errorf("this repository: %v", err)
	}
}
