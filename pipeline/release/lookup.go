package release

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// FindPublished reads the labels and annotations of the index at reference; nil when
// nothing is published yet.
func FindPublished(ctx context.Context, source registry.Source, reference string) (*Published, error) {
	idx, err := source.Index(ctx, reference)
	if err != nil {
		return nil, failure.Usagef("look for the published image: %w: name another with --published, or pass --published none to plan a first release", err)
	}
	if idx == nil {
		return nil, nil
	}
	digest, digestErr := idx.Digest()
	manifest, err := idx.IndexManifest()
	if err = cmp.Or(digestErr, err); err != nil {
		return nil, fmt.Errorf("read %s: %w", reference, err)
	}
	images := linuxImages(manifest)
	if len(images) == 0 {
		return nil, failure.Usagef("read %s: its index has no image: publish one, or name another repository in %s", reference, versions.File)
	}
	img, err := idx.Image(images[0].Digest) // all have the same labels
	var config *v1.ConfigFile
	if err == nil {
		config, err = img.ConfigFile()
	}
	if err != nil {
		return nil, fmt.Errorf("read the labels of %s: %w", reference, err)
	}
	labels := config.Config.Labels
	return &Published{
		Since: sbom.Since{
			Reference: reference, Digest: digest.String(), Version: versionIn(labels["build_version"]), Commit: labels[registry.RevisionLabel],
		},
		Label: labels["build_version"],
		Base: Base{
			Name:   manifest.Annotations[registry.BaseNameLabel],
			Digest: manifest.Annotations[registry.BaseDigestLabel],
		},
	}, nil
}

// FindBase looks up the current digest of a base image. A base that is built locally
// or lies in a directory has none.
func FindBase(ctx context.Context, source registry.Source, name string) (Base, error) {
	if name == "local" || strings.HasPrefix(name, "oci:") {
		return Base{Name: name}, nil
	}
	if name, digest, ok := strings.Cut(name, "@"); ok {
		return Base{Name: name, Digest: digest}, nil
	}
	digest, err := source.Digest(ctx, name)
	if err != nil {
		return Base{}, err
	}
	return Base{Name: name, Digest: digest.String()}, nil
}

// FindUpstream asks pip which NetBox release it would install: the newest stable one
// that was not yanked, from the package index it is configured for.
func FindUpstream(ctx context.Context) (string, error) {
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "install", "netbox", "--dry-run", "--report", "-", "--quiet",
		"--no-deps", "--ignore-installed", "--only-binary=:all:",
		"--ignore-requires-python") // the image has its own Python
	var out bytes.Buffer
	pip.Stdout = &out
	if err := proc.Run(ctx, pip); err != nil {
		return "", failure.Usagef("ask pip for the newest NetBox: %w: install it with \"apt-get install python3-pip\", and look at its settings with \"python3 -m pip config list\"", err)
	}
	var report struct {
		Install []struct {
			Metadata struct {
				Version string `json:"version"`
			} `json:"metadata"`
		} `json:"install"`
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return "", fmt.Errorf("ask pip for the newest NetBox: its report is no JSON: %w: name a release with --netbox", err)
	}
	if len(report.Install) == 0 { // with --no-deps it lists only NetBox
		return "", errors.New("ask pip for the newest NetBox: it would install none: name a release with --netbox")
	}
	newest := report.Install[0].Metadata.Version
	if !versions.IsRelease(newest) {
		return "", failure.Usagef("ask pip for the newest NetBox: it is %q, which is no final release: name one with --netbox", newest)
	}
	return newest, nil
}
