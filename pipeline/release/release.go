// Package release plans a release: the NetBox version, whether a release is due,
// its number, its channel, and every tag in every repository. The plan is a pure
// function of Facts; the functions that collect the facts are in separate files.
// Every decision has a reason, so that a skipped release can be explained.
package release

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Release channels. Each has its own repositories.
const (
	Live        = "live"
	Development = "development"
	PullRequest = "pull request"
)

// Facts are the inputs of a plan.
type Facts struct {
	Pinned    string // NetBox release in versions.yml and the lock files
	Requested string // NetBox release of --netbox, or ""
	Upstream  string // newest final NetBox release, or "" when not looked up

	Commit        string   // of HEAD
	Dirty         bool     // files differ from it
	Shallow       bool     // the clone lacks older commits and tags
	Branch        string   // checked out, "" when HEAD is detached
	Tag           string   // git tag to release, or ""
	Tags          []string // git tags at HEAD
	Pull          int      // number of the pull request, or 0
	Changed       []string // paths that differ between the published commit and HEAD
	ChangedInputs []string // those of Changed that are inputs of the image
	Unknown       bool     // the published commit is not in this clone
	Package       []byte   // package_versions.txt, nil when missing

	ListChanges *[]sbom.Change // differences of Package from the published packages; nil when unknown

	Base      Base
	Published *Published     // newest live image, nil when there is none yet
	Rebuilt   *Rebuilt       // result of rebuilding Published, nil when not rebuilt
	Number    int            // of --number, or 0
	InUse     []VersionInUse // planned versions that are already in use, in the order planned
	Force     bool           // release although nothing has changed, or a release failed before

	Attempts []Attempt // earlier ones to release
	Now      time.Time

	Images       []PinnedImage // pinned in versions.yml
	Repositories versions.Repositories
	Owner        string // of the GitHub repository that the workflow runs in, or ""
}

// Base is the base image.
type Base struct {
	Name   string `json:"name"`             // as in --base
	Digest string `json:"digest,omitempty"` // current one of a published image
}

// Reference returns the argument of --base that selects exactly this base.
func (b Base) Reference() string {
	if b.Digest == "" {
		return b.Name
	}
	return b.Name + "@" + b.Digest
}

// Published is the newest published image, as its labels describe it.
type Published struct {
	sbom.Since        // its Version is "" when the label has another form than v4.7.3-ls12
	Label      string `json:"label"` // unparsed build_version
	Base       Base   `json:"base"`
}

// Rebuilt compares the published image with a rebuild of the same commit under the
// same name. Builds are reproducible, so only packages can differ.
type Rebuilt struct {
	Platform string
	Was      v1.Hash       // digest of the published image, zero when there is none
	Is       v1.Hash       // digest of the rebuilt image
	Differs  []string      // differing layers, by the instruction that creates them
	Files    []string      // paths of differing files, when compared
	Packages []sbom.Change // differing packages, when the published ones are known
}

// Decision is a value and the reason for it.
type Decision struct {
	Value  string `json:"value"`
	Reason string `json:"reason"`
}

// Change reports whether one thing has changed since the published image.
type Change struct {
	What    string `json:"what"`
	Changed bool   `json:"changed"`
	Reason  string `json:"reason"`
}

// Plan describes a release.
type Plan struct {
	NetBox       Decision            `json:"netbox"`
	Channel      Decision            `json:"channel"`
	Number       Decision            `json:"number"`
	Package      Decision            `json:"package"` // names the packages in development and pull-request tags
	Version      string              `json:"version"` // of the image, as in its label
	Semver       string              `json:"semver"`
	Commit       string              `json:"commit"`
	Base         Base                `json:"base"`
	Published    *Published          `json:"published,omitempty"`
	Changes      []Change            `json:"changes"`
	Images       []PinnedImage       `json:"images,omitempty"` // pinned images and their state
	Skip         string              `json:"skip,omitempty"`   // reason not to release
	Pin          string              `json:"pin,omitempty"`    // NetBox release to pin first, when another one is pinned
	Next         []string            `json:"next,omitempty"`   // steps to do before the release
	Repositories []string            `json:"repositories"`
	Optional     []string            `json:"optional,omitempty"` // registries that may fail
	Tags         []string            `json:"tags"`               // of the index, most general last
	ImageTags    map[string][]string `json:"imageTags"`          // of the image of each platform
}

// Make plans a release. It returns a failure.Usage of one line when the facts allow
// no release.
func Make(f Facts) (Plan, error) {
	p := Plan{Commit: f.Commit, Base: f.Base, Published: f.Published, Images: f.Images}
	var err error
	if p.NetBox, err = netbox(f); err != nil {
		return Plan{}, err
	}
	if p.Channel, p.Repositories, err = channel(f); err != nil {
		return Plan{}, err
	}
	for _, host := range f.Repositories.Optional {
		if len(p.Repositories) > 0 && strings.HasPrefix(p.Repositories[0], host+"/") {
			return Plan{}, failure.Usagef("plan a release to %s: its registry is optional, but images are joined from there: make another repository the first", p.Repositories[0])
		}
		if slices.ContainsFunc(p.Repositories, func(r string) bool { return strings.HasPrefix(r, host+"/") }) {
			p.Optional = append(p.Optional, host)
		}
	}
	if p.NetBox.Value != f.Pinned {
		p.Pin = p.NetBox.Value
		p.Next = append(p.Next, pinInstruction(p.Pin))
	}
	if f.Dirty {
		p.Next = append(p.Next, fmt.Sprintf("commit the files that differ from commit %s: an image names the commit it was made from", short(f.Commit)))
	}
	if f.Shallow {
		p.Next = append(p.Next, "run \"git fetch --unshallow --tags\": this clone is shallow, so the plan cannot see older commits and their tags")
	}
	if f.Published != nil && f.Published.Version == "" && f.Number == 0 && f.Tag == "" {
		return Plan{}, failure.Usagef("read the release number of %s: its label build_version is %q, not as in %q: pass the number of this release with --number", f.Published.Reference, f.Published.Label, "Linuxserver.io version:- v4.7.3-ls12 Build-date:- 2026-11-23T00:00:00Z")
	}
	p.Changes = changes(f, p)
	if p.Number, err = number(f, p); err != nil {
		return Plan{}, err
	}
	p.Package = packageTag(f.Package)
	setNames(&p, f)
	if err := checkDowngrade(f, p); err != nil {
		return Plan{}, err
	}
	if p.Skip = skipReason(f, p); p.Skip == "" && !f.Force {
		p.Skip = waitReason(f, p)
	}
	if first := p.Repositories[0]; ofOtherOwner(first, f.Owner) {
		p.Skip = fmt.Sprintf("%s has no right to publish to %s: name repositories of your own under repositories in %s, such as ghcr.io/%s/netbox", f.Owner, first, versions.File, strings.ToLower(f.Owner))
	}
	if _, err := p.Targets(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// netbox chooses the NetBox release.
func netbox(f Facts) (Decision, error) {
	d := Decision{f.Pinned, "versions.yml pins it"}
	switch {
	case f.Requested != "":
		d = Decision{f.Requested, "--netbox asks for it"}
	case f.Upstream != "" && Compare(f.Upstream, f.Pinned) > 0:
		d = Decision{f.Upstream, "it is the newest release upstream; versions.yml pins " + f.Pinned}
	case f.Upstream != "" && f.Upstream != f.Pinned:
		d.Reason = fmt.Sprintf("versions.yml pins it; upstream offers nothing newer than %s", f.Upstream)
	case f.Upstream != "":
		d.Reason = "versions.yml pins it, and it is the newest release upstream"
	}
	if !versions.IsRelease(d.Value) {
		return d, failure.Usagef("plan the release of NetBox %q: that is no final release: name one such as 4.7.3", d.Value)
	}
	return d, nil
}

// channel chooses the channel and its repositories by pull request, tag or branch.
func channel(f Facts) (Decision, []string, error) {
	switch {
	case f.Pull > 0:
		return Decision{PullRequest, fmt.Sprintf("it is pull request %d", f.Pull)}, f.Repositories.PullRequest, nil
	case f.Tag != "":
		if _, _, ok := parseVersion(f.Tag); !ok {
			return Decision{}, nil, failure.Usagef("plan the release of git tag %q: it is not as in v4.7.3-ls12: tag the commit with the version to release", f.Tag)
		}
		return Decision{Live, "git tag " + f.Tag + " is released"}, f.Repositories.Live, nil
	case f.Branch == "main" || f.Branch == "master":
		return Decision{Live, "branch " + f.Branch + " is released"}, f.Repositories.Live, nil
	case f.Branch == "":
		return Decision{Development, "no branch is checked out"}, f.Repositories.Development, nil
	}
	return Decision{Development, "branch " + f.Branch + " is not main"}, f.Repositories.Development, nil
}

// number chooses N of lsN. A number never names two different images: it is reused
// only for the same commit and inputs.
func number(f Facts, p Plan) (Decision, error) {
	was := 0
	if f.Published != nil {
		_, was, _ = parseVersion(f.Published.Version)
	}
	n, reason, next := was+1, "", true // next: a number in use is skipped
	switch {
	case f.Number < 0:
		return Decision{}, failure.Usagef("plan release number %d: numbers begin with 1: pass --number 1", f.Number)
	case f.Number > 0:
		n, reason, next = f.Number, "--number asks for it", false
	case f.Tag != "":
		var release string
		release, n, _ = parseVersion(f.Tag) // channel has validated it
		if release != p.NetBox.Value {
			return Decision{}, failure.Usagef("plan the release of git tag %s: it is of NetBox %s, but %s is to be released: tag the commit v%s-ls%d", f.Tag, release, p.NetBox.Value, p.NetBox.Value, n)
		}
		reason, next = "git tag "+f.Tag+" says so", false
	case f.Published == nil:
		reason = "it is the first release"
	case !slices.Contains(f.Tags, f.Published.Version):
		reason = f.Published.Version + " is published"
	case len(p.reasons(true)) > 0:
		reason = f.Published.Version + " is published; its git tag is at HEAD, but the image would be another one"
	default:
		n, reason, next = was, "git tag "+f.Published.Version+" is at HEAD, and nothing has changed", false
	}
	for _, t := range f.InUse { // by ascending number, see FindVersionInUse
		switch {
		case t.Version != fmt.Sprintf("v%s-ls%d", p.NetBox.Value, n):
		case next:
			reason += "; " + t.String()
			n++
		case t.Commit != f.Commit:
			return Decision{}, failure.Usagef("plan release number %d: %s, and this is commit %s: a version names one image for ever: leave out --number, or pass the next one", n, t, f.Commit)
		}
	}
	if n < was {
		return Decision{}, failure.Usagef("plan release number %d: %s is published: release a number from %d on", n, f.Published.Version, was)
	}
	return Decision{strconv.Itoa(n), reason}, nil
}

// checkDowngrade returns an error for a NetBox release older than the published one: it
// cannot use a database that a newer NetBox has migrated.
func checkDowngrade(f Facts, p Plan) error {
	if f.Published == nil || f.Force || p.Channel.Value != Live {
		return nil
	}
	release, _, ok := parseVersion(f.Published.Version)
	if !ok || Compare(p.NetBox.Value, release) >= 0 {
		return nil
	}
	return failure.Usagef("plan the release of NetBox %s: %s is published, and no database goes back to an older NetBox: release %s or later, or pass --force", p.NetBox.Value, f.Published.Version, release)
}

// skipReason returns the reason not to release, "" when a release is due.
func skipReason(f Facts, p Plan) string {
	if f.Force || len(p.reasons(true)) > 0 || p.Channel.Value != Live {
		return ""
	}
	if f.Tag != "" && f.Published != nil && f.Published.Version != p.Version {
		return "" // tagging a commit requests its release
	}
	return "nothing has changed since " + f.Published.Reference + " " + f.Published.Version + " (" + strings.Join(p.reasons(false), "; ") + ")"
}

// ofOtherOwner reports whether an image repository on GitHub's registry belongs to
// another owner: versions.yml of a fork names the repositories of the original.
func ofOtherOwner(repository, owner string) bool {
	rest, ok := strings.CutPrefix(repository, "ghcr.io/")
	namespace, _, _ := strings.Cut(rest, "/")
	return ok && owner != "" && !strings.EqualFold(namespace, owner)
}

// short abbreviates a commit or a digest for people.
func short(id string) string {
	id = strings.TrimPrefix(id, "sha256:")
	return id[:min(12, len(id))]
}

// summarize formats the first few elements of a list, and the number of the others.
func summarize[T any](list []T) string {
	const few = 3
	var names []string
	for _, each := range list[:min(few, len(list))] {
		names = append(names, fmt.Sprint(each))
	}
	text := strings.Join(names, ", ")
	if len(list) > few {
		text += fmt.Sprintf(" and %d more", len(list)-few)
	}
	return text
}
