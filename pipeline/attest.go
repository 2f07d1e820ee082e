package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// Attestation configures how published images are attested. The zero value signs nothing.
type Attestation struct {
	Signer  attest.Signer
	Builder string // URI of the build service, "" when a person runs the build
	Run     string // URL of the run
}

// manualBuilder is the builder's URI when no service runs the pipeline.
const manualBuilder = SourceURL + "#by-hand"

// attachments returns a function that creates the attachments of an index:
// provenance, lists of packages, the report of the images' check, and signatures.
func (a Attestation) attachments(repo string, proven report.Report, targets []registry.Target, hide func(string) string, log io.Writer) func(context.Context, v1.ImageIndex) ([]registry.Attachment, error) {
	return func(ctx context.Context, idx v1.ImageIndex) ([]registry.Attachment, error) {
		digest, digestErr := idx.Digest()
		manifest, err := idx.IndexManifest()
		if err = cmp.Or(digestErr, err); err != nil {
			return nil, err
		}
		build := attest.Build{
			Source: SourceURL, Version: manifest.Annotations[registry.VersionLabel], Report: proven, Pins: map[string][]byte{},
			Builder: cmp.Or(a.Builder, manualBuilder), Run: a.Run,
		}
		for _, file := range attest.PinFiles() {
			if build.Pins[file], err = git.Read(ctx, repo, proven.Commit, file); err != nil {
				return nil, err
			}
		}
		release := attest.Release{Signer: a.Signer}
		if release.Provenance, err = build.Provenance(); err != nil {
			return nil, err
		}
		doc, err := attest.ReportDocument(proven, digest, hide)
		if err != nil {
			return nil, err
		}
		// The plain-text list is for people: programs read SPDX or CycloneDX.
		release.Documents = slices.DeleteFunc(append([]report.Document{doc}, proven.Documents...), func(d report.Document) bool { return d.Type == sbom.ListType })
		for _, t := range targets {
			release.Repositories = append(release.Repositories, t.Repository())
		}
		release.Repositories = slices.Compact(slices.Sorted(slices.Values(release.Repositories)))
		list, err := release.Attach(ctx, idx)
		signer := "nobody (--sign-key, --sign-keyless)"
		if a.Signer != nil {
			signer = a.Signer.String()
		}
		fmt.Fprintf(log, "to attach: %d, signed by %s\n", len(list), signer)
		return list, err
	}
}
