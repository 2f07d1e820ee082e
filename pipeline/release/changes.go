package release

import (
	"fmt"
	"slices"

	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// changes compares the plan with the published image.
func changes(f Facts, p Plan) []Change {
	was := f.Published
	if was == nil {
		return []Change{{"image", true, "nothing is published yet"}}
	}
	var list []Change
	add := func(what string, changed bool, format string, args ...any) {
		list = append(list, Change{what, changed, fmt.Sprintf(format, args...)})
	}

	if release, _, ok := parseVersion(was.Version); ok {
		if release == p.NetBox.Value {
			add("NetBox", false, "%s is published", release)
		} else {
			add("NetBox", true, "%s is published, this release has %s", release, p.NetBox.Value)
		}
	}

	switch {
	case was.Commit == f.Commit:
		add("commit", false, "%s is published", short(f.Commit))
	case was.Commit == "":
		add("commit", true, "the published image names no commit")
	case f.Unknown:
		add("commit", true, "the published commit %s is not in this clone", short(was.Commit))
	case len(f.ChangedInputs) == 0 && len(f.Changed) == 0:
		add("commit", false, "%s has the same files as the published %s", short(f.Commit), short(was.Commit))
	case len(f.ChangedInputs) == 0:
		add("commit", false, "since the published %s only files outside the image changed: %s", short(was.Commit), summarize(f.Changed))
	default:
		add("commit", true, "since the published %s: %s", short(was.Commit), summarize(f.ChangedInputs))
	}

	switch {
	case slices.Contains(f.Changed, sbom.ListFile) && f.ListChanges != nil && len(*f.ListChanges) == 0:
		add("packages", false, "%s differs from the published one", sbom.ListFile)
	case slices.Contains(f.Changed, sbom.ListFile) && f.ListChanges != nil:
		add("packages", true, "%s is not what is published: %s", sbom.ListFile, summarize(*f.ListChanges))
	case slices.Contains(f.Changed, sbom.ListFile):
		add("packages", true, "%s has changed", sbom.ListFile)
	case f.Package == nil:
		add("packages", false, "there is no %s to compare", sbom.ListFile)
	default:
		add("packages", false, "%s is as it was", sbom.ListFile)
	}

	switch {
	case was.Base.Name == "":
		add("base", false, "the published image does not name its base")
	case was.Base.Name != f.Base.Name:
		add("base", true, "%s was the base, now it is %s", was.Base.Name, f.Base.Name)
	case f.Base.Digest == "":
		add("base", false, "%s is made of packages, it has no digest to compare", f.Base.Name)
	case was.Base.Digest == f.Base.Digest:
		add("base", false, "%s is still %s", f.Base.Name, short(f.Base.Digest))
	case was.Base.Digest == "":
		add("base", true, "the published image does not name the digest of its base, %s is %s", f.Base.Name, short(f.Base.Digest))
	default:
		add("base", true, "%s was %s, now it is %s", f.Base.Name, short(was.Base.Digest), short(f.Base.Digest))
	}

	switch r := f.Rebuilt; {
	case r == nil:
	case len(r.Differs) == 0:
		add("rebuild", false, "the published image, built again for %s, is the same to the byte", r.Platform)
	case len(r.Packages) > 0:
		add("rebuild", true, "the published image, built again for %s, has other packages: %s", r.Platform, summarize(r.Packages))
	default:
		add("rebuild", true, "the published image, built again for %s, differs in %s", r.Platform, summarize(r.Differs))
	}
	return list
}
