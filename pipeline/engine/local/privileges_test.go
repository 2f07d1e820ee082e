package local_test

import (
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestAContainerRunsAsWhomAndWithWhatItIsGiven(t *testing.T) {
	p := newPod(t, newEngine(t, testCache(t)))
	status := func(name string) (out string) {
		t.Helper()
		spec := script(tiny(t), name, "id; cat /proc/self/status")
		switch name {
		case "user":
			spec.User = "1000:1001"
		case "user-alone":
			spec.User = "4711"
		case "few":
			spec.Capabilities = []string{"CAP_CHOWN", "CAP_KILL"}
		case "none":
			spec.Capabilities, spec.NoNewPrivileges = []string{}, true
		}
		return run(t, p, spec)
	}
	for name, wants := range map[string][]string{
		"user":       {"1000 1001", "CapEff:\t0000000000000000", "CapBnd:\t00000000a80425fb", "NoNewPrivs:\t0"},
		"user-alone": {"4711 0"},
		"few":        {"0 0", "CapEff:\t0000000000000021", "CapPrm:\t0000000000000021", "CapBnd:\t0000000000000021", "NoNewPrivs:\t0"},
		"none":       {"0 0", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"},
	} {
		out := status(name)
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: %q is not in\n%s", name, want, out)
			}
		}
	}
	spec := script(tiny(t), "unknown", "id")
	spec.Capabilities = []string{"CAP_SYS_ADMIN"}
	if _, err := p.Start(t.Context(), spec); failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "CAP_SYS_ADMIN") {
		t.Errorf("a capability that Docker does not give: %v, want a usage error that names it", err)
	}
}
