package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// talk is what one check asks, step by step. The first answer that is wrong ends
// it: no more is asked then, and what is expected after it does not count.
type talk struct {
	ctx   context.Context
	web   *client
	asked []string
	wrong string // what came instead of what was expected, of what was asked last; "" while all is well
}

// about says what is asked, in the place of all that was asked before.
func (t *talk) about(asked string) { t.asked = []string{asked} }

// ask sends a request. Any status wanted is right, or any at all.
func (t *talk) ask(q request, want ...int) reply {
	if t.wrong != "" {
		return reply{}
	}
	t.asked = append(t.asked, q.String())
	r := t.web.do(t.ctx, q)
	t.expect(r.err == nil && (len(want) == 0 || slices.Contains(want, r.status)), "%s", r.got())
	return r
}

// read expects a reply to be JSON that fits.
func (t *talk) read(r reply, into any) {
	if t.wrong == "" {
		err := json.Unmarshal(r.body, into)
		t.expect(err == nil, "%d, but not the JSON expected: %v", r.status, err)
	}
}

// try expects no error.
func (t *talk) try(err error) bool { return t.expect(err == nil, "%v", err) }

// expect reports whether all is well up to here.
func (t *talk) expect(ok bool, format string, args ...any) bool {
	if !ok && t.wrong == "" {
		t.wrong = cmp.Or(fmt.Sprintf(format, args...), "nothing") // no failure goes without words
	}
	return t.wrong == ""
}

// result is what the check came to, with what was got where all is well.
func (t *talk) result(got string) smoke.Result {
	if t.wrong != "" {
		return smoke.Result{Asked: t.asked[len(t.asked)-1], Got: t.wrong}
	}
	return smoke.Result{OK: true, Asked: strings.Join(t.asked, ", then "), Got: got}
}
