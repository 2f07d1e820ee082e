// Package versions reads versions.yml, which pins every input of the build: the NetBox
// release, the base images, the services that an image is booted with, and the CPU
// that emulates a foreign architecture.
package versions

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

// File is the name of the file at the root of the repository.
const File = "versions.yml"

// Versions is the content of versions.yml.
type Versions struct {
	NetBox struct { // releases, as the Python package index names them
		Release  string `yaml:"release"`  // what is built
		Previous string `yaml:"previous"` // what upgrades are tested from
	} `yaml:"netbox"`
	Base struct { // base images
		Local struct { // the locally built base image
			Suite string `yaml:"suite"` // of Debian, such as trixie
		} `yaml:"local"`
		Published string `yaml:"published"` // image reference with a tag or digest
	} `yaml:"base"`
	Sidecars  Sidecars            `yaml:"sidecars"`
	Container string              `yaml:"container"` // image reference of the workflows' build container
	Emulation map[string]struct { // by architecture (GOARCH), for running it on another one
		CPU string `yaml:"cpu"` // value of QEMU_CPU
	} `yaml:"emulation"`
	Repositories Repositories `yaml:"repositories"`
	Epoch        string       `yaml:"epoch"` // date whose start (UTC) is the time stamp of the image's files
}

// Stamp returns the time stamp of all files of an image.
func (v *Versions) Stamp() time.Time {
	t, _ := time.Parse(time.DateOnly, v.Epoch) // Parse has validated it
	return t
}

// CPUs returns the values of QEMU_CPU by architecture.
func (v *Versions) CPUs() map[string]string {
	cpus := map[string]string{}
	for arch, emulation := range v.Emulation {
		cpus[arch] = emulation.CPU
	}
	return cpus
}

// Sidecars are the services that NetBox needs.
type Sidecars struct {
	Postgres Sidecar `yaml:"postgres"`
	Redis    Sidecar `yaml:"redis"`
}

// Sidecar is one service: its major version and an image of that version.
type Sidecar struct {
	Major int    `yaml:"major"`
	Image string `yaml:"image"` // image reference with a tag or digest
}

// Repositories are the image repositories to publish to, by channel. Each is
// REGISTRY/NAME. Optional lists the registries that may fail.
type Repositories struct {
	Live        []string `yaml:"live"`        // releases
	Development []string `yaml:"development"` // branches
	PullRequest []string `yaml:"pullRequest"` // pull requests
	Optional    []string `yaml:"optional"`
}

// All returns the repositories of all channels.
func (r Repositories) All() []string { return slices.Concat(r.Live, r.Development, r.PullRequest) }

// IsRelease reports whether a version is a final release as in PEP 440, without epoch
// and pre-, post- or development part.
func IsRelease(version string) bool { return finalRelease.MatchString(version) }

// Load reads versions.yml of the repository at dir.
func Load(dir string) (*Versions, error) {
	data, err := os.ReadFile(filepath.Join(dir, File))
	if err != nil {
		return nil, failure.Usagef("read the pinned versions: %w: run it inside the repository, or name that with --repo", err)
	}
	return Parse(File, data)
}

var (
	finalRelease = regexp.MustCompile(`^(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*$`)
	plainName    = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	cpuModel     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(,[A-Za-z0-9._=-]+)*$`)
)

// Parse parses the text of versions.yml; errors name it by file. It joins all errors,
// each a failure.Usage of one line with file and line number.
func Parse(file string, data []byte) (*Versions, error) {
	doc, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	var v Versions
	if err := doc.Decode(&v); err != nil {
		return nil, err
	}
	var problems []error
	check := func(path, value, want string, good func(string) bool) {
		switch {
		case value == "":
			problems = append(problems, doc.Problem(path, "missing; want %s", want))
		case !good(value):
			problems = append(problems, doc.Problem(path, "want %s, got %q", want, value))
		}
	}
	const release, reference = `a final release such as "4.7.3"`, `an image reference with a tag or digest`
	check("netbox.release", v.NetBox.Release, release, IsRelease)
	check("netbox.previous", v.NetBox.Previous, release, IsRelease)
	if v.NetBox.Release != "" && v.NetBox.Release == v.NetBox.Previous {
		problems = append(problems, doc.Problem("netbox.previous", "must differ from netbox.release"))
	}
	check("base.local.suite", v.Base.Local.Suite, `a Debian suite such as "trixie"`, plainName.MatchString)
	check("base.published", v.Base.Published, reference, strictReference)
	for _, s := range []struct {
		path string
		Sidecar
	}{{"sidecars.postgres", v.Sidecars.Postgres}, {"sidecars.redis", v.Sidecars.Redis}} {
		if s.Major < 1 {
			problems = append(problems, doc.Problem(s.path+".major", "want the major version, a number from 1 on, got %d", s.Major))
		}
		check(s.path+".image", s.Image, reference, strictReference)
	}
	check("container", v.Container, reference, strictReference)
	lists := []struct {
		path  string
		names []string
	}{
		{"repositories.live", v.Repositories.Live},
		{"repositories.development", v.Repositories.Development},
		{"repositories.pullRequest", v.Repositories.PullRequest},
	}
	for _, list := range lists {
		if len(list.names) == 0 {
			problems = append(problems, doc.Problem(list.path, "missing; want at least one repository"))
		}
		for i, repository := range list.names {
			check(fmt.Sprintf("%s[%d]", list.path, i), repository, "REGISTRY/NAME without a tag", strictRepository)
		}
	}
	for i, host := range v.Repositories.Optional {
		path := fmt.Sprintf("repositories.optional[%d]", i)
		check(path, host, "the registry of a repository above", func(host string) bool {
			return slices.ContainsFunc(v.Repositories.All(), func(r string) bool { return onRegistry(r, host) })
		})
		for _, list := range lists {
			if len(list.names) > 0 && onRegistry(list.names[0], host) {
				problems = append(problems, doc.Problem(path, "%s cannot be optional: images are compared with those in %s, the first repository of a list", host, list.names[0]))
				break
			}
		}
	}
	check("epoch", v.Epoch, `a day such as "2026-11-23"`, func(s string) bool {
		t, err := time.Parse(time.DateOnly, s)
		return err == nil && t.Unix() > 0
	})
	for _, arch := range slices.Sorted(maps.Keys(v.Emulation)) {
		if _, known := platform.Of(arch); !known {
			problems = append(problems, doc.Problem("emulation."+arch, "unknown architecture; want %s", strings.Join(platform.Architectures(), " or ")))
			continue
		}
		check("emulation."+arch+".cpu", v.Emulation[arch].CPU, "a CPU model of QEMU", cpuModel.MatchString)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return &v, nil
}

// onRegistry reports whether a repository is on the registry host.
func onRegistry(repository, host string) bool { return strings.HasPrefix(repository, host+"/") }

func strictReference(value string) bool {
	_, err := name.ParseReference(value, name.StrictValidation)
	return err == nil
}

func strictRepository(value string) bool {
	_, err := registry.ParseTarget(value + ":latest")
	return err == nil
}
