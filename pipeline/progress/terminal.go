package progress

import (
	"cmp"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal describes the capabilities of a terminal.
type Terminal struct {
	// Size returns the current columns and rows; below 1 when unknown.
	Size    func() (columns, rows int)
	Color   bool
	Unicode bool // whether it shows more than ASCII
}

// Detect returns the capabilities of the terminal f; nil when f is not a terminal
// or cannot move its cursor. It reads TERM, NO_COLOR and the locale with getenv.
func Detect(f *os.File, getenv func(string) string) *Terminal {
	name := getenv("TERM")
	if name == "" || name == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &Terminal{
		Size: func() (columns, rows int) {
			columns, rows, _ = term.GetSize(int(f.Fd())) // below 1 when unknown
			return columns, rows
		},
		Color:   getenv("NO_COLOR") == "", // https://no-color.org
		Unicode: utf8Locale(getenv),
	}
}

// Width returns the columns of the terminal w; 0 when w is not a terminal.
func Width(w io.Writer, getenv func(string) string) int {
	if f, ok := w.(*os.File); ok {
		if t := Detect(f, getenv); t != nil {
			columns, _ := t.size()
			return columns
		}
	}
	return 0
}

// utf8Locale reports whether the locale's encoding is UTF-8. The first variable
// that is set decides (POSIX.1-2017, 8.2).
func utf8Locale(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.HasSuffix(locale, "utf-8") || strings.HasSuffix(locale, "utf8")
}

// size returns Size, with defaults for what is unknown.
func (t *Terminal) size() (columns, rows int) {
	columns, rows = t.Size()
	if columns < 1 {
		columns = 80
	}
	if rows < 1 {
		rows = 24
	}
	return columns, rows
}

// ascii maps the symbols of the tree to ASCII, for terminals without Unicode.
var ascii = map[rune]rune{'●': '*', '○': 'o', '✓': '+', '✗': 'x', '├': '|', '└': '`', '…': '.'}

// printable replaces characters that the terminal cannot show.
func (t *Terminal) printable(text string) string {
	if t.Unicode {
		return text
	}
	return strings.Map(func(r rune) rune {
		if r > '~' {
			return cmp.Or(ascii[r], '?')
		}
		return r
	}, text)
}
