package release

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

var labelled = regexp.MustCompile(`^Linuxserver\.io version:- (\S+) Build-date:- \S+$`)

// versionIn finds the version in the label build_version, or "".
func versionIn(label string) string {
	m := labelled.FindStringSubmatch(label)
	if m == nil {
		return ""
	}
	if _, _, ok := parseVersion(m[1]); !ok {
		return ""
	}
	return m[1]
}

var version = regexp.MustCompile(`^v?([0-9.]+)-ls([1-9][0-9]{0,8})$`)

// parseVersion takes v4.7.3-ls12 apart.
func parseVersion(v string) (netbox string, number int, ok bool) {
	m := version.FindStringSubmatch(v)
	if m == nil || !versions.IsRelease(m[1]) {
		return "", 0, false
	}
	number, err := strconv.Atoi(m[2])
	return m[1], number, err == nil
}

// Compare orders two final releases as PEP 440 does.
func Compare(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		if c := cmp.Compare(part(as, i), part(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

// part is the i-th number of a release; those that are missing are 0.
func part(parts []string, i int) int {
	if i >= len(parts) {
		return 0
	}
	n, _ := strconv.Atoi(parts[i]) // versions.IsRelease has seen that it is one
	return n
}

// semver is a release in just three numbers.
func semver(release string) string {
	parts := strings.Split(release, ".")
	return fmt.Sprintf("%d.%d.%d", part(parts, 0), part(parts, 1), part(parts, 2))
}
