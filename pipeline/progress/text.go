package progress

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// escapes are the sequences programs colour, move and title with (ECMA-48):
// CSI, the string sequences (OSC, DCS, APC, PM, SOS) and the short ones.
var escapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[\\]PX^_][^\x07\x1b]*(\x07|\x1b\\\\)?|\x1b[ -/]*[0-~]?")

// clean makes one line of text harmless to a terminal: no escape sequence, no
// control character. Of a line that was written over with carriage returns,
// what was seen last is left.
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

// cells is how many columns of a terminal a character takes.
func cells(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case width.LookupRune(r).Kind() == width.EastAsianWide,
		width.LookupRune(r).Kind() == width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cellsOf is how many columns of a terminal a text takes.
func cellsOf(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

// cut gives as much of s as fits into columns, with more, which takes one
// column, where something is left out.
func cut(s string, columns int, more string) string {
	if columns < 1 {
		return ""
	}
	used, fits := 0, 0 // fits: bytes that leave a column for more
	for i, r := range s {
		c := cells(r)
		if used+c > columns {
			return s[:fits] + more
		}
		used += c
		if used <= columns-1 {
			fits = i + len(string(r))
		}
	}
	return s
}
