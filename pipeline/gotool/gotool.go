// Package gotool builds programs from other people's Go modules. A directory with
// its own go.mod and go.sum pins each, so that they stay out of the project's
// dependencies. The built programs are cached.
package gotool

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// limit bounds a build, modules fetched on the way included: the go command
// itself waits for ever on a proxy that does not answer.
const limit = 30 * time.Minute

// Module is a directory whose go.mod and go.sum pin programs.
type Module struct {
	Dir     string        // where go.mod and go.sum are
	Cache   string        // the directory that programs are kept under
	Environ []string      // for the go command, as os.Environ gives it
	Wait    time.Duration // limit for waiting for another process that builds them
	Compile Compiler      // of programs in pure Go; nil is this machine's go command
}

// Program gives the file of the program that a package of the module makes. It
// is built, in pure Go, when the cache does not have it; log gets a line then.
func (m Module) Program(ctx context.Context, log io.Writer, pkg string) (file string, err error) {
	bin, err := m.Bin(ctx)
	if err != nil {
		return "", err
	}
	file = filepath.Join(bin, path.Base(pkg))
	if built(file) {
		return file, nil
	}
	unlock, err := m.Lock(ctx, log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if built(file) {
		return file, nil
	}
	return file, m.Build(ctx, log, Build{Packages: []string{pkg}})
}

func built(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular()
}

// withoutXDS is a build tag of Google's storage client, which syft links though
// nothing here asks it for anything. It leaves out gRPC's xDS: a tenth of all
// that is compiled for syft.
const withoutXDS = "disable_grpc_modules"

// Lock keeps other processes from building the module's programs: two that
// build the same ones would only slow each other down.
func (m Module) Lock(ctx context.Context, log io.Writer) (unlock func(), err error) {
	bin, err := m.Bin(ctx)
	if err != nil {
		return nil, err
	}
	return filelock.Lock(ctx, bin+".lock", filelock.Exclusive, "the tools of "+m.Dir, m.Wait, log)
}

// kept is how long a directory of programs stays that nothing has asked for.
const kept = 30 * 24 * time.Hour

// Trusted refuses to have root run programs from directories that another user
// can change. Who has become root by sudo trusts the user that he was.
func Trusted(environ []string, dirs ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, dir := range dirs {
		var st unix.Stat_t
		err := unix.Stat(dir, &st)
		switch {
		case errors.Is(err, unix.ENOENT): // root will make it
		case err != nil:
			return fmt.Errorf("looking for the owner of %s: %w", dir, err)
		case st.Uid != 0 && !slices.Contains(environ, fmt.Sprintf("SUDO_UID=%d", st.Uid)):
			return failure.Usagef("the cache %s belongs to user %d, who can change programs in it that root would run: remove it, run chown -R root on it, or name another directory with XDG_CACHE_HOME", dir, st.Uid)
		}
	}
	return nil
}

// Bin is the directory of the module's programs, named by all that decides
// their content, and marked as used.
func (m Module) Bin(ctx context.Context) (string, error) {
	if err := Trusted(m.Environ, m.Cache, filepath.Dir(m.Cache)); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION", "GOFLAGS", "GOARCH")
	cmd.Dir = m.Dir
	cmd.Env = m.Environ
	out, err := cmd.Output()
	if err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return "", failure.Usagef("looking for the go command: %w; install Go", err)
		}
		return "", fmt.Errorf("asking go for its version in %s: %w", m.Dir, err)
	}
	h := sha256.New()
	h.Write(out)
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join(m.Dir, name))
		if err != nil {
			return "", fmt.Errorf("reading the pinned tools: %w", err)
		}
		fmt.Fprintf(h, "%s %d\n", name, len(data))
		h.Write(data)
	}
	dir := filepath.Join(m.Cache, fmt.Sprintf("%x", h.Sum(nil)[:8]))
	now := time.Now()
	if err := os.Chtimes(dir, now, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("marking %s as used: %w", dir, err)
	}
	return dir, nil
}

// prune removes the directories of programs that nothing has asked for since
// the time given: those of earlier versions.
func (m Module) prune(since time.Time) error {
	entries, err := os.ReadDir(m.Cache)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !entry.IsDir() || !info.ModTime().Before(since) {
			continue
		}
		dir := filepath.Join(m.Cache, entry.Name())
		errs = append(errs, os.RemoveAll(dir))
		if err := os.Remove(dir + ".lock"); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Build says what to build and how.
type Build struct {
	Packages []string
	Cgo      bool
	Tags     string // build tags, separated by commas
}

// Build builds programs into Bin, which then has all of them or none. Who may
// not be alone holds Lock.
func (m Module) Build(ctx context.Context, log io.Writer, b Build) error {
	var names []string
	for _, p := range b.Packages {
		names = append(names, path.Base(p))
	}
	what := strings.Join(names, " and ")
	fmt.Fprintf(log, "building %s\n", what)
	began := time.Now()
	dir, err := m.Bin(ctx)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("building %s: %w", what, err)
	}
	tmp, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return fmt.Errorf("building %s: %w", what, err)
	}
	defer os.RemoveAll(tmp)
	if tmp, err = filepath.Abs(tmp); err != nil {
		return fmt.Errorf("building %s: %w", what, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("not done after %s; see with go mod download there whether the modules can be had", limit))
	defer cancel()
	if m.Compile != nil && !b.Cgo && b.Tags == "" {
		err = m.compile(ctx, log, b, tmp)
	} else {
		err = m.local(ctx, b, tmp)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return fmt.Errorf("building %s from %s: %w", what, m.Dir, err)
	}
	for _, n := range names {
		if err := os.Rename(filepath.Join(tmp, n), filepath.Join(dir, n)); err != nil {
			return fmt.Errorf("building %s: %w", what, err)
		}
	}
	fmt.Fprintf(log, "built %s in %.0f s\n", what, time.Since(began).Seconds())
	if err := m.prune(began.Add(-kept)); err != nil {
		fmt.Fprintf(log, "removing tools of earlier versions: %v\n", err) // they only take room
	}
	return nil
}

// compile has the programs compiled one by one.
func (m Module) compile(ctx context.Context, log io.Writer, b Build, dir string) error {
	for _, pkg := range b.Packages {
		p := Program{Dir: m.Dir, Package: pkg, GOARCH: runtime.GOARCH, Out: filepath.Join(dir, path.Base(pkg))}
		if err := m.Compile(ctx, log, p); err != nil {
			return err
		}
	}
	return nil
}

// local builds the programs with this machine's go command.
func (m Module) local(ctx context.Context, b Build, dir string) error {
	// Nobody debugs these programs: what a debugger reads is not even compiled,
	// which is a seventh of the work.
	args := []string{"build", "-trimpath", "-ldflags=-s -w", "-gcflags=all=-dwarf=false", "-tags=" + withoutXDS + "," + b.Tags, "-o", dir + "/"}
	cmd := exec.CommandContext(ctx, "go", append(args, b.Packages...)...)
	cmd.Dir = m.Dir
	cgo := "0"
	if b.Cgo {
		cgo = "1"
	}
	cmd.Env = append(append([]string{}, m.Environ...), "CGO_ENABLED="+cgo, "GOWORK=off", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	return proc.Run(cmd)
}
