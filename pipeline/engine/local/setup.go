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

// tools are the programs built from tools/go.mod, and the machine's runc.
type tools struct{ buildkitd, buildctl, runc string }

// Setup finds what the engine needs, and as root on Debian installs what is
// missing. Each thing it does is a line on log; on a machine that has
// everything it does nothing, in well under a second, and done once it is not done
// again. What it may not or cannot do itself is a failure.Usage error with the
// commands to run.
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
		// What compresses is inlined all the same: a layer takes as long as ever.
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

// findRunc finds a runc that BuildKit can use: 1.1 or later, which knows
// "features" and "run --keep", with seccomp, which BuildKit asks for.
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

// A need is a Debian package, and programs or files of which it has brought one.
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

// needs are the packages that are missing.
func (e *Engine) needs() []string {
	const keyring = "/usr/share/keyrings/debian-archive-keyring"
	needs := []need{
		{"util-linux", []string{"unshare"}}, // mmdebstrap's
		{"mount", []string{"mount"}},
		{"runc", []string{"runc"}}, // Docker's packages have one too
		{"mmdebstrap", []string{"mmdebstrap"}},
		{"debian-archive-keyring", []string{keyring + ".gpg", keyring + ".pgp"}},
	}
	for _, p := range e.opts.Platforms {
		if row, known := platform.Of(p.Architecture); known && emulated(p.Architecture) {
			name := row.Emulator()
			needs = append(needs,
				need{"qemu-user-static", []string{name + "-static", name}},
				need{"arch-test", []string{"arch-test"}}, // mmdebstrap asks it whether the platform can run
				need{"binfmt-support", []string{"update-binfmts"}})
		}
	}
	return missing(needs...)
}

// missing are the packages of those needs that are not met.
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

// installCommand is what a person types for what Setup would do.
func installCommand(pkgs []string) string {
	return "apt-get update && apt-get install --no-install-recommends " + strings.Join(pkgs, " ")
}

// install installs packages. It refreshes the package lists only when they do
// not do: on most machines that spares the slowest step.
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
	// A run that was interrupted while it installed left the rest to this one;
	// if that fails too, apt-get says so better.
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

// registerEmulator makes the kernel run programs of arch through qemu, if the
// machine is of another.
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
	// An entry without F has to go first: enabling it again changes nothing.
	if _, err := os.Stat(filepath.Join(platform.Binfmt, name)); err == nil {
		_ = proc.Run(ctx, exec.CommandContext(ctx, "update-binfmts", "--disable", name))
	}
	// Debian 13 leaves the entry to systemd-binfmt, which a container or a
	// rescue system does not have; before, it was binfmt-support's.
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
