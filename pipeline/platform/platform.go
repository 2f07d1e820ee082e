// Package platform is the table of the platforms that there is an image for,
// with all that varies by platform. A new one is a row here; the test of this
// package names what else in the repository it needs.
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

// Binfmt is the directory in which Linux lists the emulators that it knows.
const Binfmt = "/proc/sys/fs/binfmt_misc"

// Platform is a row of the table. Debian calls its architecture as Go does,
// Alpine as Machine.
type Platform struct {
	OCI        v1.Platform // as an index names it
	Machine    string      // the CPU as uname, qemu and Python's wheels name it
	Label      string      // the CPU as users know it, and readme-vars.yml
	Dockerfile string      // that the image is built from
	TagPrefix  string      // what the tags of its images begin with
	BasePrefix string      // what the tag of its published base begins with
}

// All are the platforms of a release, in order.
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

// Name is the platform without its variant: "linux/arm64".
func (p Platform) Name() string { return p.OCI.OS + "/" + p.OCI.Architecture }

// Names are the names of all platforms.
func Names() (names []string) {
	for _, p := range All() {
		names = append(names, p.Name())
	}
	return names
}

// Architectures are those of all platforms, as Go names them.
func Architectures() (archs []string) {
	for _, p := range All() {
		archs = append(archs, p.OCI.Architecture)
	}
	return archs
}

// Of finds the row of an architecture, as Go names it.
func Of(arch string) (p Platform, found bool) {
	for _, p := range All() {
		if p.OCI.Architecture == arch {
			return p, true
		}
	}
	return Platform{}, false
}

// Linux is Linux on an architecture, as an index names it.
func Linux(arch string) v1.Platform {
	return Canonical(v1.Platform{OS: "linux", Architecture: arch})
}

// Canonical is a platform as an index names it: arm64 is always variant v8.
func Canonical(p v1.Platform) v1.Platform {
	if row, found := Of(p.Architecture); found && p.OS == row.OCI.OS && p.Variant == "" {
		p.Variant = row.OCI.Variant
	}
	return p
}

// Parse reads what people write for platforms, "linux/arm64/v8" for
// "linux/arm64" included, and sorts them. Repetitions are dropped.
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

// Emulator is the name under which Debian registers the emulator.
func (p Platform) Emulator() string { return "qemu-" + p.Machine }

// enabled is how the list of an emulator reads that Linux uses for any container.
// Flag F is what counts: the kernel keeps the emulator open, so that a container
// needs none inside.
var enabled = regexp.MustCompile(`(?m)^enabled\s(.*\n)*flags:.*F`)

// Emulated reports whether Linux runs the platform's programs through its
// emulator, as the list in the directory binfmt says.
func (p Platform) Emulated(binfmt string) bool {
	data, _ := os.ReadFile(filepath.Join(binfmt, p.Emulator())) // without one it is not emulated
	return enabled.Match(data)
}
