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

// automaticArgs are the arguments that BuildKit declares by itself, and those
// it predefines.
var automaticArgs = []string{
	"TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT", "TARGETOSVERSION", "TARGETSTAGE",
	"BUILDPLATFORM", "BUILDOS", "BUILDARCH", "BUILDVARIANT", "BUILDOSVERSION",
	"SOURCE_DATE_EPOCH", "QEMU_CPU", "BASE_IMAGE",
	"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY",
	"http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy",
}

var assigned = regexp.MustCompile(`(?:^|\s)([A-Za-z_][A-Za-z0-9_]*)(?:=("(?:[^"\\]|\\.)*"|'[^']*'|\S)*|\s|$)`)

var (
	// An entry of a history, as BuildKit writes it and as the classic builder did.
	envInstruction = regexp.MustCompile(`^(?:/bin/sh -c #\(nop\) +)?ENV (.*)`)
	// Values have no quotes there: one with blanks may yield a name too many.
	setThere = regexp.MustCompile(`(?:^|\s)([A-Za-z_][A-Za-z0-9_]*)=`)
)

// withoutArguments takes the build's arguments out of an image's environment,
// where Dagger leaves them. One that an ENV sets too, in any stage, stays, and
// so does what the base image has: it is at hand, or its history names it.
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
			for _, m := range assigned.FindAllStringSubmatch(i.Rest, -1) {
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
		if env := envInstruction.FindStringSubmatch(h.CreatedBy); env != nil {
			for _, m := range setThere.FindAllStringSubmatch(env[1], -1) {
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
