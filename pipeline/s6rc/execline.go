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
	var argv []string
	level := 0
	for text, _, _ = strings.Cut(text, "\x00"); ; {
		text = strings.TrimLeftFunc(text, func(r rune) bool { return r <= ' ' })
		switch {
		case text == "" && level > 0:
			return nil, errors.New("unmatched {")
		case text == "":
			return argv, nil
		case text[0] == '#':
			_, text, _ = strings.Cut(text, "\n")
			continue
		case text == `\`, strings.HasPrefix(text, "\\\n"):
			text = text[min(2, len(text)):]
			continue
		}

		word, quoted, rest, err := execlineWord(text)
		if err != nil {
			return nil, err
		}
		text = rest
		switch {
		case word == "{" && !quoted:
			if rest == "" {
				return nil, errExecline
			}
			level++
		case word == "}" && !quoted:
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

// execlineWord takes the first word off a text, and reports whether quotes or a
// backslash stood in it.
func execlineWord(text string) (word string, quoted bool, rest string, err error) {
	var b []byte
	for text != "" && text[0] > ' ' {
		c := text[0]
		text = text[1:]
		switch {
		case c == '\\' && text == "":
			return "", false, "", errExecline
		case c == '\\':
			quoted = true
			b, text = append(b, text[0]), text[1:]
		case c == '"':
			quoted = true
			if b, text, err = execlineQuoted(b, text); err != nil {
				return "", false, "", err
			}
		default:
			b = append(b, c)
		}
	}
	return string(b), quoted, text, nil
}

// execlineQuoted appends to a word what stands before the closing quote, and
// returns the text behind it.
func execlineQuoted(word []byte, text string) ([]byte, string, error) {
	for text != "" {
		c := text[0]
		text = text[1:]
		switch {
		case c == '"':
			return word, text, nil
		case c != '\\':
			word = append(word, c)
			continue
		case text == "":
			return nil, "", errExecline
		}

		base, most, digits := 10, 3, "0123456789"
		switch c = text[0]; {
		case '1' <= c && c <= '9':
		case strings.HasPrefix(text, "0x"):
			base, most, digits, text = 16, 2, "0123456789abcdefABCDEF", text[2:]
		case c == '0':
			base, digits, text = 8, "01234567", text[1:]
		case c == '\n': // the line goes on
			text = text[1:]
			continue
		default:
			if i := slices.Index([]byte("abtnvfr"), c); i >= 0 {
				c = byte(7 + i)
			}
			word, text = append(word, c), text[1:]
			continue
		}
		most = min(most, len(text))
		length := most - len(strings.TrimLeft(text[:most], digits))
		n, err := strconv.ParseUint(text[:length], base, 8)
		if err != nil || n == 0 {
			return nil, "", errExecline
		}
		word, text = append(word, byte(n)), text[length:]
		if text == "" { // the real one takes the end for a closing quote just here
			return word, "", nil
		}
	}
	return nil, "", errExecline
}
