package attest

import (
	"encoding/json"
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
				Engine: b.Report.Engine, Epoch: pins.Epoch, Emulation: pins.CPUs(),
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

// Types of in-toto (github.com/in-toto/attestation, spec/v1).
const (
	statementType    = "application/vnd.in-toto+json"
	statementVersion = "https://in-toto.io/Statement/v1"
	// signPredicate is that of a statement which says nothing but that its
	// subject is signed, as cosign makes it.
	signPredicate       = "https://sigstore.dev/cosign/sign/v1"
	provenancePredicate = "https://slsa.dev/provenance/v1"
)

// statement says something of its subjects.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []Resource      `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// about reports whether a digest is among the subjects.
func (s statement) about(digest v1.Hash) bool {
	return slices.ContainsFunc(s.Subject, func(r Resource) bool {
		return len(digest.Hex) > 0 && r.Digest[digest.Algorithm] == digest.Hex
	})
}

// Resource is in-toto's ResourceDescriptor: something by its digests.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"` // by algorithm, in hexadecimal
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// named is something with a digest.
type named struct {
	name   string
	digest v1.Hash
}

// resource names something by its digest.
func resource(name string, digest v1.Hash) Resource {
	return Resource{Name: name, Digest: map[string]string{digest.Algorithm: digest.Hex}}
}

// Provenance is the predicate of SLSA v1: what was built from what, by whom
// (slsa.dev/spec/v1.1/provenance).
type Provenance struct {
	Definition Definition `json:"buildDefinition"`
	Details    Details    `json:"runDetails"`
}

// Definition is all that decides what a build makes.
type Definition struct {
	BuildType string `json:"buildType"`
	// External is what whoever started the build chose, Internal what the
	// builder did.
	External External `json:"externalParameters"`
	Internal Internal `json:"internalParameters"`
	// Inputs are SLSA's resolvedDependencies: the commit, the base images, the
	// files that pin the rest.
	Inputs []Resource `json:"resolvedDependencies"`
}

// External are the parameters of a build.
type External struct {
	Source    string   `json:"source"`   // URL of the repository
	Revision  string   `json:"revision"` // commit, with "-dirty" for a changed tree
	NetBox    string   `json:"netbox"`   // release
	Version   string   `json:"version"`  // that the image calls itself
	Base      string   `json:"base"`     // name of the base image
	Platforms []string `json:"platforms"`
}

// Internal is how the builder went about it.
type Internal struct {
	Engine    string            `json:"engine"`
	Epoch     string            `json:"epoch"` // day stamped on the image's files
	Emulation map[string]string `json:"emulation,omitempty"`
	// BootedWith are the services that the images were booted with, and found
	// good.
	BootedWith map[string]string `json:"bootedWith,omitempty"`
}

// Details is one run of a build.
type Details struct {
	Builder  Builder    `json:"builder"`
	Metadata Metadata   `json:"metadata"`
	Others   []Resource `json:"byproducts,omitempty"` // the other documents that are attached
}

// Builder is who ran the build.
type Builder struct {
	ID string `json:"id"` // URI
}

// Metadata is which run it was.
type Metadata struct {
	InvocationID string    `json:"invocationId,omitempty"` // URL of the run
	Started      time.Time `json:"startedOn,omitzero"`
	Finished     time.Time `json:"finishedOn,omitzero"`
}

// newStatement is the text of a statement, the same for the same.
func newStatement(predicateType string, predicate any, on ...named) ([]byte, error) {
	var subjects []Resource
	for _, s := range on {
		subjects = append(subjects, resource(s.name, s.digest))
	}
	raw, err := json.Marshal(predicate)
	if err == nil {
		raw, err = json.Marshal(statement{statementVersion, subjects, predicateType, raw})
	}
	if err != nil {
		return nil, fmt.Errorf("write a statement of type %s: %w", predicateType, err)
	}
	return raw, nil
}
