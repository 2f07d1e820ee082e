package release

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

var labelled = regexp.MustCompile(`^Linuxserver\.io version:- (\S+) Build-date:- \S+$`)

// versionIn parses the version in the label build_version, "" when it has none.
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

// parseVersion parses a version such as v4.7.3-ls12.
func parseVersion(v string) (netbox string, number int, ok bool) {
	m := version.FindStringSubmatch(v)
	if m == nil || !versions.IsRelease(m[1]) {
		return "", 0, false
	}
	number, err := strconv.Atoi(m[2])
	return m[1], number, err == nil
}

// numbers parses a final release into three numbers or more: 4.7 is 4.7.0.
func numbers(release string) (list []int) {
	for part := range strings.SplitSeq(release, ".") {
		n, _ := strconv.Atoi(part) // versions.IsRelease has validated it
		list = append(list, n)
	}
	list = append(list, make([]int, max(0, 3-len(list)))...)
	for len(list) > 3 && list[len(list)-1] == 0 { // 4.7.0.0 too
		list = list[:len(list)-1]
	}
	return list
}

// Compare orders two final releases by their numbers.
func Compare(a, b string) int { return slices.Compare(numbers(a), numbers(b)) }

// semver returns the first three numbers of a release.
func semver(release string) string {
	n := numbers(release)
	return fmt.Sprintf("%d.%d.%d", n[0], n[1], n[2])
}
