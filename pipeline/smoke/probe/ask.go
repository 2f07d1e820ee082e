package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/browser"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// Limits on a native machine; pace stretches them.
const (
	requestLimit = 45 * time.Second
	checkLimit   = time.Minute
	stopLimit    = time.Minute
)

// pace is how much slower than natively all goes: how patient the probe is.
type pace float64

// stretch returns the limit that holds on the machine at hand.
func (p pace) stretch(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(p))
}

// patience is how long one answer may take: short of the limit of a whole boot,
// so that what hangs is named.
func (p pace) patience() time.Duration { return min(p.stretch(requestLimit), 5*time.Minute) }

// interval is the time between two tries. It grows with slowness up to a
// second: being asked costs an emulated NetBox much of its time.
func (p pace) interval() time.Duration {
	return min(p.stretch(200*time.Millisecond), time.Second)
}

// probe is what is known of the NetBox under test, and what the checks learn.
type probe struct {
	pace     pace
	web      *client
	browser  string // where it is debugged
	version  string
	user     string
	password string
	bearer   string // the superuser's API token
	uid      int
	config   string
	secrets  string
	python   string
	proc     string
	services string          // directory of the supervised services
	self     int             // the probe's own process id
	life     context.Context // ends with the probe: the tab outlasts a check

	// Learned. Each is written by one check and read only by checks that need
	// that one.
	loginPage []byte
	tab       *browser.Tab
	closeTab  func()
	session   *client
	siteID    int
	siteName  string
	made      struct{ prefix, address, image string } // their API paths
}

// checks says how each check of smoke.Checks is made, and what it got where all is
// well.
func (p *probe) checks() map[string]func(*talk) (got string) {
	return map[string]func(*talk) string{
		"ready":         p.ready,
		"static":        p.static,
		"host":          p.wrongHost,
		"password":      p.wrongPassword,
		"login":         p.login,
		"token":         p.token,
		"version":       p.release,
		"workers":       p.workers,
		"site":          p.site,
		"prefix":        p.prefix,
		"address":       p.address,
		"graphql":       p.graphql,
		"image":         p.image,
		"job":           p.job,
		"see-login":     p.seeLogin,
		"see-dashboard": p.seeDashboard,
		"see-site":      p.seeSite,
		"delete":        p.delete,
		"imports":       p.imports,
		"secrets":       p.secretFiles,
		"steady":        p.steady,
		"processes":     p.processes,
	}
}

// ask makes the checks, in the order of smoke.Checks as far as those that each
// needs have passed, and writes each finding when it is there.
//
// All at once they would share the processors, and those that take longest or
// that others wait for would end last. One more than there are processors: some
// of them only wait.
func (p *probe) ask(ctx context.Context, out io.Writer) (sum smoke.Summary) {
	p.life = ctx
	how := p.checks()
	ended := make(chan smoke.Result)
	passed := map[string]bool{} // only those that have ended
	running := 0
	report := func(r smoke.Result) {
		passed[r.Check] = r.OK
		sum.Checks++
		if !r.OK {
			sum.Failed++
		}
		r.Asked, r.Got = p.hide(r.Asked), p.hide(r.Got)
		// A finding that cannot be written is missing from the stream, which
		// its reader counts as a failure.
		_ = smoke.Message{Result: &r}.Write(out)
	}
	// begin starts a check if it may start, and says if it is dealt with.
	begin := func(c smoke.Check) bool {
		for _, need := range c.Needs {
			switch ok, known := passed[need]; {
			case !known:
				return false
			case !ok:
				report(smoke.Result{Check: c.ID, Asked: "nothing", Got: "not asked, because check " + need + " failed", Needs: need})
				return true
			}
		}
		if running > runtime.NumCPU() {
			return false
		}
		running++
		go func() {
			ctx, cancel := context.WithTimeout(ctx, p.pace.stretch(checkLimit))
			defer cancel()
			start := time.Now()
			r := p.check(ctx, how[c.ID])
			r.Check, r.Seconds = c.ID, time.Since(start).Round(time.Millisecond).Seconds()
			ended <- r
		}()
		return true
	}
	for waiting := smoke.Checks(); ; {
		waiting = slices.DeleteFunc(waiting, begin)
		if running == 0 {
			return sum
		}
		report(<-ended)
		running--
	}
}

// check makes one check.
func (p *probe) check(ctx context.Context, how func(*talk) (got string)) smoke.Result {
	t := &talk{ctx: ctx, web: p.web}
	return t.result(how(t))
}

// until takes a step until it goes well or the time is up. A step that the end of
// the time has spoilt does not count.
func (p *probe) until(t *talk, step func(*talk) (got string)) (got string) {
	start := time.Now()
	var last talk
	for t.wrong == "" {
		try := talk{ctx: t.ctx, web: t.web}
		got = step(&try)
		if try.wrong == "" {
			t.asked = append(t.asked, try.asked...)
			break
		}
		if t.ctx.Err() == nil || last.wrong == "" {
			last = try
		}
		select {
		case <-t.ctx.Done():
			t.asked = append(t.asked, last.asked...)
			t.wrong = last.wrong + " after " + time.Since(start).Round(time.Second).String() + " of asking"
		case <-time.After(p.pace.interval()):
		}
	}
	return got
}

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
