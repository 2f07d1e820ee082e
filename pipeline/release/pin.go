package release

import (
	"fmt"
	"regexp"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Pin returns versions.yml with another release of NetBox pinned, of which
// today's files are; upgrades are proven from the one that was pinned before.
// Everything else in the text, comments included, stays as it is.
func Pin(text []byte, release string, today time.Time) ([]byte, error) {
	was, err := versions.Parse(versions.File, text)
	if err != nil {
		return nil, err
	}
	switch {
	case !versions.IsRelease(release):
		return nil, failure.Usagef("pin NetBox %q: that is no final release: name one such as 4.7.3", release)
	case release == was.NetBox.Release:
		return nil, failure.Usagef("pin NetBox %s: %s pins it already", release, versions.File)
	}
	for _, change := range []struct{ key, value string }{
		{`  release: `, release},
		{`  previous: `, was.NetBox.Release},
		{`epoch: `, `"` + today.UTC().Format(time.DateOnly) + `"`},
	} {
		line := regexp.MustCompile(`(?m)^` + change.key + `[^#\n]*?( *#.*)?$`)
		if n := len(line.FindAllIndex(text, -1)); n != 1 {
			return nil, failure.Usagef("pin NetBox %s: %s has %d lines that begin with %q, want one: write it in the form it has in the repository", release, versions.File, n, change.key)
		}
		text = line.ReplaceAll(text, []byte(change.key+change.value+"$1"))
	}
	now, err := versions.Parse(versions.File, text)
	if err != nil {
		return nil, fmt.Errorf("pin NetBox %s: %w", release, err)
	}
	if now.NetBox.Release != release || now.NetBox.Previous != was.NetBox.Release {
		return nil, failure.Usagef("pin NetBox %s: %s has its lines elsewhere: write it in the form it has in the repository", release, versions.File)
	}
	return text, nil
}
