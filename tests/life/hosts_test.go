package life

import (
	"net/http"
	"strings"
	"testing"
)

func TestEveryWayToWriteAllowedHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	for _, test := range []struct {
		written       string
		good, refused []string
	}{
		{"one.test, two.test  .three.test [2001:db8::1]",
			[]string{"one.test", "two.test:8000", "three.test", "a.b.three.test", "[2001:db8::1]", "[2001:db8::1]:8000"},
			[]string{"evil.test", "sub.one.test", "evilthree.test", "[2001:db8::2]"}},
		{"*", []string{"evil.test", "[2001:db8::1]:8000"}, nil},
	} {
		t.Run(test.written, func(t *testing.T) {
			w := w.in(t)
			c := w.netbox(map[string]string{"ALLOWED_HOST": test.written, "NETBOX_ROLE": "web"})
			healthy(t, c)
			b := w.browse("http://"+host+":8000", nil)
			for _, name := range test.good {
				b.host = name
				if res := b.get("/login/"); res.status != http.StatusOK {
					t.Errorf("%s is answered with %d", name, res.status)
				}
			}
			for _, name := range test.refused {
				b.host = name
				if res := b.get("/login/"); res.status != http.StatusBadRequest {
					t.Errorf("%s is answered with %d, want 400", name, res.status)
				}
				waitFor(t, c, "'"+name+"'", 1, patience) // the log line follows the response
				var lines []string
				for line := range strings.Lines(said(c)) {
					if strings.Contains(line, "'"+name+"'") {
						lines = append(lines, line)
					}
				}
				if len(lines) != 1 || !strings.Contains(lines[0], "ALLOWED_HOST.") || len(lines[0]) > 200 {
					t.Errorf("the log reports %s with %q, want one short line that names ALLOWED_HOST", name, lines)
				}
			}
			if strings.Contains(said(c), "Traceback") {
				t.Error("there is a traceback in the log")
			}
			w.stop(c)
		})
	}
}
