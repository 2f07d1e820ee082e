package s6rc

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// errExecline has no text of its own: s6-rc-compile prints none.
var errExecline = errors.New("")

// parseExecline splits an execline script into an argument vector. The
// grammar is that of execline's el_parse: words, "quoted strings" with C-like
// escapes, { blocks }, # comments; a NUL byte ends the text.
func parseExecline(text string) ([]string, error) {
	var (
		argv  []string
		level int
		p     = 0
	)
	text, _, _ = strings.Cut(text, "\x00")
	next := func() byte { // 0 at the end, and for ever after
		if p >= len(text) {
			return 0
		}
		p++
		return text[p-1]
	}
	space := func(c byte) bool { return c > 0 && c <= ' ' }
	for {
		c := next()
		switch {
		case c == 0:
			if level > 0 {
				return nil, errors.New("unmatched {")
			}
			return argv, nil
		case space(c):
			continue
		case c == '#':
			for c != 0 && c != '\n' {
				c = next()
			}
			continue
		case c == '\\':
			if c = next(); c == 0 || c == '\n' {
				continue
			}
			p -= 2 // a word that begins with an escape: read below
		default:
			p--
		}

		word, ended, err := execlineWord(next, space)
		if err != nil {
			return nil, err
		}
		switch {
		case word == "{" && !ended.quoted:
			if ended.by == 0 {
				return nil, errExecline
			}
			level++
		case word == "}" && !ended.quoted:
			if level == 0 {
				return nil, errors.New("unmatched }")
			}
			level--
			argv = append(argv, strings.Repeat(" ", level))
		default:
			argv = append(argv, strings.Repeat(" ", level)+word)
		}
	}
}

type wordEnd struct {
	by     byte // the blank behind the word, or 0 at the end of the text
	quoted bool // quotes or a backslash stood in it
}

func execlineWord(next func() byte, space func(byte) bool) (string, wordEnd, error) {
	var (
		word []byte
		end  wordEnd
	)
	for {
		c := next()
		switch {
		case c == 0 || space(c):
			end.by = c
			return string(word), end, nil
		case c == '\\':
			end.quoted = true
			if c = next(); c == 0 {
				return "", end, errExecline
			}
			word = append(word, c)
		case c == '"':
			end.quoted = true
			for c = next(); c != '"'; {
				if c == 0 {
					return "", end, errExecline
				}
				if c != '\\' {
					word = append(word, c)
					c = next()
					continue
				}
				var err error
				if word, c, err = execlineEscape(word, next); err != nil {
					return "", end, err
				}
			}
		default:
			word = append(word, c)
		}
	}
}

// execlineEscape reads what follows a backslash in quotes, appends what it
// means, and returns the character behind it.
func execlineEscape(word []byte, next func() byte) ([]byte, byte, error) {
	number := func(first byte, base, most int, digits string) ([]byte, byte, error) {
		text, c := "", first
		for len(text) < most && c != 0 && strings.IndexByte(digits, c) >= 0 {
			text += string(c)
			c = next()
		}
		n, err := strconv.ParseUint(text, base, 16)
		if err != nil || n == 0 || n > 255 {
			return word, 0, errExecline
		}
		if c == 0 {
			c = '"' // the real one takes the end for a closing quote just here
		}
		return append(word, byte(n)), c, nil
	}
	c := next()
	switch {
	case c == 0:
		return word, 0, errExecline
	case c == '\n': // the line goes on
	case c >= '1' && c <= '9':
		return number(c, 10, 3, "0123456789")
	case c == '0':
		if c = next(); c == 'x' {
			return number(next(), 16, 2, "0123456789abcdefABCDEF")
		}
		return number(c, 8, 3, "01234567")
	default:
		if i := slices.Index([]byte("abtnvfr"), c); i >= 0 {
			c = byte(7 + i)
		}
		word = append(word, c)
	}
	return word, next(), nil
}
