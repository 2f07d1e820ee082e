package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
	"github.com/linuxserver/docker-netbox/tests/need"
)

const overheadContext = "testdata/overhead"

// BenchmarkOverhead prints how much slower the local engine is than the programs
// it runs. It builds one Dockerfile with an empty and a warm cache, each with a
// separate daemon, and starts a container that does nothing.
//
//	go test ./tests/bench -run '^$' -bench Overhead -benchtime 1x -rounds 3
func BenchmarkOverhead(b *testing.B) {
	need.Root(b, "starting containers")
	sides, err := (provider.Local{Builder: basetest.Builder(b, repository)}).Sidecars(b.Context(), b.Output())
	if err != nil {
		b.Fatal(err)
	}
	img := sides.Postgres.Image
	platform := basetest.Platform()
	idx := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &platform}})
	tools := toolsOfEngine(b)
	rootfs := b.TempDir()
	unpack(b, img, rootfs)
	for b.Loop() {
		var cold, warm, run, bareCold, bareWarm, bareRun []float64
		for range *rounds {
			first, again, container := throughEngine(b, tools, idx)
			cold, warm, run = append(cold, first), append(warm, again), append(run, container)
			first, again = byHand(b, tools, idx)
			bareCold, bareWarm, bareRun = append(bareCold, first), append(bareWarm, again), append(bareRun, runcByHand(b, rootfs))
		}
		fmt.Printf("\nmedian of %d rounds, %d processors: seconds with the engine, by hand, ratio, more\n", *rounds, runtime.NumCPU())
		for _, row := range []struct {
			name         string
			engine, bare []float64
		}{{"build, empty cache", cold, bareCold}, {"build again", warm, bareWarm}, {"container", run, bareRun}} {
			ours, theirs := medianOf(row.engine), medianOf(row.bare)
			fmt.Printf("%-20s %7.2f %7.2f  x%.2f  %+.2f s\n", row.name, ours, theirs, ours/theirs, ours-theirs)
		}
	}
}

func medianOf(all []float64) float64 {
	return median(make([]figures, len(all)), func(i int) float64 { return all[i] })
}

// toolsOfEngine returns the directory of the engine's programs.
func toolsOfEngine(b *testing.B) string {
	b.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		b.Fatal(err)
	}
	found, err := filepath.Glob(filepath.Join(cache, "docker-netbox/engine/local/tools/*/buildkitd"))
	if err != nil || len(found) == 0 {
		b.Fatalf("the engine has built no buildkitd: %v", err)
	}
	return filepath.Dir(filepath.Dir(found[len(found)-1]))
}

// throughEngine measures the engine, starting with an empty cache.
func throughEngine(b *testing.B, tools string, idx v1.ImageIndex) (cold, warm, container float64) {
	b.Helper()
	cache := b.TempDir()
	if err := os.MkdirAll(filepath.Join(cache, "local"), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.Symlink(tools, filepath.Join(cache, "local/tools")); err != nil {
		b.Fatal(err)
	}
	pins, err := versions.Load(repository)
	if err != nil {
		b.Fatal(err)
	}
	eng, err := local.New(local.Options{Cache: cache, Tools: filepath.Join(repository, "tools"), QEMUCPU: pins.CPUs(), LockWait: time.Hour, Environ: os.Environ()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := eng.Close(); err != nil {
			b.Error(err)
		}
	}()
	var built v1.Image
	build := func() float64 {
		began := time.Now()
		if built, err = eng.Build(b.Context(), engine.BuildRequest{
			Platform: basetest.Platform(), Context: overheadContext, Dockerfile: "Dockerfile", Base: engine.Base{Index: idx}, Log: io.Discard,
		}); err != nil {
			b.Fatal(err)
		}
		return time.Since(began).Seconds()
	}
	cold, warm = build(), build()
	run := func() float64 {
		began := time.Now()
		pod, err := eng.NewPod(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		c, err := pod.Start(b.Context(), engine.Container{Name: "nothing", Image: built, Entrypoint: []string{"true"}})
		if err != nil {
			b.Fatal(err)
		}
		if code, err := c.Wait(b.Context()); err != nil || code != 0 {
			b.Fatalf("a container that does nothing: status %d, %v", code, err)
		}
		if err := pod.Close(); err != nil {
			b.Fatal(err)
		}
		return time.Since(began).Seconds()
	}
	run() // unpacks the layers
	return cold, warm, run()
}

// byHand measures buildkitd and buildctl without the engine, with its flags.
func byHand(b *testing.B, tools string, idx v1.ImageIndex) (cold, warm float64) {
	b.Helper()
	dir := b.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	bin, err := filepath.Glob(filepath.Join(tools, "*/buildctl"))
	if err != nil || len(bin) == 0 {
		b.Fatalf("there is no buildctl in %s: %v", tools, err)
	}
	program := func(name string) string { return filepath.Join(filepath.Dir(bin[len(bin)-1]), name) }
	digest, err := idx.Digest()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	l, err := layout.Write(at("base"), empty.Index)
	if err == nil {
		err = l.AppendIndex(idx)
	}
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	daemon := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", program("buildkitd"),
		"--root", at("root"), "--addr", "unix://"+at("sock"), "--containerd-worker=false", "--oci-worker=true",
		"--oci-worker-snapshotter=overlayfs", "--oci-worker-net=host")
	if err := daemon.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		cancel()
		_ = daemon.Wait() // killed
	}()
	build := func(out string) {
		cmd := exec.CommandContext(b.Context(), program("buildctl"), "--addr", "unix://"+at("sock"), "--wait", "build", "--progress=rawjson",
			"--output", "type=oci,tar=false,rewrite-timestamp=true,dest="+at(out), "--frontend", "dockerfile.v0",
			"--local", "context="+overheadContext, "--local", "dockerfile="+overheadContext, "--opt", "platform="+basetest.Platform().String(),
			"--opt", "build-arg:BASE_IMAGE=base", "--oci-layout", "base="+at("base"), "--opt", "context:base=oci-layout://base@"+digest.String())
		if text, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("buildctl: %v: %s", err, text[max(0, len(text)-2000):])
		}
	}
	build("first")
	cold = time.Since(began).Seconds()
	began = time.Now()
	build("again")
	return cold, time.Since(began).Seconds()
}

// unpack extracts an image's files for runc.
func unpack(b *testing.B, img v1.Image, dir string) {
	b.Helper()
	files := mutate.Extract(img)
	defer files.Close()
	tar := exec.CommandContext(b.Context(), "tar", "--extract", "--directory", dir)
	tar.Stdin = files
	if text, err := tar.CombinedOutput(); err != nil {
		b.Fatalf("tar: %v: %s", err, text)
	}
}

// runcByHand measures a container that does nothing, with its own network.
func runcByHand(b *testing.B, rootfs string) float64 {
	b.Helper()
	bundle := b.TempDir()
	if text, err := exec.CommandContext(b.Context(), "runc", "spec", "--bundle", bundle).CombinedOutput(); err != nil {
		b.Fatalf("runc spec: %v: %s", err, text)
	}
	file := filepath.Join(bundle, "config.json")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(text, &spec); err != nil {
		b.Fatal(err)
	}
	process := spec["process"].(map[string]any)
	process["terminal"], process["args"] = false, []string{"true"}
	delete(process, "rlimits")
	spec["root"] = map[string]any{"path": rootfs, "readonly": true}
	if text, err = json.Marshal(spec); err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	cmd := exec.CommandContext(b.Context(), "runc", "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, fmt.Sprintf("overhead-%d", os.Getpid()))
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("runc run: %v: %s", err, text)
	}
	return time.Since(began).Seconds()
}
