package dagger

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dagger.io/dagger"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/linuxserver/docker-netbox/pipeline/dockerfile"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/layers"
	"github.com/linuxserver/docker-netbox/pipeline/engine/environ"
	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

// A base image that is in no registry becomes two stages with these names, before the
// Dockerfile's own: one for the target platform and one for the build platform.
const (
	baseStage  = "pipeline-base"
	buildStage = "pipeline-build"
)

// The paths of the program that rewrites layers and of its input.
const (
	rewritePath = "/.pipeline/rewrite"
	archivePath = "/.pipeline/image.tar"
)

// Build builds and normalises the image for one platform. It uses a separate session,
// so that the log contains this build only.
func (e *Engine) Build(ctx context.Context, req engine.BuildRequest) (v1.Image, error) {
	img, err := e.build(ctx, req)
	if err == nil {
		return img, nil
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("build %s: %w", req.Platform, context.Cause(ctx))
	}
	if be := (*engine.BuildError)(nil); errors.As(err, &be) {
		return nil, be
	}
	return nil, fmt.Errorf("build %s: %w", req.Platform, err)
}

// CheckBuild checks that Dagger can parse the Dockerfile and find its base images. It
// takes seconds, however long the build takes.
func (e *Engine) CheckBuild(ctx context.Context, req engine.BuildRequest) error {
	s, err := e.connect()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(e.work, "check-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	_, err = e.prepareBuild(ctx, s, req, dir, io.Discard)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (e *Engine) build(ctx context.Context, req engine.BuildRequest) (v1.Image, error) {
	log := newLogWriter(req.Log)
	s, err := e.newSession(ctx, log)
	if err != nil {
		return nil, err
	}
	defer s.disconnect()
	dir, err := os.MkdirTemp(e.work, "build-")
	if err != nil {
		return nil, err
	}
	b, err := e.prepareBuild(ctx, s, req, dir, log)
	if err != nil {
		return nil, err
	}
	img, err := e.export(ctx, s, b, req, dir)
	if err != nil {
		return nil, err
	}
	if img, err = withHistory(img, b.text, req.Target); err != nil {
		return nil, fmt.Errorf("write the image's history: %w", err)
	}
	if img, err = withoutArguments(img, req, b.text); err != nil {
		return nil, fmt.Errorf("take the arguments out of the image's environment: %w", err)
	}
	return engine.Normalise(img, req)
}

// export builds the image and copies it to this machine. If the request has an epoch,
// the engine rewrites the layers above the base with it, and caches them by content.
func (e *Engine) export(ctx context.Context, s *session, b dockerBuild, req engine.BuildRequest, dir string) (v1.Image, error) {
	built, to := b.source.DockerBuild(b.opts), filepath.Join(dir, "image")
	if req.Epoch.IsZero() { // the image is run but not published: fast compression is enough
		file := to + ".tar"
		fast := dagger.ContainerAsTarballOpts{ForcedCompression: dagger.ImageLayerCompressionZstd}
		if _, err := built.AsTarball(fast).Export(ctx, file); err != nil {
			return nil, buildError(req, b.text, err)
		}
		img, err := layers.ReadArchive(file, dir)
		if err := errors.Join(err, os.Remove(file)); err != nil {
			return nil, fmt.Errorf("read what Dagger built: %w", err)
		}
		return img, nil
	}
	archive := built.AsTarball()
	var program *dagger.File
	var g errgroup.Group // the program is compiled while the image is built
	g.Go(func() (err error) {
		program, err = e.compiledProgram(ctx, s.Client, s.native.Architecture, rewriteProgram)
		return err
	})
	g.Go(func() error {
		if _, err := archive.Sync(ctx); err != nil {
			return buildError(req, b.text, err)
		}
		return nil
	})
	if err := g.Wait(); err != nil {
		return nil, err
	}
	own := len(layerSteps(b.text, req.Target)) // the layers below are the base's
	_, err := s.Container(dagger.ContainerOpts{Platform: dagger.Platform(s.native.String())}).
		WithMountedFile(rewritePath, program).
		WithMountedFile(archivePath, archive).
		WithExec([]string{rewritePath, archivePath, "/image", fmt.Sprint(own), fmt.Sprint(req.Epoch.Unix())}, dagger.ContainerWithExecOpts{NoInit: true}).
		Directory("/image").Export(ctx, to)
	if failed := (*dagger.ExecError)(nil); errors.As(err, &failed) && !slices.Contains(failed.Cmd, rewritePath) {
		return nil, buildError(req, b.text, err)
	}
	if err != nil {
		return nil, fmt.Errorf("set the times of the image's files: %w", programError(ctx, err))
	}
	img, err := engine.SoleImage(to)
	if err != nil {
		return nil, fmt.Errorf("read what Dagger built: %w", err)
	}
	return img, nil
}

// dockerBuild is a build request in the form that Dagger's API requires.
type dockerBuild struct {
	text   string // of the Dockerfile
	source *dagger.Directory
	opts   dagger.DirectoryDockerBuildOpts
}

// prepareBuild passes a request to Dagger, which parses the Dockerfile and finds its
// base images. Dagger may already start to build, so the request includes the secrets:
// only an identical request reuses the result.
func (e *Engine) prepareBuild(ctx context.Context, s *session, req engine.BuildRequest, dir string, log io.Writer) (b dockerBuild, err error) {
	secrets, err := e.buildSecrets(ctx, s.Client)
	if err != nil {
		return b, err
	}
	text, err := os.ReadFile(filepath.Join(req.Context, req.Dockerfile))
	if err != nil {
		return b, fmt.Errorf("read the Dockerfile: %w", err)
	}
	from, err := filepath.Abs(req.Context)
	if err != nil {
		return b, err
	}
	ignored, err := os.ReadFile(filepath.Join(from, ".dockerignore"))
	if err != nil && !os.IsNotExist(err) {
		return b, err
	}
	b.text = string(text)
	b.source = s.Host().Directory(from, dagger.HostDirectoryOpts{Exclude: uploadExcludes(string(ignored), req.Dockerfile)})
	cpu := ""
	if req.Platform.Architecture != s.native.Architecture {
		cpu = e.opts.QEMUCPU[req.Platform.Architecture]
	}
	args := e.env.BuildArgs(req, cpu, "Dagger's traces", log)
	// Dagger sets these to the target platform: native steps would be emulated.
	args["BUILDPLATFORM"], args["BUILDOS"], args["BUILDARCH"], args["BUILDVARIANT"] = s.native.String(), s.native.OS, s.native.Architecture, s.native.Variant
	args["BASE_IMAGE"] = req.Base.Reference
	if req.Base.Index != nil {
		args["BASE_IMAGE"], args["BUILD_IMAGE"] = baseStage, buildStage
		if err := b.addBase(s, req, string(ignored), dir); err != nil {
			return b, err
		}
	}
	b.opts = dagger.DirectoryDockerBuildOpts{Dockerfile: req.Dockerfile, Platform: dagger.Platform(req.Platform.String()), Target: req.Target, Secrets: secrets}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if args[name] != "" { // the SDK omits empty values, and Dagger rejects arguments without one
			b.opts.BuildArgs = append(b.opts.BuildArgs, dagger.BuildArg{Name: name, Value: args[name]})
		}
	}
	if _, err := b.source.DockerBuild(b.opts).Platform(ctx); err != nil {
		return b, buildError(req, b.text, err)
	}
	return b, nil
}

// addBase inserts the stages of a base image that is in no registry.
func (b *dockerBuild) addBase(s *session, req engine.BuildRequest, ignored, dir string) error {
	stages := ""
	for _, stage := range []struct {
		name, flag string
		platform   v1.Platform
	}{{baseStage, "", req.Platform}, {buildStage, "--platform=$BUILDPLATFORM ", s.native}} {
		img, err := engine.ImageFor(req.Base.Index, stage.platform)
		if err != nil {
			if stage.name == buildStage { // perhaps no stage uses it
				continue
			}
			return err
		}
		file := filepath.Join(dir, stage.name+".tar")
		if err := flatten(file, img); err != nil {
			return fmt.Errorf("read the base image: %w", err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			return fmt.Errorf("read the base image: %w", err)
		}
		stages += stageText(stage.name, stage.flag, config.Config)
		b.source = b.source.WithFile(stage.name+".tar", s.Host().File(file))
	}
	ignored += "\n!" + baseStage + ".tar\n!" + buildStage + ".tar\n"
	b.source = b.source.WithNewFile(req.Dockerfile, withStages(b.text, stages)).WithNewFile(".dockerignore", ignored)
	return nil
}

// uploadExcludes returns the patterns of files that are not uploaded to the engine.
func uploadExcludes(dockerignore, dockerfile string) []string {
	excludes := []string{".git"}
	for line := range strings.Lines(dockerignore) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			excludes = append(excludes, line)
		}
	}
	return append(excludes, "!"+path.Clean(dockerfile), "!.dockerignore")
}

var fromInstruction = regexp.MustCompile(`(?mi)^[ \t]*FROM[ \t]`)

// withStages inserts stages before a Dockerfile's first one, after its global arguments.
func withStages(dockerfile, stages string) string {
	at := len(dockerfile)
	if m := fromInstruction.FindStringIndex(dockerfile); m != nil {
		at = m[0]
	}
	return dockerfile[:at] + stages + dockerfile[at:]
}

// stageText returns a stage with the files of an image, which it adds from an archive,
// and with the image's configuration.
func stageText(name, flag string, c v1.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "FROM %sscratch AS %s\nADD %s.tar /\n", flag, name, name)
	for _, kv := range c.Env {
		k, v, _ := strings.Cut(kv, "=")
		fmt.Fprintf(&b, "ENV %s=%s\n", k, quoteValue(v))
	}
	for _, k := range slices.Sorted(maps.Keys(c.Labels)) {
		fmt.Fprintf(&b, "LABEL %s=%s\n", quoteValue(k), quoteValue(c.Labels[k]))
	}
	for _, port := range slices.Sorted(maps.Keys(c.ExposedPorts)) {
		fmt.Fprintf(&b, "EXPOSE %s\n", port)
	}
	for _, i := range []struct{ word, rest string }{
		{"VOLUME", jsonList(slices.Sorted(maps.Keys(c.Volumes)))}, {"WORKDIR", c.WorkingDir}, {"USER", c.User}, {"STOPSIGNAL", c.StopSignal},
		{"SHELL", jsonList(c.Shell)}, {"ENTRYPOINT", jsonList(c.Entrypoint)}, {"CMD", jsonList(c.Cmd)},
	} {
		if i.rest != "" {
			fmt.Fprintf(&b, "%s %s\n", i.word, i.rest)
		}
	}
	return b.String()
}

// quoteValue quotes and escapes a value for a Dockerfile.
func quoteValue(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "\n", `\n`).Replace(s) + `"`
}

// jsonList returns an instruction's arguments as a JSON array, or "" if there are none.
func jsonList(args []string) string {
	if len(args) == 0 {
		return ""
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(args) // cannot fail for strings
	return strings.TrimSpace(b.String())
}

// buildSecrets returns the files of this machine that a RUN may need. These do not
// include its certificates if the engine installs its own in containers: the engine
// replaces the bundle file, which fails if a secret is mounted on it.
func (e *Engine) buildSecrets(ctx context.Context, client *dagger.Client) ([]*dagger.Secret, error) {
	var secrets []*dagger.Secret
	if ca := e.env.CABundle(); ca != "" {
		own, err := e.installsCertificates(ctx)
		if err != nil {
			return nil, fmt.Errorf("ask which certificates the engine trusts: %s", errorText(err))
		}
		if !own {
			data, err := os.ReadFile(ca)
			if err != nil {
				return nil, fmt.Errorf("read the trusted certificates: %w", err)
			}
			secrets = append(secrets, client.SetSecret(environ.SecretCA, string(data)))
		}
	}
	if conf := e.env.PipConf(); conf != nil {
		secrets = append(secrets, client.SetSecret(environ.SecretPip, string(conf)))
	}
	return secrets, nil
}

// installsCertificates reports whether the engine installs its own certificates in
// containers. No API exposes that, so this inspects a container that looks like Debian.
func (e *Engine) installsCertificates(ctx context.Context) (bool, error) {
	s, err := e.connect() // not the build's session, whose log contains the build only
	if err != nil {
		return false, err
	}
	shim, err := e.compiledProgram(ctx, s.Client, s.native.Architecture, shimProgram)
	if err != nil {
		return false, err
	}
	code, err := s.Container(dagger.ContainerOpts{Platform: dagger.Platform(s.native.String())}).
		WithFile(shimPath, shim).
		WithNewFile("/etc/debian_version", "").
		WithEnvVariable("ASKED", rand.Text()). // avoids the cache: the certificates may have changed
		WithExec([]string{shimPath, "trusted", "/usr/local/share/ca-certificates"}, dagger.ContainerWithExecOpts{Expect: dagger.ReturnTypeAny, NoInit: true}).
		ExitCode(ctx)
	return code == 0, err
}

// buildError returns the error of a failed build in the form that all engines use.
func buildError(req engine.BuildRequest, dockerfile string, err error) error {
	be := &engine.BuildError{Platform: req.Platform, Dockerfile: req.Dockerfile, Err: errors.New(errorText(err))}
	var failed *dagger.ExecError
	if !errors.As(err, &failed) {
		be.Line, be.Err = dockerfileError(be.Err.Error())
		return be
	}
	be.Err = fmt.Errorf("exit code: %d", failed.ExitCode)
	be.Line, be.Step = findRun(dockerfile, failed.Cmd)
	for _, stream := range []string{failed.Stdout, failed.Stderr} {
		for line := range strings.Lines(stream) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				be.Output = append(be.Output, line)
			}
		}
	}
	be.Output = be.Output[max(0, len(be.Output)-engine.OutputLines):]
	return be
}

const convertPrefix = "failed to convert Dockerfile to LLB: "

var parseError = regexp.MustCompile(`^dockerfile parse error on line (\d+): (.*)$`)

// dockerfileError parses BuildKit's error for an invalid Dockerfile, or for a base image
// that it cannot find, whose name it prints twice.
func dockerfileError(text string) (line int, err error) {
	text, converting := strings.CutPrefix(text, convertPrefix)
	if !converting {
		return 0, errors.New(text)
	}
	if m := parseError.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		return line, errors.New(m[2])
	}
	if name, rest, found := strings.Cut(text, ": "); found && strings.HasPrefix(rest, name+": ") {
		return 0, errors.New("pull " + rest)
	}
	return 0, errors.New(text)
}

var instructionFlags = regexp.MustCompile(`^(?:--[a-z]+(?:=\S+)?\s+)*`)

// collapseSpaces returns a text with single spaces between its words.
func collapseSpaces(s string) string { return strings.Join(strings.Fields(s), " ") }

// findRun finds the RUN instruction of a command. The line is 0 if it is not found,
// for example because it is a heredoc.
func findRun(text string, cmd []string) (line int, step string) {
	if len(cmd) == 0 {
		return 0, ""
	}
	want := collapseSpaces(cmd[len(cmd)-1])
	for _, i := range dockerfile.Instructions(text) {
		if i.Word == "RUN" && collapseSpaces(instructionFlags.ReplaceAllString(i.Rest, "")) == want {
			return i.Line, "RUN " + want
		}
	}
	return 0, "RUN " + want
}

var escape = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")

// newLogWriter returns a writer for the dagger command's progress output. It writes
// whole lines without colours to another writer.
func newLogWriter(to io.Writer) *linebuf.Writer {
	return &linebuf.Writer{Line: func(line string) {
		if line = strings.TrimSpace(escape.ReplaceAllString(line, "")); line != "" && to != nil {
			fmt.Fprintln(to, line)
		}
	}}
}
