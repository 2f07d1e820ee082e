package dagger

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/dockerfile"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// automaticArgs are the arguments that BuildKit predefines, and those that a build sets
// without the request naming them.
var automaticArgs = []string{
	"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "TARGETOSVERSION", "TARGETSTAGE",
	"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "BUILDOSVERSION",
	"SOURCE_DATE_EPOCH", "QEMU_CPU", "BASE_IMAGE",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy",
}

var assignment = regexp.MustCompile(`(?:^|\s)([A-Za-z_][A-Za-z0-9_]*)(?:=("(?:[^"\\]|\\.)*"|'[^']*'|\S)*|\s|$)`)

var (
	// An ENV in a history, as written by BuildKit or by the classic builder.
	historyEnv = regexp.MustCompile(`^(?:/bin/sh -c #\(nop\) +)?ENV (.*)`)
	// Values are not quoted in a history: one with blanks may match as another name.
	historyAssignment = regexp.MustCompile(`(?:^|\s)([A-Za-z_][A-Za-z0-9_]*)=`)
)

// withoutArguments removes the build's arguments from an image's environment, where
// Dagger leaves them. It keeps those that an ENV in any stage also sets, and those of
// the base image, which come from its config or from the history.
func withoutArguments(img v1.Image, req engine.BuildRequest, text string) (v1.Image, error) {
	args := map[string]bool{}
	for _, name := range automaticArgs {
		args[name] = true
	}
	for name := range req.Args {
		args[name] = true
	}
	for _, word := range []string{"ARG", "ENV"} {
		for _, i := range dockerfile.Instructions(text) {
			if i.Word != word {
				continue
			}
			for _, m := range assignment.FindAllStringSubmatch(i.Rest, -1) {
				args[m[1]] = word == "ARG"
			}
		}
	}
	if req.Base.Index != nil {
		base, err := engine.ImageFor(req.Base.Index, req.Platform)
		if err != nil {
			return nil, err
		}
		config, err := base.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("reading the base image's config: %w", err)
		}
		for _, kv := range config.Config.Env {
			name, _, _ := strings.Cut(kv, "=")
			args[name] = false
		}
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	for _, h := range config.History {
		if env := historyEnv.FindStringSubmatch(h.CreatedBy); env != nil {
			for _, m := range historyAssignment.FindAllStringSubmatch(env[1], -1) {
				args[m[1]] = false
			}
		}
	}
	config = config.DeepCopy()
	config.Config.Env = slices.DeleteFunc(config.Config.Env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return args[name]
	})
	return mutate.ConfigFile(img, config)
}
