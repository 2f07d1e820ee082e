// Package gotool builds and caches programs from third-party Go modules. They are
// pinned in directories with their own go.mod and go.sum, so that they are not
// dependencies of the project.
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
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

// limit is the maximum duration of a build, including the download of modules: the
// go command itself waits forever for a proxy that does not answer.
const limit = 30 * time.Minute

// Module is a directory whose go.mod and go.sum pin programs.
type Module struct {
	Dir     string        // directory of go.mod and go.sum; it may hold packages too
	Cache   string        // parent directory of the cached programs
	Environ []string      // for the go command, in the format of os.Environ
	Wait    time.Duration // maximum wait for another process that builds them
	Compile Compiler      // nil for this machine's go command
}

// maxAge is how long an unused directory of programs is kept.
const maxAge = 30 * 24 * time.Hour

// Trusted returns an error if root would run programs from directories that another
// user can change. The user who ran sudo is trusted.
func Trusted(environ []string, dirs ...string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, dir := range dirs {
		var st unix.Stat_t
		err := unix.Stat(dir, &st)
		switch {
		case errors.Is(err, unix.ENOENT): // root will create it
		case err != nil:
			return fmt.Errorf("looking for the owner of %s: %w", dir, err)
		case st.Uid != 0 && !slices.Contains(environ, fmt.Sprintf("SUDO_UID=%d", st.Uid)):
			return failure.Usagef("the cache %s belongs to user %d, who can change programs in it that root would run: remove it, run chown -R root on it, or name another directory with XDG_CACHE_HOME", dir, st.Uid)
		}
	}
	return nil
}

// Bin returns the directory of the module's programs and marks it as used. Its name
// is a digest of everything that affects their content.
func (m Module) Bin(ctx context.Context) (string, error) {
	if !filepath.IsAbs(m.Cache) {
		return "", failure.Usagef("find the cache directory of %s: there is none: set HOME or XDG_CACHE_HOME", filepath.Base(m.Dir))
	}
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
	names, err := m.sources()
	if err != nil {
		return "", fmt.Errorf("reading the pinned tools: %w", err)
	}
	for _, name := range names {
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

var replacement = regexp.MustCompile(`(?m)=> \./(\S+)$`)

// sources returns the files that affect the programs: go.mod, go.sum, and the Go
// files of the module and of the nested modules that its replace directives name.
func (m Module) sources() (names []string, err error) {
	mod, err := os.ReadFile(filepath.Join(m.Dir, "go.mod"))
	if err != nil {
		return nil, err
	}
	roots := []string{"."}
	for _, match := range replacement.FindAllStringSubmatch(string(mod), -1) {
		roots = append(roots, path.Clean(match[1]))
	}
	tree := os.DirFS(m.Dir)
	err = fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() {
			if path.Ext(name) == ".go" || d.Name() == "go.mod" || name == "go.sum" {
				names = append(names, name)
			}
			return nil
		}
		if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil &&
			!slices.ContainsFunc(roots, func(root string) bool { return root == name || strings.HasPrefix(root, name+"/") }) {
			return fs.SkipDir // a separate module
		}
		return nil
	})
	return names, err
}

// Program returns the path of a package's program. If it is not in the cache,
// Program builds it and logs that.
func (m Module) Program(ctx context.Context, log io.Writer, pkg string, flags ...string) (file string, err error) {
	dir, err := m.Bin(ctx)
	if err != nil {
		return "", err
	}
	name := path.Base(pkg)
	file = filepath.Join(dir, name)
	built := func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Mode().IsRegular()
	}
	if built() {
		return file, nil
	}
	// Two processes that build the same program would only slow each other down.
	unlock, err := filelock.Lock(ctx, file+".lock", filelock.Exclusive, "the tools of "+m.Dir, m.Wait, log)
	if err != nil {
		return "", err
	}
	defer unlock()
	if built() {
		return file, nil
	}
	fmt.Fprintf(log, "building %s\n", name)
	began := time.Now()
	// A separate directory: if this process is killed, go continues and writes there.
	tmp, err := os.MkdirTemp(dir, ".build-")
	if err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		fmt.Errorf("not done after %s; see with go mod download there whether the modules can be had", limit))
	defer cancel()
	p := Program{
		Dir: m.Dir, Package: pkg, GOARCH: runtime.GOARCH, Out: filepath.Join(tmp, name),
		Flags: flags, Environ: append(slices.Clone(m.Environ), "GOWORK=off"),
	}
	compile := m.Compile
	if compile == nil {
		compile = Compile
	}
	if err := compile(ctx, log, p); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("building %s from %s: %w", name, m.Dir, err)
	}
	if err := os.Rename(p.Out, file); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	fmt.Fprintf(log, "built %s in %.0f s\n", name, time.Since(began).Seconds())
	if err := outdir.Prune(m.Cache, 0, maxAge); err != nil {
		fmt.Fprintf(log, "removing tools of earlier versions: %v\n", err) // they only take room
	}
	return file, nil
}
