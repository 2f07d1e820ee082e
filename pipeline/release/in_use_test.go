package release_test

import (
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
)

func TestANumberThatNamesAnotherCommitIsRefusedWithWhatWasFound(t *testing.T) {
	taken := []release.VersionInUse{{Version: "v4.7.3-ls14", Where: "ghcr.io/linuxserver/netbox:v4.7.3-ls14", Digest: "sha256:cccc", Commit: before}}
	for name, change := range map[string]func(*release.Facts){
		"--number":                        func(f *release.Facts) { f.Number = 14 },
		"a git tag that was pushed again": func(f *release.Facts) { f.Branch, f.Tag = "", "v4.7.3-ls14" },
	} {
		_, err := release.Make(facts(func(f *release.Facts) { f.InUse = taken; change(f) }))
		if failure.ExitCode(err) != failure.ExitUsage || len(failure.Lines(err)) != 1 {
			t.Fatalf("%s: %v", name, err)
		}
		for _, want := range []string{"ghcr.io/linuxserver/netbox:v4.7.3-ls14", "sha256:cccc", before, head} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
		mine := []release.VersionInUse{taken[0]}
		mine[0].Commit = head
		if plan, err := release.Make(facts(func(f *release.Facts) { f.InUse = mine; change(f) })); err != nil || plan.Version != "v4.7.3-ls14" {
			t.Errorf("%s, of the same commit: %s, %v", name, plan.Version, err)
		}
	}
}
