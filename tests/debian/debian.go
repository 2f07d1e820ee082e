// Package debian installs the Debian packages that a test runs programs of.
package debian

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Install installs those of the packages that are missing. Without root the
// test is skipped, with the command that installs them.
func Install(t *testing.T, packages ...string) {
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
