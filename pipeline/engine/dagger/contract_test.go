package dagger_test

import (
	"os"
	"os/exec"
	"runtime"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
)

// If an engine is present, it must fulfil the contract.
func TestContract(t *testing.T) {
	why, present := dagger.Present(os.Getenv, exec.LookPath)
	if !present {
		t.Skipf("SKIPPED: the contract was not checked on the engine \"dagger\": %s", why)
	}
	e, err := dagger.New(t.Context(), dagger.Options{
		Repo: "../../..", Environ: os.Environ(), Connect: dagger.Dial,
		QEMUCPU: map[string]string{"arm64": "cortex-a72"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	foreign := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
	enginetest.Run(t, e, enginetest.Options{Platforms: []v1.Platform{
		{OS: "linux", Architecture: runtime.GOARCH}, {OS: "linux", Architecture: foreign},
	}, NoTmpfsCapture: true})
}
