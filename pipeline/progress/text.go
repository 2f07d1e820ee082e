package progress

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// escapes matches terminal escape sequences (ECMA-48): CSI, the string sequences
// (OSC, DCS, APC, PM, SOS) and the short ones.
var escapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x07\x1b]*(\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]?")

// clean removes escape sequences and control characters from a line. Of a line
// overwritten by carriage returns, it keeps the last version.
func clean(s string) string {
	s = escapes.ReplaceAllString(strings.ToValidUTF8(s, "\uFFFD"), "")
	s = strings.TrimRight(s, "\r")
	s = s[strings.LastIndex(s, "\r")+1:]
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r):
			return -1
		}
		return r
	}, s)
}

// cut truncates s to columns and appends more, which takes one column, if
// anything is cut off. It does not split grapheme clusters, such as a letter with
// its accents or a flag.
func cut(s string, columns int, more string) string {
	if columns < 1 {
		return ""
	}
	if uniseg.StringWidth(s) <= columns {
		return s
	}
	used, kept := 0, 0
	for g := uniseg.NewGraphemes(s); g.Next() && used+g.Width() < columns; {
		_, kept = g.Positions()
		used += g.Width()
	}
	return s[:kept] + more
}
