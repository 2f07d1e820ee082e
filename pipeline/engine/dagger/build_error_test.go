package dagger

import (
	"errors"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// The texts come from a real engine.
func TestADockerfileErrorHasItsLine(t *testing.T) {
	req := engine.BuildRequest{Platform: v1.Platform{OS: "linux", Architecture: "amd64"}, Dockerfile: "Dockerfile"}
	for text, want := range map[string]string{
		"failed to convert Dockerfile to LLB: dockerfile parse error on line 116: unknown instruction: CPOY (did you mean COPY?)":                      "build linux/amd64: Dockerfile:116: unknown instruction: CPOY (did you mean COPY?)",
		"failed to convert Dockerfile to LLB: ghcr.io/linuxserver/no-such-base:1: ghcr.io/linuxserver/no-such-base:1: not found [traceparent:260c-e2]": "build linux/amd64: Dockerfile: pull ghcr.io/linuxserver/no-such-base:1: not found",
		"failed to convert Dockerfile to LLB: target stage \"nowhere\" could not be found":                                                             "build linux/amd64: Dockerfile: target stage \"nowhere\" could not be found",
		"the engine is gone": "build linux/amd64: Dockerfile: the engine is gone",
	} {
		if got := buildError(req, "FROM scratch\n", errors.New(text)).Error(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
