package progress

import "testing"

func TestCutKeepsToTheColumns(t *testing.T) {
	for _, c := range []struct {
		in      string
		columns int
		want    string
	}{
		{"", 0, ""},
		{"abc", 3, "abc"},
		{"abcd", 3, "ab…"},
		{"日本語", 6, "日本語"},
		{"日本語", 5, "日本…"},
		{"日本語", 4, "日…"},
		{"e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"🚀🚀", 3, "🚀…"},
		{"🇩🇪🇫🇷", 4, "🇩🇪🇫🇷"}, // flags: two code points each
		{"🇩🇪🇫🇷", 3, "🇩🇪…"},
		{"👩‍🚀👩‍🚀", 4, "👩‍🚀👩‍🚀"}, // three code points each
		{"👩‍🚀👩‍🚀", 3, "👩‍🚀…"},
		{"abc", 0, ""},
		{"abc", -5, ""},
	} {
		if got := cut(c.in, c.columns, "…"); got != c.want {
			t.Errorf("cut(%q, %d) = %q, want %q", c.in, c.columns, got, c.want)
		}
	}
}

func TestCleanLeavesNothingATerminalWouldObey(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                "plain",
		"\x1b[1;31mred\x1b[0m": "red",
		"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\": "link",
		"\x1b]0;title\x07text":                     "text",
		"\x1bPq#0\x1b\\text":                       "text",
		"\x1b(Bascii\x1bM\x1b7":                    "ascii",
		"cut \x1b[":                                "cut ",
		"tab\tbell\x07\b":                          "tab bell",
		"10%\r20%":                                 "20%",
		"done\r":                                   "done",
		"\u009b2Jc1":                               "2Jc1",
		"right\u202eleft":                          "rightleft",
		"bad \xff utf8":                            "bad \uFFFD utf8",
	} {
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
}
