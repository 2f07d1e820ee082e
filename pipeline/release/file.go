package release

import (
	"encoding/json"
	"os"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/git"
)

// Load reads a plan as `release --dry-run --json` prints it.
func Load(file string) (Plan, error) {
	const makeIt = `make it with "go run ./ci release --dry-run --json"`
	var p Plan
	if err := readJSON("the plan", file, makeIt, &p); err != nil {
		return Plan{}, err
	}
	if p.Version == "" || p.Commit == "" || len(p.Repositories) == 0 || len(p.Tags) == 0 {
		return Plan{}, failure.Usagef("read the plan %s: it is not whole: %s", file, makeIt)
	}
	if _, err := p.Targets(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// readJSON parses a JSON file. hint is the end of errors: how to create the file.
func readJSON(what, file, hint string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return failure.Usagef("read %s: %w: %s", what, err, hint)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return failure.Usagef("read %s in %s: %w: %s", what, file, err, hint)
	}
	return nil
}

// IsRelease reports whether p is the plan of a release, not only a version for images.
func (p Plan) IsRelease() bool { return p.Commit != "" }

// CheckReady returns an error when the plan cannot be executed from a working tree that
// pins a NetBox release.
func (p Plan) CheckReady(tree git.Checkout, pinned string) error {
	switch {
	case p.Skip != "":
		return failure.Usagef("release %s: the plan is to skip it: %s: pass --force to release all the same", p.Version, p.Skip)
	case p.NetBox.Value != pinned:
		return failure.Usagef("release %s: the locked lists of packages are of NetBox %s: %s", p.Version, pinned, pinInstruction(p.NetBox.Value))
	case p.Commit != tree.Commit:
		return failure.Usagef("release %s: it is planned for commit %s, but %s is checked out: check out the other, or plan again", p.Version, short(p.Commit), short(tree.Commit))
	case tree.Dirty:
		return failure.Usagef("release %s: files differ from commit %s: commit them, an image names the commit it was made from", p.Version, short(p.Commit))
	}
	return nil
}
