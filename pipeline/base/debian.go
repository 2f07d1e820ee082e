package base

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/stream"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// debian describes a layer of Debian packages for mmdebstrap to build.
type debian struct {
	name    string   // for the cache entry's name and the log
	arch    string   // GOARCH; Debian uses the same name for both that are built
	variant string   // of mmdebstrap
	include []string // packages
	hooks   []string // options of mmdebstrap
	apt     apt
	level   int                    // of gzip: small output for shipped images, fast for others
	exclude func(path string) bool // reports whether to leave out a path: "etc/passwd", "var/log/" for a directory
}

// dpkgConfig is the dpkg configuration that excludes files such as manual pages. It is
// also part of the base image, so it applies to later installations too.
const dpkgConfig = "pipeline/base/rootfs/etc/dpkg/dpkg.cfg.d/90-lean"

// excludedFromBase reports whether a path is left out of the base image: files that
// depend on the build machine or time, files that the kernel or the container
// runtime provides, and the daily jobs of apt and dpkg, which are for machines that
// update themselves.
func excludedFromBase(path string) bool {
	switch path {
	case "etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
		"etc/hostname", "etc/resolv.conf", "etc/machine-id", "etc/.pwd.lock",
		"var/lib/dbus/machine-id", "var/lib/systemd/random-seed",
		"etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/subuid-", "etc/subgid-",
		"etc/cron.daily/apt-compat", "etc/cron.daily/dpkg":
		return true
	}
	if dir, below, _ := strings.Cut(path, "/"); below != "" && slices.Contains([]string{"dev", "proc", "sys", "run", "tmp"}, dir) {
		return true
	}
	// Keep these directories themselves: later installations need them.
	return !strings.HasSuffix(path, "/") && hasAnyPrefix(path, "var/log/", "var/cache/", "var/lib/apt/lists/", "usr/share/info/") ||
		strings.HasPrefix(path, "var/lib/dpkg/") && strings.HasSuffix(path, "-old")
}

func hasAnyPrefix(path string, prefixes ...string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(path, p) })
}

func containsAny(path string, parts ...string) bool {
	return slices.ContainsFunc(parts, func(p string) bool { return strings.Contains(path, p) })
}

// mmdebstrapOptions returns the options that do not depend on where and when it runs.
func (b *Builder) mmdebstrapOptions(d debian) []string {
	return slices.Concat([]string{
		"--mode=root",
		"--format=tar",
		"--variant=" + d.variant,
		"--architectures=" + d.arch,
		"--components=main",
		"--include=" + strings.Join(d.include, ","),
	}, d.hooks)
}

func (b *Builder) debianKey(d debian) (string, error) {
	settings, err := os.ReadFile(filepath.Join(b.Source, dpkgConfig))
	if err != nil {
		return "", fmt.Errorf("reading the package settings of the base image: %w", err)
	}
	return hashOf(b.mmdebstrapOptions(d), b.Suite, d.apt.imageSources(), settings, d.level, epoch, layerFormat), nil
}

// layerFormat must be raised when the processing of mmdebstrap's output changes.
const layerFormat = 4

// debianEntry returns a layer and its file from the cache, or builds it.
func (b *Builder) debianEntry(ctx context.Context, d debian) (layer v1.Layer, file string, err error) {
	key, err := b.debianKey(d)
	if err != nil {
		return nil, "", err
	}
	dir, err := b.store().get(ctx, "debian-"+d.name+"-"+d.arch, key, func(ctx context.Context, to layout.Path) error {
		if !d.emulated() {
			return b.bootstrap(ctx, d, "", to)
		}
		native, err := b.nativePrograms(ctx, d.apt)
		if err != nil {
			return err
		}
		return b.bootstrap(ctx, d, native, to)
	})
	if err != nil {
		return nil, "", err
	}
	if layer, err = onlyLayer(dir); err == nil {
		file, err = blob(dir, layer)
	}
	if err != nil {
		return nil, "", fmt.Errorf("opening the cached packages %s: %w", dir, err)
	}
	return layer, file, nil
}

// emulated reports whether building the layer runs another architecture's programs.
func (d debian) emulated() bool {
	return d.arch != runtime.GOARCH && d.variant != "extract"
}

// debianLayer returns the layer from the cache, or builds it. It hard-links the
// blob into the layout to, so that a base image needs no second copy.
func (b *Builder) debianLayer(ctx context.Context, d debian, to layout.Path) (v1.Layer, error) {
	layer, file, err := b.debianEntry(ctx, d)
	if err != nil {
		return nil, err
	}
	link, err := blob(string(to), layer)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(link), 0o755)
	}
	if err == nil {
		err = os.Link(file, link)
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("linking the cached packages into the image: %w", err)
	}
	return layer, nil
}

// blob returns the path of a layer in an OCI layout.
func blob(dir string, layer v1.Layer) (string, error) {
	digest, err := layer.Digest()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "blobs", digest.Algorithm, digest.Hex), nil
}

func onlyLayer(dir string) (v1.Layer, error) {
	img, err := engine.SoleImage(dir)
	if err != nil {
		return nil, err
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, err
	}
	if len(layers) != 1 {
		return nil, fmt.Errorf("%d layers where one is expected", len(layers))
	}
	return layers[0], nil
}

// bootstrap runs mmdebstrap and writes its output to the layout to as an image of
// one layer. For another architecture, native is the file that nativePrograms
// returns; if empty, all programs are emulated.
func (b *Builder) bootstrap(ctx context.Context, d debian, native string, to layout.Path) error {
	if err := b.checkHost(d); err != nil {
		return err
	}
	started := time.Now()
	log := newLog(b.Log, fmt.Sprintf("packages of %s/%s: ", d.name, d.arch), d.apt.secrets)
	defer log.Flush()

	// mmdebstrap writes its temporary files inside the unfinished cache entry, so
	// removing the entry removes them too.
	temp := filepath.Join(string(to), "tmp")
	if err := os.Mkdir(temp, 0o700); err != nil {
		return fmt.Errorf("making a directory for mmdebstrap: %w", err)
	}
	defer os.RemoveAll(temp)
	aptConf := filepath.Join(temp, "apt.conf")
	// Skip debconf's preconfiguration: nobody can answer its questions.
	if err := os.WriteFile(aptConf, []byte(d.apt.settings+"#clear DPkg::Pre-Install-Pkgs;\n"), 0o600); err != nil {
		return fmt.Errorf("writing apt's settings for mmdebstrap: %w", err)
	}

	args := append(b.mmdebstrapOptions(d), "--keyring="+keyring, "--aptopt="+aptConf, "--dpkgopt="+filepath.Join(b.Source, dpkgConfig))
	environ := append(os.Environ(), "LC_ALL=C", "TMPDIR="+temp, "SOURCE_DATE_EPOCH="+strconv.FormatInt(epoch.Unix(), 10))
	if native != "" {
		options, variables := withNative(native)
		args, environ = append(args, options...), append(environ, variables...)
	}
	// Pass the sources on standard input: they may contain a password.
	args = append(args, b.Suite, "-", "-")

	// In its own namespaces, where the kernel kills all processes with the first,
	// a cancelled or killed run leaves no process and no mount.
	args = append([]string{"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "mmdebstrap"}, args...)
	cmd := exec.CommandContext(ctx, "unshare", args...)
	cmd.Env = environ
	if cpu := b.CPU[d.arch]; cpu != "" {
		cmd.Env = append(cmd.Env, "QEMU_CPU="+cpu)
	}
	cmd.Stdin = strings.NewReader(d.apt.sources)
	cmd.Stderr = log

	pr, pw := io.Pipe()
	ended := make(chan struct{})
	var runErr error
	go func() {
		defer close(ended)
		runErr = runFiltered(cmd, pw, d.exclude)
		pw.CloseWithError(runErr)
	}()
	layer := stream.NewLayer(pr, stream.WithMediaType(types.OCILayer), stream.WithCompressionLevel(d.level))
	img, err := assemble(d.arch, v1.Config{}, mutate.Addendum{Layer: layer, MediaType: types.OCILayer})
	if err == nil {
		err = to.AppendImage(img)
	}
	pr.CloseWithError(err)
	<-ended
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		log.Flush()
		if reason := d.apt.fetchError(log.last); reason != "" {
			return errors.New(reason)
		}
		return fmt.Errorf("running mmdebstrap for %s: %w: %s", d.arch, cmp.Or(runErr, err), strings.Join(errorLines(log.last), "; "))
	}
	fmt.Fprintf(log, "done in %.0f s\n", time.Since(started).Seconds())
	return nil
}

// runFiltered runs a command that writes a tar archive, and filters the archive.
func runFiltered(cmd *exec.Cmd, w io.Writer, exclude func(string) bool) error {
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = proc.Start(cmd)
	}
	if err != nil {
		return err
	}
	filterErr := filterTar(out, w, exclude)
	if filterErr != nil {
		cmd.Process.Kill()
	}
	io.Copy(io.Discard, out)
	if err := cmd.Wait(); err != nil && (filterErr == nil || errors.Is(filterErr, io.ErrUnexpectedEOF)) {
		return err
	}
	return filterErr
}

// filterTar copies a tar archive without the paths that exclude reports, and
// limits modification times to epoch.
func filterTar(r io.Reader, w io.Writer, exclude func(string) bool) error {
	out := tar.NewWriter(w)
	err := archive.Walk(r, func(h *tar.Header, content io.Reader) error {
		path := strings.TrimPrefix(h.Name, "./")
		if path == "" || exclude(path) {
			return nil
		}
		h.Name = path
		if h.Typeflag == tar.TypeLink {
			h.Linkname = strings.TrimPrefix(h.Linkname, "./")
		}
		if h.ModTime.After(epoch) {
			h.ModTime = epoch
		}
		h.ModTime = h.ModTime.Truncate(time.Second)
		h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
		h.Format = tar.FormatPAX
		err := out.WriteHeader(h)
		if err == nil {
			_, err = io.Copy(out, content)
		}
		if err != nil {
			return fmt.Errorf("copying %s into the layer: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the archive of mmdebstrap: %w", err)
	}
	return out.Close()
}

// checkHost checks that this machine can build the layer, before minutes are spent.
func (b *Builder) checkHost(d debian) error {
	if os.Geteuid() != 0 {
		return failure.Usagef("making the base image needs root, to mount and to set owners: run the same command with sudo")
	}
	for program, pkg := range map[string]string{"mmdebstrap": "mmdebstrap", "unshare": "util-linux"} {
		if _, err := exec.LookPath(program); err != nil {
			return failure.Usagef("making the base image needs %s: run apt-get install --yes %s", program, pkg)
		}
	}
	if row, _ := platform.Of(d.arch); d.emulated() && !row.Emulated(platform.Binfmt) {
		return failure.Usagef("making the %s base image needs emulation: run apt-get install --yes qemu-user-static binfmt-support, then update-binfmts --enable %s", d.arch, row.Emulator())
	}
	return nil
}
