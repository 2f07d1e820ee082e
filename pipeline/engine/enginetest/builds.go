package enginetest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/archive"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// build builds a Dockerfile on the tiny base and fails the test on an error.
func (c *contract) build(t *testing.T, p v1.Platform, dockerfile string, change func(*engine.BuildRequest)) (img v1.Image, log string) {
	t.Helper()
	img, log, err := c.tryBuild(t.Context(), t, p, dockerfile, change)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	return img, log
}

func (c *contract) tryBuild(ctx context.Context, t *testing.T, p v1.Platform, dockerfile string, change func(*engine.BuildRequest)) (v1.Image, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, fstest.MapFS{"Dockerfile": {Data: []byte(dockerfile)}, "copied.txt": {Data: []byte("from the context")}}); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	req := engine.BuildRequest{
		Platform: p, Context: dir, Dockerfile: "Dockerfile", Base: engine.Base{Index: c.base},
		Epoch: time.Unix(1_700_000_000, 0), Log: &log,
	}
	if change != nil {
		change(&req)
	}
	img, err := c.Build(ctx, req)
	return img, log.String(), err
}

func (c *contract) builds(t *testing.T, p v1.Platform) {
	const dockerfile = `ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG VERSION
ARG TARGETARCH
ARG OWN=default
ENV SET_BY_ENV=kept
RUN print version $VERSION on $TARGETARCH; write /version $VERSION $TARGETARCH $OWN
CMD ["/bin/tiny", "cat", "/version"]
`
	// A new version for each run: a cached step prints nothing.
	version := "4.7.3-" + rand.Text()
	args := func(req *engine.BuildRequest) { req.Args = map[string]string{"VERSION": version} }
	img, log := c.build(t, p, dockerfile, args)
	if want := "version " + version + " on " + p.Architecture; !strings.Contains(log, want) {
		t.Errorf("the build's log lacks what RUN printed, %q:\n%s", want, log)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.OS != p.OS || config.Architecture != p.Architecture {
		t.Errorf("platform is %s/%s, want %s", config.OS, config.Architecture, p)
	}
	env := slices.Sorted(slices.Values(config.Config.Env))
	if want := []string{"FROM_BASE=kept", "PATH=/bin", "SET_BY_ENV=kept"}; !slices.Equal(env, want) {
		t.Errorf("Env is %q, want %q: build arguments have no business there", env, want)
	}
	if want := time.Unix(1_700_000_000, 0); !config.Created.Equal(want) {
		t.Errorf("created %s, want the epoch asked for, %s", config.Created, want)
	}
	checkTimes(t, img, config.Created.Time)
	again, _ := c.build(t, p, dockerfile, args)
	first, err := img.Digest()
	second, againErr := again.Digest()
	if err := errors.Join(err, againErr); err != nil || first != second {
		t.Errorf("the same inputs made %s, then %s: %v", first, second, err)
	}
	c.prints(t, img, version+" "+p.Architecture+" default")
}

// checkTimes fails the test if the image has a file newer than a time: a later
// build would have another digest.
func checkTimes(t *testing.T, img v1.Image, than time.Time) {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	err := archive.Walk(r, func(h *tar.Header, _ io.Reader) error {
		if h.ModTime.After(than) {
			t.Errorf("%s has the time %s, want none after %s", h.Name, h.ModTime, than)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// buildPlatform builds for each platform with a stage on $BUILDPLATFORM, the first
// one: that stage must run without an emulator.
func (c *contract) buildPlatform(t *testing.T) {
	for _, p := range c.Platforms {
		img, _ := c.build(t, p, `ARG BASE_IMAGE
ARG BUILD_IMAGE=${BASE_IMAGE}
FROM --platform=$BUILDPLATFORM ${BUILD_IMAGE} AS native
ARG BUILDARCH
ARG TARGETARCH
RUN arch /made $BUILDARCH $TARGETARCH
FROM ${BASE_IMAGE}
COPY --from=native /made /made
CMD ["/bin/tiny", "cat", "/made"]
`, nil)
		native := c.Platforms[0].Architecture
		c.prints(t, img, native+" "+native+" "+p.Architecture) // made on, by and for
	}
}

func (c *contract) contextAndTarget(t *testing.T) {
	img, _ := c.build(t, c.Platforms[0], `ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS wanted
COPY copied.txt /copied.txt
CMD ["/bin/tiny", "cat", "/copied.txt"]
FROM wanted
RUN exit 1
`, func(req *engine.BuildRequest) { req.Target = "wanted" })
	c.prints(t, img, "from the context")
}

func (c *contract) failingInstruction(t *testing.T) {
	_, log, err := c.tryBuild(t.Context(), t, c.Platforms[0], "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print first\nRUN print about to fail; warn no such wheel; exit 7\n", nil)
	var be *engine.BuildError
	if !errors.As(err, &be) {
		t.Fatalf("err is %T (%v), want a *engine.BuildError\n%s", err, err, log)
	}
	if !strings.Contains(be.Step, "RUN print about to fail") {
		t.Errorf("Step is %q, want the instruction as written", be.Step)
	}
	if !slices.Contains(be.Output, "no such wheel") || slices.Contains(be.Output, "first") {
		t.Errorf("Output is %q, want the failing step's last lines and no other's", be.Output)
	}
	if be.Line != 4 && be.Line != 0 {
		t.Errorf("Line is %d, want 4", be.Line)
	}
	c.checkError(t, be, "build "+c.Platforms[0].String(), "Dockerfile", "RUN print about to fail", "exit code: 7", "no such wheel")
}

func (c *contract) badDockerfile(t *testing.T) {
	_, log, err := c.tryBuild(t.Context(), t, c.Platforms[0], "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUNN true\n", nil)
	if err == nil || !strings.Contains(err.Error(), "RUNN") {
		t.Errorf("err is %v, want one that names RUNN\n%s", err, log)
	}
}

func (c *contract) cancelBuild(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(3*time.Second, cancel)
	began := time.Now()
	_, log, err := c.tryBuild(ctx, t, c.Platforms[0], "ARG BASE_IMAGE\nFROM ${BASE_IMAGE}\nRUN print "+t.Name()+"; sleep 5m\n", nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("err is %v, want context.Canceled\n%s", err, log)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("the build went on for %s after it was cancelled", took)
	}
}
