package s6rc

import (
	"slices"
	"testing"
)

// The expected vectors are what execline's documented grammar gives.
func TestParseExecline(t *testing.T) {
	for text, want := range map[string][]string{
		"":                          nil,
		" \n\t\n":                   nil,
		"#!/bin/sh\n# x":            nil,
		"echo [ls.io-init] done.":   {"echo", "[ls.io-init]", "done."},
		`echo "[ls.io-init] done."`: {"echo", "[ls.io-init] done."},
		"echo a#b $VAR * ~\r\n":     {"echo", "a#b", "$VAR", "*", "~"},
		"if { a { b } } c":          {"if", " a", "  b", " ", "", "c"},
		"foreground {} x":           {"foreground", "{}", "x"},
		`"{" \} "}"`:                {"{", "}", "}"},
		"a \\\n b c\\ d":            {"a", "b", "c d"},
		`"\n\t\0x41\065\66\\\"\z"`:  {"\n\tA5B\\\"z"},
		"\"a\\\nb\"c":               {"abc"},
		`""`:                        {""},
		"a\x00 b":                   {"a"},
	} {
		got, err := parseExecline(text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"foreground { echo a\n": "unmatched {",
		"echo } a":              "unmatched }",
		`echo "a`:               "",
		`echo a\`:               "",
		`"\0x"`:                 "",
		`"\999"`:                "",
		`"\0"`:                  "",
		"a {":                   "",
	} {
		if got, err := parseExecline(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %q, %v; want the error %q", text, got, err, want)
		}
	}
}
