package engine

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
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

// Normalise takes out of an image what the engine that built it for req left
// in by accident, so that the same inputs give the same digest on every run:
// build arguments in Env, and the time of the build. It comes right after
// Build, before anything looks at the image.
//
// An argument stays in Env only if an ENV instruction sets it or the base
// image has it already.
func Normalise(img v1.Image, req BuildRequest) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("normalising the image: reading its config: %w", err)
	}
	config = config.DeepCopy()
	kept, err := baseEnv(req)
	if err != nil {
		return nil, fmt.Errorf("normalising the image: %w", err)
	}
	args := slices.Clone(automaticArgs)
	for name := range req.Args {
		args = append(args, name)
	}
	for _, h := range config.History {
		set, declared := instructionNames(h.CreatedBy)
		kept = append(kept, set...)
		args = append(args, declared...)
	}
	config.Config.Env = slices.DeleteFunc(config.Config.Env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(args, name) && !slices.Contains(kept, name)
	})

	epoch := req.Epoch
	if epoch.IsZero() {
		epoch = time.Unix(0, 0)
	}
	stamp := v1.Time{Time: epoch.UTC().Truncate(time.Second)}
	config.Created = stamp
	for i := range config.History {
		config.History[i].Created = stamp
	}
	//lint:ignore SA1019 Docker itself still writes it
	config.Container, config.DockerVersion = "", ""
	// Clients choose an image by the index and then compare its own platform:
	// the two must say the same, the variant included.
	config.Variant = req.Platform.Variant
	out, err := mutate.ConfigFile(img, config)
	if err != nil {
		return nil, fmt.Errorf("normalising the image: %w", err)
	}
	return out, nil
}

// baseEnv returns the names in the Env of the base image, as far as it is at
// hand.
func baseEnv(req BuildRequest) ([]string, error) {
	if req.Base.Index == nil {
		return nil, nil
	}
	base, err := ImageFor(req.Base.Index, req.Platform)
	if err != nil {
		return nil, err
	}
	config, err := base.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the base image's config: %w", err)
	}
	var names []string
	for _, kv := range config.Config.Env {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, name)
	}
	return names, nil
}

var (
	// Both as BuildKit writes them and as the classic builder did.
	envInstruction = regexp.MustCompile(`^(?:/bin/sh -c #\(nop\) +)?ENV (.*)$`)
	argInstruction = regexp.MustCompile(`^(?:/bin/sh -c #\(nop\) +)?ARG (.*)$`)
	assignment     = regexp.MustCompile(`(?:^|\s)([A-Za-z_][A-Za-z0-9_]*)=`)
	declaration    = regexp.MustCompile(`(?:^|\s)([A-Za-z_][A-Za-z0-9_]*)(?:=|\s|$)`)
)

// instructionNames returns the names that an entry of the history sets by ENV
// or declares by ARG. A value with blanks may yield a name too many: for ENV
// that keeps a variable, and ARG is looked at from the front only.
func instructionNames(createdBy string) (set, declared []string) {
	if m := envInstruction.FindStringSubmatch(createdBy); m != nil {
		for _, a := range assignment.FindAllStringSubmatch(m[1], -1) {
			set = append(set, a[1])
		}
	}
	if m := argInstruction.FindStringSubmatch(createdBy); m != nil {
		if a := declaration.FindStringSubmatch(m[1]); a != nil {
			declared = append(declared, a[1])
		}
	}
	return set, declared
}
