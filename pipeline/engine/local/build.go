package local

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// baseName is the value of BASE_IMAGE when the base is an index. It only names a
// build context; nothing is pulled by that name.
const baseName = "base"

// Build builds one platform's image. The returned image is normalised; its layers
// are files in the cache.
func (e *Engine) Build(ctx context.Context, req engine.BuildRequest) (v1.Image, error) {
	if !isFile(filepath.Join(req.Context, req.Dockerfile)) {
		return nil, failure.Usagef("build %s: no Dockerfile at %s", req.Platform, filepath.Join(req.Context, req.Dockerfile))
	}
	if err := e.Setup(ctx, e.opts.Log); err != nil {
		return nil, err
	}
	if err := registerEmulator(ctx, req.Log, req.Platform.Architecture); err != nil {
		return nil, err
	}
	if err := e.createProcessDir(ctx); err != nil {
		return nil, fmt.Errorf("build %s: making a scratch directory: %w", req.Platform, err)
	}
	addr, err := e.daemon.acquire(ctx, req.Log)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", req.Platform, err)
	}
	defer e.daemon.release()
	tmp, err := os.MkdirTemp(e.processDir(), "build-")
	if err != nil {
		return nil, fmt.Errorf("build %s: making a scratch directory: %w", req.Platform, err)
	}
	defer os.RemoveAll(tmp) // it holds secrets

	args, err := e.buildArgs(req, tmp)
	if err != nil {
		return nil, fmt.Errorf("build %s: %w", req.Platform, err)
	}
	args = append([]string{"--addr", addr, "--wait", "build", "--progress=rawjson"}, args...)
	layout, err := e.export(tmp, req, func(log io.Writer, output ...string) error {
		return e.buildctl(ctx, req, slices.Concat(args, output), log)
	})
	if err != nil {
		return nil, err
	}
	img, err := engine.SoleImage(layout)
	if err != nil {
		return nil, fmt.Errorf("build %s: reading what BuildKit wrote: %w", req.Platform, err)
	}
	if img, err = engine.Normalise(img, req); err != nil {
		return nil, fmt.Errorf("build %s: %w", req.Platform, err)
	}
	return img, nil
}

// export returns the OCI layout of what solve builds. BuildKit compresses all
// layers again whenever it rewrites their timestamps. The layout is therefore
// cached by the digest of the image before that step, which is cheap to get. That
// first image is never published, so its layers use the fastest compression.
func (e *Engine) export(tmp string, req engine.BuildRequest, solve func(log io.Writer, output ...string) error) (layout string, err error) {
	built := func(log io.Writer) (digest string, err error) {
		file := filepath.Join(tmp, "built.json")
		if err := solve(log, "--output", "type=image,compression=zstd,compression-level=0", "--metadata-file", file); err != nil {
			return "", err
		}
		var result struct {
			Digest string `json:"containerimage.digest"`
		}
		data, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(data, &result)
		}
		if err == nil && result.Digest == "" {
			err = errors.New("it has no digest of the image")
		}
		if err != nil {
			return "", fmt.Errorf("build %s: reading BuildKit's result: %w", req.Platform, err)
		}
		return result.Digest, nil
	}
	for {
		digest, err := built(req.Log)
		if err != nil {
			return "", err
		}
		key := fmt.Sprintf("%s at %d by %s", digest, req.Epoch.Unix(), e.tools.buildkitd)
		layout = filepath.Join(e.dirs.images, fmt.Sprintf("%x", sha256.Sum256([]byte(key))))
		changed := errors.New("a file of the context changed meanwhile")
		err = makeDir(layout, func(out string) error {
			fmt.Fprintln(req.Log, "writing the image")
			if err := solve(io.Discard, "--output", "type=oci,tar=false,rewrite-timestamp=true,dest="+out); err != nil {
				return err
			}
			again, err := built(io.Discard)
			if err == nil && again != digest {
				err = changed
			}
			return err
		})
		if err != changed {
			return layout, err
		}
	}
}

// buildArgs returns buildctl's flags for a request.
func (e *Engine) buildArgs(req engine.BuildRequest, tmp string) ([]string, error) {
	dockerfile := filepath.Join(req.Context, req.Dockerfile)
	args := []string{
		"--frontend", "dockerfile.v0",
		"--local", "context=" + req.Context,
		"--local", "dockerfile=" + filepath.Dir(dockerfile),
		"--opt", "filename=" + filepath.Base(dockerfile),
		"--opt", "platform=" + req.Platform.String(),
	}
	if req.Target != "" {
		args = append(args, "--opt", "target="+req.Target)
	}
	cpu := ""
	if emulated(req.Platform.Architecture) {
		cpu = e.opts.QEMUCPU[req.Platform.Architecture]
	}
	buildArgs := e.env.BuildArgs(req, cpu, "the process list", req.Log)
	if req.Base.Reference != "" {
		buildArgs["BASE_IMAGE"] = req.Base.Reference
	} else {
		dir, digest, err := e.writeBase(req.Base.Index)
		if err != nil {
			return nil, err
		}
		contexts, err := baseContexts(req.Base.Index, digest)
		if err != nil {
			return nil, err
		}
		buildArgs["BASE_IMAGE"] = baseName
		args = append(append(args, "--oci-layout", baseName+"="+dir), contexts...)
	}
	for k, v := range buildArgs {
		args = append(args, "--opt", "build-arg:"+k+"="+v)
	}
	if ca := e.env.CABundle(); ca != "" {
		args = append(args, "--secret", "id="+environ.SecretCA+",src="+ca)
	}
	if conf := e.env.PipConf(); conf != nil {
		path := filepath.Join(tmp, "pip.conf")
		if err := os.WriteFile(path, conf, 0o600); err != nil {
			return nil, err
		}
		args = append(args, "--secret", "id="+environ.SecretPip+",src="+path)
	}
	return args, nil
}

func (e *Engine) buildctl(ctx context.Context, req engine.BuildRequest, args []string, log io.Writer) error {
	cmd := exec.CommandContext(ctx, e.tools.buildctl, args...)
	cmd.Env = []string{"PATH=" + e.env["PATH"], "HOME=" + e.env["HOME"], "DOCKER_CONFIG=" + e.env["DOCKER_CONFIG"]}
	// On an interrupt BuildKit stops the build's processes, before the daemon
	// itself is stopped.
	proc.Group(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGINT) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	p := &progress{log: log, steps: map[string]*step{}}
	if err = cmd.Start(); err == nil {
		p.read(out)
		err = cmd.Wait()
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("build %s: %w", req.Platform, context.Cause(ctx))
	case err != nil:
		return p.failure(req, err)
	}
	return nil
}

// baseContexts returns flags that name the base image of each platform separately.
// BuildKit caches by the digest of the context: with the index alone, a change of
// another platform's image would invalidate the cache.
func baseContexts(index v1.ImageIndex, digest v1.Hash) (args []string, err error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, fmt.Errorf("reading the base image: %w", err)
	}
	add := func(name string, digest v1.Hash) {
		args = append(args, "--opt", "context:"+name+"=oci-layout://"+baseName+"@"+digest.String())
	}
	add(baseName, digest)
	for _, desc := range manifest.Manifests {
		if desc.Platform == nil {
			continue
		}
		if row, found := platform.Of(desc.Platform.Architecture); found && platform.Canonical(*desc.Platform).Equals(row.OCI) {
			add(baseName+"::"+row.Name(), desc.Digest)
		}
	}
	return args, nil
}

// writeBase writes an index into an OCI layout in the cache, unless it is there.
func (e *Engine) writeBase(index v1.ImageIndex) (dir string, digest v1.Hash, err error) {
	if digest, err = index.Digest(); err != nil {
		return "", digest, fmt.Errorf("reading the base image: %w", err)
	}
	dir = filepath.Join(e.dirs.bases, digest.Hex)
	err = makeDir(dir, func(tmp string) error {
		_, err := layout.Write(tmp, mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: index}))
		return err
	})
	if err != nil {
		return "", digest, fmt.Errorf("writing the base image to %s: %w", dir, err)
	}
	outdir.Prune(e.dirs.bases, 3, time.Hour)
	return dir, digest, nil
}

// makeDir creates a directory atomically, or updates the time of one that exists
// to mark it as used. If two callers create it at once, the first one is kept.
func makeDir(dir string, fill func(tmp string) error) error {
	now := time.Now()
	if os.Chtimes(dir, now, now) == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".tmp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := fill(tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil && !isDir(dir) {
		return err
	}
	return nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
