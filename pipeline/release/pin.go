package release

import (
	"regexp"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Pin returns the text of versions.yml with another NetBox release pinned. The release
// pinned before becomes the previous one, which upgrades are tested from, and today
// the epoch. All else, including comments, is kept.
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
	what := "NetBox " + release
	for _, change := range []struct{ key, old, new string }{
		{"previous", was.NetBox.Previous, was.NetBox.Release},
		{"release", was.NetBox.Release, release},
		{"epoch", was.Epoch, today.UTC().Format(time.DateOnly)},
	} {
		if text, err = setLine(what, text, change.key, change.old, change.new); err != nil {
			return nil, err
		}
	}
	_, err = versions.Parse(versions.File, text)
	return text, err
}

// SetImage returns the text of versions.yml with another reference for an image. All
// else is kept.
func SetImage(text []byte, pin PinnedImage, reference string) ([]byte, error) {
	text, err := setLine(reference, text, pin.Key[strings.LastIndex(pin.Key, ".")+1:], pin.Reference(), reference)
	if err == nil {
		_, err = versions.Parse(versions.File, text)
	}
	return text, err
}

// setLine replaces the value in the one line of versions.yml that has the key and its
// old value. Quotes and comments are kept.
func setLine(what string, text []byte, key, old, value string) ([]byte, error) {
	line := regexp.MustCompile(`(?m)^( *` + key + `: *"?)` + regexp.QuoteMeta(old) + `("?(?: *#.*)?)$`)
	if n := len(line.FindAllIndex(text, -1)); n != 1 {
		return nil, failure.Usagef("pin %s: %s has %d lines %q, want one: write it in the form it has in the repository", what, versions.File, n, key+": "+old)
	}
	return line.ReplaceAll(text, []byte("${1}"+strings.ReplaceAll(value, "$", "$$")+"${2}")), nil
}
