package smoke

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/linuxserver/docker-netbox/pipeline/child"
)

// BuildProbe compiles the probe of the repository at repoDir for linux/goarch
// into outFile, a static program. Go's build cache makes the second time fast.
func BuildProbe(ctx context.Context, repoDir, goarch, outFile string) error {
	out, err := filepath.Abs(outFile)
	if err != nil {
		return fmt.Errorf("building the probe: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "./pipeline/smoke/probe")
	cmd.Dir = repoDir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch)
	child.Group(cmd) // a cancelled build takes its compilers along
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("building the probe for %s: %w", goarch, ctx.Err())
		}
		return fmt.Errorf("building the probe for %s: %w: %s", goarch, err, bytes.TrimSpace(output.Bytes()))
	}
	return nil
}
