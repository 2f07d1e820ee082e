// Package d2 draws d2 text as SVG, with the d2 that tools/d2 pins. d2 includes
// its layout engine and fonts: nothing is downloaded while it draws.
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

// limit bounds one drawing; it takes about a second.
const limit = 2 * time.Minute

// flags make a picture that is as wide as it has to be, and the same each
// time. The distances are a good deal below ELK's, so that a chain of twenty
// services fits a screen.
var flags = [...]string{
	"--layout=elk", "--elk-nodeNodeBetweenLayers=22", "--elk-edgeNodeBetweenLayers=11",
	"--pad=8", "--scale=1", "--omit-version", "--no-xml-tag", "--stdout-format=svg",
}

// Tool is the program, which is built when it is first needed.
type Tool struct {
	Module gotool.Module // the directory that pins it
}

// Pinned reports whether there is a directory that pins d2.
func (t Tool) Pinned() bool {
	_, err := os.Stat(filepath.Join(t.Module.Dir, "go.mod"))
	return err == nil
}

// SVG draws text. have is what it was drawn as before: when that is of the same
// text, made by the same d2, it is returned and no program runs.
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
	// Variables of the caller's would be options to d2, and plugins on its PATH
	// would run.
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

// font matches where d2 names the font that it brings along, for which there
// has to be another where a page forbids fonts.
var font = regexp.MustCompile(`(font-family: "d2-[^"]+");`)

// edition is raised when what becomes of d2's output changes.
const edition = 1

var version = regexp.MustCompile(`(?m)^(?:require)?\s*` + regexp.QuoteMeta(program) + ` (v\S+)`)

// Stamp is the last line of an SVG of text, which says what it was made of.
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
