package release

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// setNames sets the version and the tags of the image.
func setNames(p *Plan, f Facts) {
	netbox := "v" + p.NetBox.Value
	p.Semver = semver(p.NetBox.Value)
	p.Version = fmt.Sprintf("%s-pkg-%s-dev-%s", netbox, p.Package.Value, f.Commit)
	var more []string
	switch p.Channel.Value {
	case Live:
		p.Version = netbox + "-ls" + p.Number.Value
		more = []string{"version-" + netbox, p.Semver, "latest"}
	case PullRequest:
		p.Version += fmt.Sprintf("-pr-%d", f.Pull)
	}
	p.Tags = append([]string{p.Version}, more...)
	p.ImageTags = map[string][]string{}
	for _, of := range platform.All() {
		for _, tag := range p.Tags {
			p.ImageTags[of.Name()] = append(p.ImageTags[of.Name()], of.TagPrefix+tag)
		}
	}
}

// Targets returns all tags in all repositories, in the order of publishing: those of
// single images first, latest last.
func (p Plan) Targets() ([]registry.Target, error) {
	var targets []registry.Target
	for _, repository := range p.Repositories {
		for _, platform := range append(slices.Sorted(maps.Keys(p.ImageTags)), "") {
			tags := p.ImageTags[platform]
			if platform == "" { // the index
				tags = p.Tags
			}
			for _, tag := range tags {
				t, err := registry.ParseTarget(repository + ":" + tag)
				if err != nil {
					return nil, err
				}
				if p.moves(tag) {
					t = t.Movable()
				}
				targets = append(targets, t.For(platform))
			}
		}
	}
	return targets, nil
}

// moves reports whether a later release moves the tag to another image. A numbered
// version always names the same image. A tag of a NetBox release names its newest
// build, with the distribution's updates; a tag of a branch the newest build of its
// commit.
func (p Plan) moves(tag string) bool {
	return p.Channel.Value != Live || !strings.HasSuffix(tag, p.Version)
}

// packageTag returns the tag part that identifies the image's packages: eight
// characters of the list's MD5, which users of these images know.
func packageTag(list []byte) Decision {
	if list == nil {
		return Decision{"none", "there is no " + sbom.ListFile}
	}
	sum := md5.Sum(list)
	return Decision{hex.EncodeToString(sum[:])[:8], "MD5 of " + sbom.ListFile}
}
