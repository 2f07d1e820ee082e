// Package need installs the requirements of tests, or skips the tests without them.
package need

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Root skips a test that only works as root, such as booting containers. Tests
// with -short also skip it.
func Root(t testing.TB, what string) {
	t.Helper()
	if testing.Short() {
		t.Skipf("SKIPPED: -short leaves out %s", what)
	}
	if os.Geteuid() != 0 {
		t.Skipf("SKIPPED: %s needs root", what)
	}
}

// Debian installs the missing packages. Without root it skips the test and prints
// the command that installs them.
func Debian(t testing.TB, packages ...string) {
	t.Helper()
	var missing []string
	for _, p := range packages {
		if out, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}", p).Output(); err != nil || string(out) != "installed" {
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return
	}
	install := "apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 " + strings.Join(missing, " ")
	if os.Geteuid() != 0 {
		t.Skipf("SKIPPED: it needs %s: run %s", strings.Join(missing, " "), install)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", install+" || { apt-get -q update && "+install+"; }").CombinedOutput()
	if err != nil {
		t.Fatalf("install %s: %v: %s", strings.Join(missing, " "), err, out)
	}
}
