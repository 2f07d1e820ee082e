package progress

import (
	"cmp"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Terminal is what a terminal can show.
type Terminal struct {
	// Size is its columns and rows now, which may change; below 1 for what it
	// does not know.
	Size    func() (columns, rows int)
	Color   bool
	Unicode bool // it may be sent more than ASCII
}

// Detect finds out what can be shown on f; nil when that is no terminal, or
// one that cannot move its cursor. getenv returns TERM, NO_COLOR and the locale.
func Detect(f *os.File, getenv func(string) string) *Terminal {
	name := getenv("TERM")
	if name == "" || name == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return &Terminal{
		Size: func() (columns, rows int) {
			columns, rows, _ = term.GetSize(int(f.Fd())) // below 1 when they are not known
			return columns, rows
		},
		Color:   getenv("NO_COLOR") == "", // https://no-color.org
		Unicode: utf8Locale(getenv),
	}
}

// Width is how many columns the terminal behind w has; 0 when w is none.
func Width(w io.Writer, getenv func(string) string) int {
	if f, ok := w.(*os.File); ok {
		if t := Detect(f, getenv); t != nil {
			columns, _ := t.size()
			return columns
		}
	}
	return 0
}

// utf8Locale reports whether the locale for characters is one of UTF-8. The
// first variable that is set decides (POSIX.1-2017, 8.2).
func utf8Locale(getenv func(string) string) bool {
	locale := strings.ToLower(cmp.Or(getenv("LC_ALL"), getenv("LC_CTYPE"), getenv("LANG")))
	return strings.HasSuffix(locale, "utf-8") || strings.HasSuffix(locale, "utf8")
}

// size is Size, with a guess for what the terminal does not know.
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

// ascii has what stands for the signs of the tree on a terminal without them.
var ascii = map[rune]rune{'●': '*', '○': 'o', '✓': '+', '✗': 'x', '├': '|', '└': '`', '…': '.'}

// legible is text without characters that the terminal does not know.
func (t *Terminal) legible(text string) string {
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
