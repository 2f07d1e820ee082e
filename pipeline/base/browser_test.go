package base

import (
	"os"
	"strings"
	"testing"
)

// The Dockerfile only installs what its Debian base image lacks. Both images must
// contain everything that base.Chromium runs.
func TestBothBrowserImagesHaveTheSamePackages(t *testing.T) {
	text, err := os.ReadFile("browser/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, installed, found := strings.Cut(string(text), "--no-install-recommends ")
	installed, _, _ = strings.Cut(installed, " &&")
	if !found {
		t.Fatal("the Dockerfile installs nothing")
	}
	wanted := append(strings.Fields(installed), "base-files", "bash", "coreutils", "dash", "util-linux")
	have := map[string]bool{}
	for _, name := range browserPackages {
		have[name] = true
	}
	for _, name := range wanted {
		if !have[name] {
			t.Errorf("%s is in the Dockerfile's image alone", name)
		}
		delete(have, name)
	}
	for name := range have {
		t.Errorf("%s is not in the Dockerfile's image", name)
	}
}
