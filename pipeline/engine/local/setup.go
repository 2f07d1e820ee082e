package local

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// tools holds the paths of the programs built from tools/go.mod and of the
// machine's runc.
type tools struct{ buildkitd, buildctl, runc string }

// Setup finds the programs that the engine needs, and as root on Debian installs
// missing ones. It logs each action. With nothing to do it takes well under a
// second, and after a success further calls return at once. If it cannot do
// something itself, it returns a failure.Usage error with the commands to run.
func (e *Engine) Setup(ctx context.Context, log io.Writer) error {
	e.setup.Lock()
	defer e.setup.Unlock()
	if e.tools.runc != "" { // done
		return nil
	}
	if err := e.permitted(); err != nil {
		return err
	}
	module := gotool.Module{Dir: e.opts.Tools, Cache: e.dirs.tools, Environ: e.opts.Environ, Wait: e.opts.LockWait}
	var built tools
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		// The compression packages keep inlining: they decide how long a layer takes.
		flags := append(slices.Clone(gotool.WithoutInlining), "-gcflags=github.com/klauspost/compress/...=-dwarf=false")
		if built.buildkitd, err = module.Program(gctx, log, "github.com/moby/buildkit/cmd/buildkitd", flags...); err == nil {
			built.buildctl, err = module.Program(gctx, log, "github.com/moby/buildkit/cmd/buildctl", flags...)
		}
		return err
	})
	g.Go(func() (err error) {
		if err = install(gctx, log, e.needs()); err == nil {
			built.runc, err = findRunc(gctx)
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return err
	}
	for _, p := range e.opts.Platforms {
		if err := registerEmulator(ctx, log, p.Architecture); err != nil {
			return err
		}
	}
	e.tools = built
	return nil
}

// findRunc finds a runc that BuildKit can use: 1.1 or later, which supports
// "features" and "run --keep", with seccomp, which BuildKit requires.
func findRunc(ctx context.Context) (string, error) {
	file, err := exec.LookPath("runc")
	if err != nil {
		return "", failure.Usagef("looking for runc: %w; run: %s", err, installCommand([]string{"runc"}))
	}
	var has struct {
		Linux struct{ Seccomp struct{ Enabled bool } }
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, file, "features")
	cmd.Stdout = &out
	if err = proc.Run(ctx, cmd); err == nil {
		err = json.Unmarshal(out.Bytes(), &has)
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		err = fmt.Errorf("asking it for its features, which runc 1.1 and later know: %w", err)
	case !has.Linux.Seccomp.Enabled:
		err = errors.New("it was built without seccomp")
	default:
		return file, nil
	}
	return "", failure.Usagef("looking for a runc that can be used: %s: %w; update it, or remove it and run: %s", file, err, installCommand([]string{"runc"}))
}

// A need is a Debian package. It is installed if one of the programs or files in
// brings exists.
type need struct {
	pkg    string
	brings []string
}

func (n need) present() bool {
	return slices.ContainsFunc(n.brings, func(name string) bool {
		_, err := exec.LookPath(name)
		return err == nil || filepath.IsAbs(name) && isFile(name)
	})
}

// needs returns the missing packages.
func (e *Engine) needs() []string {
	const keyring = "/usr/share/keyrings/debian-archive-keyring"
	needs := []need{
		{"util-linux", []string{"unshare"}}, // for mmdebstrap
		{"mount", []string{"mount"}},
		{"runc", []string{"runc"}}, // also in Docker's packages
		{"mmdebstrap", []string{"mmdebstrap"}},
		{"debian-archive-keyring", []string{keyring + ".gpg", keyring + ".pgp"}},
	}
	for _, p := range e.opts.Platforms {
		if row, known := platform.Of(p.Architecture); known && emulated(p.Architecture) {
			name := row.Emulator()
			needs = append(needs,
				need{"qemu-user-static", []string{name + "-static", name}},
				need{"arch-test", []string{"arch-test"}}, // mmdebstrap checks with it whether the platform can run
				need{"binfmt-support", []string{"update-binfmts"}})
		}
	}
	return missing(needs...)
}

// missing returns the packages that are not installed.
func missing(needs ...need) (pkgs []string) {
	for _, n := range needs {
		if !n.present() {
			pkgs = append(pkgs, n.pkg)
		}
	}
	return pkgs
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// installCommand returns the shell command that installs packages as Setup does.
func installCommand(pkgs []string) string {
	return "apt-get update && apt-get install --no-install-recommends " + strings.Join(pkgs, " ")
}

// install installs packages. It refreshes the package lists only if the first
// attempt fails: most machines can skip that, and it is the slowest step.
func install(ctx context.Context, log io.Writer, pkgs []string) error {
	if len(pkgs) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return failure.Usagef("missing on this machine: %s; it has no apt-get: install what these Debian packages hold, on Debian: %s",
			strings.Join(pkgs, " "), installCommand(pkgs))
	}
	fmt.Fprintf(log, "installing %s\n", strings.Join(pkgs, " "))
	run := func(name string, args ...string) error {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		return proc.Run(ctx, cmd)
	}
	apt := func(args ...string) error {
		return run("apt-get", append([]string{"-q", "-y", "-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"}, args...)...)
	}
	args := append([]string{"install", "--no-install-recommends"}, pkgs...)
	if apt(args...) == nil {
		return nil
	}
	fmt.Fprintln(log, "refreshing the package lists")
	// Finish an installation that was interrupted. If this fails, the error of
	// apt-get is the clearer one.
	_ = run("dpkg", "--configure", "-a")
	err := apt("update")
	if err == nil {
		err = apt(args...)
	}
	if err != nil && ctx.Err() == nil {
		return failure.Usagef("installing %s: %w; run: %s", strings.Join(pkgs, " "), err, installCommand(pkgs))
	}
	return err
}

// registerEmulator registers qemu in the kernel as the interpreter of arch, if the
// machine has another architecture.
func registerEmulator(ctx context.Context, log io.Writer, arch string) error {
	if !emulated(arch) {
		return nil
	}
	row, known := platform.Of(arch)
	if !known {
		return failure.Usagef("emulating %s: the local engine can emulate %s", arch, strings.Join(platform.Architectures(), " and "))
	}
	name := row.Emulator()
	if err := mountBinfmt(arch, log); err != nil {
		return err
	}
	if row.Emulated(platform.Binfmt) {
		return nil
	}
	fmt.Fprintf(log, "registering %s\n", name)
	// Disable an entry without flag F first: enabling it again changes nothing.
	if _, err := os.Stat(filepath.Join(platform.Binfmt, name)); err == nil {
		_ = proc.Run(ctx, exec.CommandContext(ctx, "update-binfmts", "--disable", name))
	}
	// In Debian 13 systemd-binfmt registers the entry, but a container or a rescue
	// system does not run it. In earlier versions binfmt-support does.
	entry, err := os.ReadFile(filepath.Join("/usr/lib/binfmt.d", name+".conf"))
	if err == nil {
		err = os.WriteFile(filepath.Join(platform.Binfmt, "register"), bytes.TrimSpace(entry), 0)
	} else {
		err = proc.Run(ctx, exec.CommandContext(ctx, "update-binfmts", "--enable", name))
	}
	if !row.Emulated(platform.Binfmt) {
		if err == nil {
			err = errors.New("not enabled with flag F afterwards")
		}
		return failure.Usagef("registering %s: %w; run: apt-get install --reinstall qemu-user-static binfmt-support && update-binfmts --enable %[1]s", name, err)
	}
	return nil
}
