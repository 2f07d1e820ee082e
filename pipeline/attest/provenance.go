package attest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// PinFiles are the files of the repository that pin what is downloaded for a
// build, versions.yml the first.
func PinFiles() []string {
	return []string{versions.File, "build/requirements.txt", "build/extensions.txt", "build/extras.txt", "build/tools.txt"}
}

// Build is what is known of the making of the images.
type Build struct {
	Source  string            // URL of the repository
	Version string            // that the images call themselves
	Pins    map[string][]byte // PinFiles and their content
	Report  report.Report     // of the run that built and booted the images
	Builder string            // URI of who ran it
	Run     string            // URL of the run, "" when it has none
}

// Provenance puts it into SLSA's words.
func (b Build) Provenance() (Provenance, error) {
	pins, err := versions.Parse(versions.File, b.Pins[versions.File])
	if err != nil {
		return Provenance{}, err
	}
	commit, changed := strings.CutSuffix(b.Report.Commit, "-dirty")
	source := Resource{Name: "source", URI: "git+" + b.Source, Digest: map[string]string{"gitCommit": commit}}
	if changed {
		source.Annotations = map[string]any{"changed": true}
	}
	inputs := []Resource{source, {Name: "netbox", URI: "pkg:pypi/netbox@" + b.Report.Version}}
	for _, platform := range slices.Sorted(maps.Keys(b.Report.Base.Digests)) {
		digest, err := v1.NewHash(b.Report.Base.Digests[platform])
		if err != nil {
			return Provenance{}, fmt.Errorf("name the base image of %s in the provenance: %w", platform, err)
		}
		base := resource("base "+platform, digest)
		base.Annotations = map[string]any{"name": b.Report.Base.Name}
		inputs = append(inputs, base)
	}
	for _, file := range PinFiles() {
		inputs = append(inputs, resource(file, digestOf(b.Pins[file])))
	}
	emulation := map[string]string{}
	for arch, e := range pins.Emulation {
		emulation[arch] = e.CPU
	}
	var platforms []string
	for _, p := range b.Report.Platforms {
		platforms = append(platforms, p.Platform)
	}
	started := b.Report.Started.UTC()
	finished := started.Add(time.Duration(b.Report.Seconds * float64(time.Second)))
	return Provenance{
		Definition: Definition{
			BuildType: b.Source + "/build/v1",
			External: External{
				Source: b.Source, Revision: b.Report.Commit, NetBox: b.Report.Version,
				Version: b.Version, Base: b.Report.Base.Name, Platforms: platforms,
			},
			Internal: Internal{
				Engine: b.Report.Engine, Epoch: pins.Epoch, Emulation: emulation,
				BootedWith: map[string]string{
					"postgres": strconv.Itoa(pins.Sidecars.Postgres.Major), "redis": strconv.Itoa(pins.Sidecars.Redis.Major),
				},
			},
			Inputs: inputs,
		},
		Details: Details{
			Builder:  Builder{b.Builder},
			Metadata: Metadata{b.Run, started.Truncate(time.Second), finished.Truncate(time.Second)},
		},
	}, nil
}
