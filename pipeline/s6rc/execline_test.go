package s6rc

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
)

// The vectors are what execlineb 2.9.7.0 made of random scripts, with -P and
// "/bin/printf" in front.
func TestParseExeclineAgreesWithTheRealOne(t *testing.T) {
	f, err := os.Open("testdata/execline.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	vectors := 0
	for d := json.NewDecoder(f); ; vectors++ {
		var v struct {
			Text, Error string
			Argv        []string
		}
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got, err := parseExecline(v.Text)
		message := ""
		if err != nil {
			message = "syntax error"
			if err != errExecline {
				message = err.Error()
			}
		}
		if message != v.Error || !slices.Equal(got, v.Argv) {
			t.Errorf("%q: got %q, %q; want %q, %q", v.Text, got, message, v.Argv, v.Error)
		}
	}
	if vectors != 500 {
		t.Errorf("%d vectors", vectors)
	}
}

func FuzzParseExecline(f *testing.F) {
	f.Add("foreground { echo \"a\\0x41\" } \\\n# x")
	f.Fuzz(func(t *testing.T, text string) {
		if argv, err := parseExecline(text); err != nil && argv != nil {
			t.Errorf("both %q and %v", argv, err)
		}
	})
}

// The expected vectors are what execline's documented grammar says.
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
