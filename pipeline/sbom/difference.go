package sbom

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
)

// Contents are the packages and sizes of an image.
type Contents struct {
	Packages []Package         // nil when unknown
	Groups   []imagesize.Group // nil when the history does not show them
}

// Baseline is the published index to compare with.
type Baseline struct {
	Since
	Images  map[string]Contents // by platform; nil when unknown
	Commits []git.Commit        // since then, newest first
	Unknown []string            // what could not be compared, and why
}

// Since identifies a published index.
type Since struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Version   string `json:"version,omitempty"` // such as v4.7.3-ls12
	Commit    string `json:"commit,omitempty"`
}

// Change is a package that was added, removed or changed.
type Change struct {
	Name      string   `json:"name"`
	Type      string   `json:"type"`
	Old       string   `json:"old,omitempty"` // version; empty when the package is new
	New       string   `json:"new,omitempty"` // version; empty when it is gone
	Platforms []string `json:"platforms"`     // whose images have this change
}

// Kind returns "added", "removed" or "changed".
func (c Change) Kind() string {
	switch {
	case c.Old == "":
		return "added"
	case c.New == "":
		return "removed"
	}
	return "changed"
}

// Size is the size of a group of an image's files, before and now.
type Size struct {
	Platform string `json:"platform"`
	Group    string `json:"group"`
	Old      int64  `json:"old"` // compressed, in bytes
	New      int64  `json:"new"`
}

// Difference is the difference between an index and the published one.
type Difference struct {
	Since     *Since       `json:"since,omitempty"` // nil when nothing is published yet
	Unknown   []string     `json:"unknown,omitempty" hide:""`
	Platforms []string     `json:"platforms,omitempty"` // whose packages were compared
	Packages  []Change     `json:"packages,omitempty"`
	Sizes     []Size       `json:"sizes,omitempty"` // of all groups, changed or not
	NetBox    *Change      `json:"netbox,omitempty"`
	Commits   []git.Commit `json:"commits,omitempty"` // newest first
}

// Packages compares two lists of packages of one platform. It returns nil when one of
// the lists is nil.
func Packages(platform string, before, after []Package) []Change {
	return changes(map[string]Contents{platform: {Packages: before}}, map[string]Contents{platform: {Packages: after}})
}

// changes compares images by platform, without platforms whose packages are unknown on
// one side. The same change on several platforms is listed once. That of NetBox is
// first.
func changes(before, after map[string]Contents) []Change {
	type name struct{ name, kind string }
	versions := func(list []Package) map[name]string {
		all := map[name]string{}
		for _, p := range sorted(slices.Clone(list)) {
			key := name{p.Name, p.Type}
			if was, ok := all[key]; ok {
				p.Version = was + ", " + p.Version
			}
			all[key] = p.Version
		}
		return all
	}
	type change struct{ name, kind, old, new string }
	where := map[change][]string{}
	for _, platform := range commonPlatforms(before, after) {
		was, is := versions(before[platform].Packages), versions(after[platform].Packages)
		names := maps.Clone(was)
		maps.Copy(names, is)
		for n := range names {
			if c := (change{n.name, n.kind, was[n], is[n]}); c.old != c.new {
				where[c] = append(where[c], platform)
			}
		}
	}
	var changes []Change
	for c, platforms := range where {
		changes = append(changes, Change{c.name, c.kind, c.old, c.new, platforms})
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(rank(a)-rank(b), strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name), slices.Compare(a.Platforms, b.Platforms))
	})
	return changes
}

// rank is 0 for NetBox, which is sorted first, and 1 for all else.
func rank(c Change) int {
	if c.Name == "netbox" && c.Type == "python" {
		return 0
	}
	return 1
}

// ReadList reads package_versions.txt of the repository; nil when it is missing.
func ReadList(repo string) ([]byte, error) {
	list, err := os.ReadFile(filepath.Join(repo, ListFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the list of packages: %w", err)
	}
	return list, nil
}

// Outdated compares package_versions.txt, nil when it is missing, with the packages in
// the image of ListedPlatform.
func Outdated(file []byte, packages []Package) ([]Change, error) {
	listed := []Package{}
	if file != nil {
		var err error
		if listed, err = ParseTable(file); err != nil {
			return nil, fmt.Errorf("%s: %w: write it with \"go run ./ci packages\"", ListFile, err)
		}
	}
	return Packages(ListedPlatform, listed, packages), nil
}

// commonPlatforms returns the platforms whose packages are known on both sides.
func commonPlatforms(before, after map[string]Contents) []string {
	var both []string
	for _, platform := range slices.Sorted(maps.Keys(after)) {
		if before[platform].Packages != nil && after[platform].Packages != nil {
			both = append(both, platform)
		}
	}
	return both
}

// Compare compares images, by platform, with the published ones; before is nil when
// nothing is published. Difference.NetBox repeats the change of NetBox.
func Compare(before *Baseline, after map[string]Contents) Difference {
	if before == nil {
		return Difference{}
	}
	d := Difference{Since: &before.Since, Commits: before.Commits, Unknown: slices.Clone(before.Unknown)}
	d.Platforms, d.Packages = commonPlatforms(before.Images, after), changes(before.Images, after)
	if len(d.Packages) > 0 && rank(d.Packages[0]) == 0 {
		d.NetBox = new(d.Packages[0])
	}
	if before.Images == nil {
		return d
	}
	for _, platform := range slices.Sorted(maps.Keys(after)) {
		old, published := before.Images[platform]
		if !published {
			d.Unknown = append(d.Unknown, platform+": no image of it was published")
			continue
		}
		if after[platform].Packages == nil {
			d.Unknown = append(d.Unknown, "packages of "+platform+": they were not listed")
		}
		d.Sizes = append(d.Sizes, sizes(platform, old.Groups, after[platform].Groups)...)
	}
	return d
}

// sizes compares the sizes of the groups that an image has now or had before.
func sizes(platform string, before, after []imagesize.Group) (list []Size) {
	if before == nil || after == nil {
		return nil
	}
	size := func(groups []imagesize.Group, name string) int64 {
		if i := slices.IndexFunc(groups, func(g imagesize.Group) bool { return g.Name == name }); i >= 0 {
			return groups[i].Size
		}
		return 0
	}
	for _, g := range slices.Concat(after, before) {
		if s := (Size{platform, g.Name, size(before, g.Name), size(after, g.Name)}); !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

// Headline summarizes the changes of packages in one line.
func (d Difference) Headline() string {
	if d.Since == nil {
		return "nothing is published yet"
	}
	since := "since " + cmp.Or(d.Since.Version, d.Since.Reference)
	if len(d.Platforms) == 0 {
		return "it is not known which packages have changed " + since
	}
	return Counts(d.Packages) + " " + since
}

// Counts summarizes how many packages were added, changed and removed.
func Counts(changes []Change) string {
	if len(changes) == 0 {
		return "no package has changed"
	}
	n := map[string]int{}
	for _, c := range changes {
		n[c.Kind()]++
	}
	var parts []string
	for _, kind := range []string{"changed", "added", "removed"} {
		if n[kind] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n[kind], kind))
		}
	}
	noun := "packages: "
	if len(changes) == 1 {
		noun = "package: "
	}
	return noun + strings.Join(parts, ", ")
}

// Text writes changes of packages for people, one in each line. It names the platforms
// of a change that is not on all of them.
func Text(w io.Writer, changes []Change, platforms []string) error {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 2, 0, 2, ' ', 0)
	for _, c := range changes {
		where := ""
		if len(c.Platforms) < len(platforms) {
			where = strings.Join(c.Platforms, ", ")
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", c.Type, c.Name, c.step(), where)
	}
	t.Flush()
	_, err := io.WriteString(w, trailingBlanks.ReplaceAllString(b.String(), ""))
	return err
}

// trailingBlanks matches trailing blanks, which editors and git flag as mistakes.
var trailingBlanks = regexp.MustCompile(`(?m) +$`)

// String describes the change in a few words.
func (c Change) String() string { return c.Name + " " + c.step() }

// step describes the old and new version.
func (c Change) step() string {
	switch c.Kind() {
	case "added":
		return "added " + c.New
	case "removed":
		return "removed, was " + c.Old
	}
	return c.Old + " -> " + c.New
}
