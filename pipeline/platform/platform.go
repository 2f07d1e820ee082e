// Package platform has the table of the supported platforms, with everything that
// varies by platform. To support another platform, add a row; the test of this package
// lists what else in the repository needs a change.
package platform

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Binfmt is the directory where Linux lists the registered emulators.
const Binfmt = "/proc/sys/fs/binfmt_misc"

// Platform is a row of the table. Debian names the architecture like Go, Alpine like
// Machine.
type Platform struct {
	OCI        v1.Platform // as in an index
	Machine    string      // CPU, as uname, qemu and Python wheels name it
	Label      string      // CPU, as users and readme-vars.yml name it
	Dockerfile string      // that the image is built from
	TagPrefix  string      // of the tags of its images
	BasePrefix string      // of the tag of its published base
}

// All returns the platforms of a release, in order.
func All() []Platform {
	return []Platform{{
		OCI:        v1.Platform{OS: "linux", Architecture: "amd64"},
		Machine:    "x86_64",
		Label:      "x86-64",
		Dockerfile: "Dockerfile",
		TagPrefix:  "amd64-",
	}, {
		OCI:        v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"},
		Machine:    "aarch64",
		Label:      "arm64",
		Dockerfile: "Dockerfile.aarch64",
		TagPrefix:  "arm64v8-",
		BasePrefix: "arm64v8-",
	}}
}

// Name returns the platform without its variant, such as "linux/arm64".
func (p Platform) Name() string { return p.OCI.OS + "/" + p.OCI.Architecture }

// Names returns the names of all platforms.
func Names() (names []string) {
	for _, p := range All() {
		names = append(names, p.Name())
	}
	return names
}

// Architectures returns the architectures of all platforms, as Go names them.
func Architectures() (archs []string) {
	for _, p := range All() {
		archs = append(archs, p.OCI.Architecture)
	}
	return archs
}

// Of returns the row of an architecture, as Go names it.
func Of(arch string) (p Platform, found bool) {
	for _, p := range All() {
		if p.OCI.Architecture == arch {
			return p, true
		}
	}
	return Platform{}, false
}

// Linux returns the canonical platform of Linux on an architecture.
func Linux(arch string) v1.Platform {
	return Canonical(v1.Platform{OS: "linux", Architecture: arch})
}

// Canonical returns a platform as it appears in an index: arm64 always has variant v8.
func Canonical(p v1.Platform) v1.Platform {
	if row, found := Of(p.Architecture); found && p.OS == row.OCI.OS && p.Variant == "" {
		p.Variant = row.OCI.Variant
	}
	return p
}

// Parse parses the names of platforms, with or without their variant, and returns
// them sorted and without duplicates.
func Parse(names []string) (platforms []v1.Platform, err error) {
	for _, name := range names {
		p, err := v1.ParsePlatform(name)
		if err != nil || !slices.ContainsFunc(All(), func(row Platform) bool { return Canonical(*p).Equals(row.OCI) }) {
			return nil, failure.Usagef("read platform %q: there is no image for it: pass --platform %s",
				name, strings.Join(Names(), " or --platform "))
		}
		platforms = append(platforms, Canonical(*p))
	}
	if len(platforms) == 0 {
		return nil, failure.Usagef("read platforms: there is none: pass --platform %s", Names()[0])
	}
	slices.SortFunc(platforms, func(a, b v1.Platform) int { return strings.Compare(a.String(), b.String()) })
	return slices.CompactFunc(platforms, v1.Platform.Equals), nil
}

// Emulator returns the name under which Debian registers the emulator.
func (p Platform) Emulator() string { return "qemu-" + p.Machine }

// enabled matches the binfmt_misc entry of an emulator that works in any container.
// With flag F the kernel keeps the emulator open, so containers do not need a copy.
var enabled = regexp.MustCompile(`(?m)^enabled\s(.*\n)*flags:.*F`)

// Emulated reports whether Linux runs the platform's programs through its emulator,
// according to the entry in the directory binfmt.
func (p Platform) Emulated(binfmt string) bool {
	data, _ := os.ReadFile(filepath.Join(binfmt, p.Emulator())) // no entry: not emulated
	return enabled.Match(data)
}
