package engine_test

import (
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

func TestABuildErrorNamesTheCommandAndTheLineThatSaysWhy(t *testing.T) {
	for _, test := range []struct {
		step   string
		output []string
		want   string
	}{
		{"RUN --mount=type=cache,target=/root/.cache --mount=type=secret,id=ca,target=/etc/ssl/ca.crt --network=none build/packages install",
			[]string{"Reading package lists...", "E: Unable to locate package libnothing-dev", "Cleaning up", ""},
			"RUN build/packages install: exit code: 100: E: Unable to locate package libnothing-dev"},
		{"RUN make", []string{"one", "two"}, "RUN make: exit code: 100: two"},
		{"RUN true", nil, "RUN true: exit code: 100"},
	} {
		err := &engine.BuildError{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Dockerfile: "Dockerfile", Line: 7,
			Step: test.step, Output: test.output, Err: errors.New("exit code: 100")}
		if got, want := err.Error(), "build linux/amd64: Dockerfile:7: "+test.want; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
