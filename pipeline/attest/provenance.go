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

// PinFiles returns the files of the repository that pin the downloads of a build,
// versions.yml first.
func PinFiles() []string {
	return []string{versions.File, "build/requirements.txt", "build/extensions.txt", "build/extras.txt", "build/tools.txt"}
}

// Build describes the build of the images.
type Build struct {
	Source  string            // URL of the repository
	Version string            // of the images, as in their labels
	Pins    map[string][]byte // contents of the PinFiles
	Report  report.Report     // of the run that built and booted the images
	Builder string            // URI of the builder
	Run     string            // URL of the run, "" when it has none
}

// Provenance converts the build to SLSA provenance.
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

// Media and predicate types of in-toto (github.com/in-toto/attestation, spec/v1).
const (
	statementType    = "application/vnd.in-toto+json"
	statementVersion = "https://in-toto.io/Statement/v1"
	// signPredicate is the predicate type of a statement that only states that its
	// subject is signed, as cosign writes it.
	signPredicate       = "https://sigstore.dev/cosign/sign/v1"
	provenancePredicate = "https://slsa.dev/provenance/v1"
)

// statement is an in-toto statement.
type statement struct {
	Type          string          `json:"_type"`
	Subject       []Resource      `json:"subject"`
	PredicateType string          `json:"predicateType"`
	Predicate     json.RawMessage `json:"predicate"`
}

// about reports whether digest is one of the subjects.
func (s statement) about(digest v1.Hash) bool {
	return slices.ContainsFunc(s.Subject, func(r Resource) bool {
		return len(digest.Hex) > 0 && r.Digest[digest.Algorithm] == digest.Hex
	})
}

// Resource is in-toto's ResourceDescriptor.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"` // by algorithm, in hexadecimal
	MediaType   string            `json:"mediaType,omitempty"`
	Annotations map[string]any    `json:"annotations,omitempty"`
}

// namedDigest is a digest with a name.
type namedDigest struct {
	name   string
	digest v1.Hash
}

// resource returns a Resource with a name and a digest.
func resource(name string, digest v1.Hash) Resource {
	return Resource{Name: name, Digest: map[string]string{digest.Algorithm: digest.Hex}}
}

// Provenance is the predicate of SLSA v1: how, by which builder and from which
// inputs the images were built (slsa.dev/spec/v1.1/provenance).
type Provenance struct {
	Definition Definition `json:"buildDefinition"`
	Details    Details    `json:"runDetails"`
}

// Definition is SLSA's BuildDefinition: the inputs and parameters of a build.
type Definition struct {
	BuildType string `json:"buildType"`
	// External are the parameters set by whoever started the build, Internal those
	// set by the builder.
	External External `json:"externalParameters"`
	Internal Internal `json:"internalParameters"`
	// Inputs are the commit, the base images, and the files that pin all other
	// downloads.
	Inputs []Resource `json:"resolvedDependencies"`
}

// External are the parameters set by whoever started the build.
type External struct {
	Source    string   `json:"source"`   // URL of the repository
	Revision  string   `json:"revision"` // commit, with "-dirty" for a changed tree
	NetBox    string   `json:"netbox"`   // release
	Version   string   `json:"version"`  // of the image, as in its labels
	Base      string   `json:"base"`     // name of the base image
	Platforms []string `json:"platforms"`
}

// Internal are the parameters set by the builder.
type Internal struct {
	Engine    string            `json:"engine"`
	Epoch     string            `json:"epoch"` // day stamped on the image's files
	Emulation map[string]string `json:"emulation,omitempty"`
	// BootedWith are the major versions of the services that the images passed
	// their check with.
	BootedWith map[string]string `json:"bootedWith,omitempty"`
}

// Details is SLSA's RunDetails: one run of a build.
type Details struct {
	Builder    Builder    `json:"builder"`
	Metadata   Metadata   `json:"metadata"`
	Byproducts []Resource `json:"byproducts,omitempty"` // the other documents that are attached
}

// Builder identifies the builder.
type Builder struct {
	ID string `json:"id"` // URI
}

// Metadata identifies the run.
type Metadata struct {
	InvocationID string    `json:"invocationId,omitempty"` // URL of the run
	Started      time.Time `json:"startedOn,omitzero"`
	Finished     time.Time `json:"finishedOn,omitzero"`
}

// newStatement encodes a statement. The same arguments result in the same bytes.
func newStatement(predicateType string, predicate any, on ...namedDigest) ([]byte, error) {
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
