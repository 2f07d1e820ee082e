package gotool

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// Program is a program to compile, in pure Go, for Linux.
type Program struct {
	Dir     string   // directory of its module
	Files   []string // patterns of what it is compiled from, under Dir; nil for all
	Package string   // in or required by the module
	GOARCH  string
	Out     string // file to write
}

// Args are the arguments of the go command but for the file to write.
func (p Program) Args() []string {
	return []string{"build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-tags=" + withoutXDS}
}

// Compiler compiles programs: Compile, or an engine that has a Go of its own.
type Compiler func(ctx context.Context, log io.Writer, p Program) error

// Compile compiles a program with this machine's go command, whose cache makes
// the second time fast.
func Compile(ctx context.Context, _ io.Writer, p Program) error {
	out, err := filepath.Abs(p.Out)
	if err != nil {
		return fmt.Errorf("compile %s: %w", p.Package, err)
	}
	cmd := exec.CommandContext(ctx, "go", append(p.Args(), "-o", out, p.Package)...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+p.GOARCH)
	proc.Group(cmd) // a cancelled build takes its compilers along
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("compile %s for %s: %w", p.Package, p.GOARCH, ctx.Err())
		}
		return fmt.Errorf("compile %s for %s: %w: %s", p.Package, p.GOARCH, err, strings.Join(strings.Fields(output.String()), " "))
	}
	return nil
}
