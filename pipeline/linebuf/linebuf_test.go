package linebuf_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

func TestPiecesBecomeLines(t *testing.T) {
	endless := strings.Repeat("x", linebuf.Longest)
	for name, test := range map[string]struct{ pieces, want []string }{
		"lines in one piece":    {[]string{"a\nb\n"}, []string{"a", "b"}},
		"a line in two pieces":  {[]string{"a", "b\n"}, []string{"ab"}},
		"empty lines":           {[]string{"\n\na\n"}, []string{"", "", "a"}},
		"Windows line ends":     {[]string{"a\r\nb\r", "\n"}, []string{"a", "b"}},
		"a last line unended":   {[]string{"a\nb"}, []string{"a", "b"}},
		"nothing":               {nil, nil},
		"a line without an end": {[]string{endless[1:], "xy", "z\n"}, []string{endless, "yz"}},
		"the longest line":      {[]string{endless, "\n"}, []string{endless, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			w := linebuf.Writer{Line: func(text string) { got = append(got, text) }}
			for _, p := range test.pieces {
				if n, err := w.Write([]byte(p)); n != len(p) || err != nil {
					t.Errorf("wrote %d of %d: %v", n, len(p), err)
				}
			}
			w.Flush()
			if !slices.Equal(got, test.want) {
				t.Errorf("got %.80q, want %.80q", got, test.want)
			}
		})
	}
}

func TestWhatATerminalShowsAtLast(t *testing.T) {
	for line, want := range map[string]string{"plain": "plain", "10%\r20%\rdone \r": "done", "": "", "\r": ""} {
		if got := linebuf.Shown(line); got != want {
			t.Errorf("Shown(%q) = %q, want %q", line, got, want)
		}
	}
}
