package environ_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
)

func TestRunsLearnThePipConfigurationInForce(t *testing.T) {
	home := t.TempDir()
	if err := os.MkdirAll(filepath.Join(home, ".config", "pip"), 0o755); err != nil {
		t.Fatal(err)
	}
	conf := "[global]\nindex_url = https://user.test/simple\nfind-links = /srv/wheels\ntrusted-host =\n    one.test\n    two.test\n[list]\ntimeout = 1\n"
	if err := os.WriteFile(filepath.Join(home, ".config", "pip", "pip.conf"), []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	got := string(environ.Parse([]string{"HOME=" + home, "PIP_PROXY=http://proxy.test:3128"}).PipConf())
	for _, want := range []string{"[global]\n", "index-url = https://user.test/simple\n", "trusted-host = one.test\n    two.test\n", "proxy = http://proxy.test:3128\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	for _, not := range []string{"find-links", "/srv/wheels", "timeout"} {
		if strings.Contains(got, not) {
			t.Errorf("%q is in\n%s", not, got)
		}
	}
	if got := environ.Parse([]string{"HOME=" + home, "PIP_INDEX_URL=https://env.test/simple"}).PipConf(); !strings.Contains(string(got), "index-url = https://env.test/simple") {
		t.Errorf("the environment does not win:\n%s", got)
	}
	if got := environ.Parse([]string{"PIP_CONFIG_FILE=" + os.DevNull}).PipConf(); got != nil {
		t.Errorf("nothing configured printed\n%s", got)
	}
}

func TestProxiesArePassedOnUnlessTheyHoldAPassword(t *testing.T) {
	var log strings.Builder
	env := environ.Parse([]string{"http_proxy=http://proxy.test:3128", "HTTPS_PROXY=http://me:secret@proxy.test:3128", "ALL_PROXY=me:secret@proxy.test:3128", "NO_PROXY=localhost"})
	args := env.BuildArgs(engine.BuildRequest{}, "", "the process list", &log)
	if len(args) != 2 || args["http_proxy"] != "http://proxy.test:3128" || args["NO_PROXY"] != "localhost" {
		t.Errorf("passed on: %v", args)
	}
	const why = " is not passed on to RUN: it holds a password, which would be seen in the process list\n"
	if want := "HTTPS_PROXY" + why + "ALL_PROXY" + why; log.String() != want {
		t.Errorf("withheld: %s", log.String())
	}
}
