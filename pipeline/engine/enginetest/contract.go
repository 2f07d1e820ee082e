package enginetest

import (
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Options configures the test suite.
type Options struct {
	// Platforms are those that the engine can build and run here. Tests that need
	// only one use the first.
	Platforms []v1.Platform
	// Leftovers lists what the engine's runs have left on the machine. It is nil for
	// an engine that runs containers elsewhere.
	Leftovers func() []string
	// NoTmpfsCapture is set for an engine that cannot capture a file from a tmpfs; it
	// must then return an error.
	NoTmpfsCapture bool
}

// contract holds the engine under test.
type contract struct {
	engine.Engine
	Options
	base v1.ImageIndex
}

// Run checks that an engine fulfils the contract of pipeline/engine.
func Run(t *testing.T, e engine.Engine, opts Options) {
	c := &contract{Engine: e, Options: opts, base: Base(t, opts.Platforms...)}
	for _, p := range opts.Platforms {
		t.Run("Build/"+p.Architecture, func(t *testing.T) { c.builds(t, p) })
		t.Run("Run/"+p.Architecture, func(t *testing.T) { c.runs(t, p) })
	}
	t.Run("Build/Natively", c.buildPlatform)
	t.Run("Build/ContextAndTarget", c.contextAndTarget)
	t.Run("Build/FailingInstruction", c.failingInstruction)
	t.Run("Build/BadDockerfile", c.badDockerfile)
	t.Run("Build/Cancel", c.cancelBuild)
	t.Run("Run/Sides", c.sides)
	t.Run("Run/SideThatEnds", c.sideExits)
	t.Run("Run/SideNeverReady", c.sideNeverReady)
	t.Run("Run/Timeout", c.timeout)
	t.Run("Run/Killed", c.killed)
	t.Run("Run/Secrets", c.secrets)
	t.Run("Run/Files", c.files)
	t.Run("Run/NoSuchProgram", c.noSuchProgram)
	t.Run("Run/Cancel", c.cancelRun)
}
