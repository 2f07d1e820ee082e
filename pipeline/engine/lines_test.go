package engine_test

import (
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

func TestTheEndOfALogNamesOnceWhatItRepeats(t *testing.T) {
	var lines []engine.Line
	for _, text := range []string{"one", "two", "three", "four", "again", "again", "again", "last", "end"} {
		lines = append(lines, engine.Line{Text: text})
	}
	if got, want := engine.LastLines(lines), "; its last lines: three | four | again (3 times) | last | end"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := engine.LastLines(nil), "; it wrote nothing"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
