// Package d2 renders d2 text as SVG, with the d2 version that tools/d2 pins. d2
// includes its layout engine and fonts, so rendering downloads nothing.
package d2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

const program = "oss.terrastruct.com/d2"

// limit is the timeout for one picture, which takes about a second.
const limit = 2 * time.Minute

// flags make pictures compact and reproducible. The distances are well below
// ELK's defaults, so that a chain of twenty services fits a screen.
var flags = [...]string{
	"--layout=elk", "--elk-nodeNodeBetweenLayers=22", "--elk-edgeNodeBetweenLayers=11",
	"--pad=8", "--scale=1", "--omit-version", "--no-xml-tag", "--stdout-format=svg",
}

// Tool runs d2, which is built on first use.
type Tool struct {
	Module gotool.Module // the directory that pins it
}

// Pinned reports whether the directory that pins d2 exists.
func (t Tool) Pinned() bool {
	_, err := os.Stat(filepath.Join(t.Module.Dir, "go.mod"))
	return err == nil
}

// SVG renders text. have is an earlier picture: if the same d2 made it from the
// same text, SVG returns it without running d2.
func (t Tool) SVG(ctx context.Context, log io.Writer, text string, have []byte) ([]byte, error) {
	stamp, err := t.Stamp(text)
	if err != nil || bytes.HasSuffix(have, []byte("\n"+stamp)) {
		return have, err
	}
	file, err := t.Module.Program(ctx, log, program)
	if err != nil {
		return nil, fmt.Errorf("draw with d2: %w", err)
	}
	work, err := os.MkdirTemp("", "d2-")
	if err != nil {
		return nil, fmt.Errorf("draw with d2: %w", err)
	}
	defer os.RemoveAll(work)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %s", limit))
	defer cancel()
	var svg bytes.Buffer
	cmd := exec.CommandContext(ctx, file, append(flags[:], "-", "-")...)
	// d2 takes options from the environment and runs plugins found on PATH.
	cmd.Env = []string{"HOME=" + work, "PATH="}
	cmd.Dir = work
	cmd.Stdin = strings.NewReader(text)
	cmd.Stdout = &svg
	if err := proc.Run(ctx, cmd); err != nil {
		return nil, fmt.Errorf("draw with d2: %w", err)
	}
	drawn := font.ReplaceAll(bytes.TrimRight(svg.Bytes(), "\n"), []byte("$1, sans-serif;"))
	return append(drawn, "\n"+stamp...), nil
}

// font matches d2's embedded font, which needs a fallback for pages that forbid
// fonts.
var font = regexp.MustCompile(`(font-family: "d2-[^"]+");`)

// edition must be raised when the processing of d2's output changes.
const edition = 1

var version = regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(program) + ` (v\S+)`)

// Stamp returns the last line of the SVG of text: a comment with the d2 version
// and a hash of the input.
func (t Tool) Stamp(text string) (string, error) {
	mod, err := os.ReadFile(filepath.Join(t.Module.Dir, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read the pinned d2: %w", err)
	}
	pinned := version.FindSubmatch(mod)
	if pinned == nil {
		return "", fmt.Errorf("read the pinned d2: %s/go.mod does not require %s", t.Module.Dir, program)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s\n%s", edition, strings.Join(flags[:], " "), text))
	return fmt.Sprintf("<!-- d2 %s of %x -->\n", pinned[1], sum[:16]), nil
}
