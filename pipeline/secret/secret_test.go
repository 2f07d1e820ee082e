package secret_test

import (
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/secret"
)

func TestSecretsAreHiddenWholeHoweverTheyOverlap(t *testing.T) {
	var m secret.Mask
	if got := m.Hide("nothing is secret yet"); got != "nothing is secret yet" {
		t.Errorf("a mask that knows nothing returned %q", got)
	}
	m.Add("", "abc")
	m.Add("abcdef", "abc")
	if got := m.Hide("abcdef abc ab"); got != "*** *** ab" {
		t.Errorf("got %q", got)
	}
}
