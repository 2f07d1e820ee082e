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

// Timeouts on a native machine; pace scales them.
const (
	requestLimit = 45 * time.Second
	checkLimit   = time.Minute
	stopLimit    = time.Minute
)

// pace is the factor by which the machine is slower than a native one.
type pace float64

// stretch scales a timeout.
func (p pace) stretch(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(p))
}

// patience returns the timeout of one request. It stays below the timeout of a
// whole boot, so that the error names the request that hangs.
func (p pace) patience() time.Duration { return min(p.stretch(requestLimit), 5*time.Minute) }

// interval returns the time between two attempts. It grows with slowness up to a
// second, because requests slow an emulated NetBox down considerably.
func (p pace) interval() time.Duration {
	return min(p.stretch(200*time.Millisecond), time.Second)
}

// probe has the settings of the NetBox under test and the state of the checks.
type probe struct {
	pace     pace
	web      *client
	browser  string // host:port at which it is debugged
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
	life     context.Context // lasts as long as the probe, because the tab outlives a check

	// State. Each field is written by one check and read only by checks that need
	// that check.
	loginPage []byte
	tab       *browser.Tab
	closeTab  func()
	session   *client
	siteID    int
	siteName  string
	made      struct{ prefix, address, image string } // API paths
}

// checks returns the function of each check of smoke.Checks. A function returns
// what it got if the check passes.
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

// ask runs the checks and writes each result as soon as it is known. It starts them
// in the order of smoke.Checks, each after those it needs have passed.
//
// It does not start all at once: the slow checks, and those that others need,
// would finish last. It runs one more than there are processors, because some
// checks only wait.
func (p *probe) ask(ctx context.Context, out io.Writer) (sum smoke.Summary) {
	p.life = ctx
	how := p.checks()
	ended := make(chan smoke.Result)
	passed := map[string]bool{} // finished checks only
	running := 0
	report := func(r smoke.Result) {
		passed[r.Check] = r.OK
		sum.Checks++
		if !r.OK {
			sum.Failed++
		}
		r.Asked, r.Got = p.hide(r.Asked), p.hide(r.Got)
		// Write errors are ignored: the reader treats a missing result as a
		// failure.
		_ = smoke.Message{Result: &r}.Write(out)
	}
	// begin starts or skips a check; it returns false if the check has to wait.
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

// check runs one check.
func (p *probe) check(ctx context.Context, how func(*talk) (got string)) smoke.Result {
	t := &talk{ctx: ctx, web: p.web}
	return t.result(how(t))
}

// until retries step until it succeeds or the timeout expires. The result of an
// attempt that the timeout interrupted is discarded.
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

// talk is one run of a check: a sequence of requests and expectations. After the
// first failure it sends no requests and ignores further expectations.
type talk struct {
	ctx   context.Context
	web   *client
	asked []string
	wrong string // the first failure, which is that of the last request; "" if none
}

// about replaces the descriptions of all earlier requests.
func (t *talk) about(asked string) { t.asked = []string{asked} }

// ask sends a request and expects one of the wanted statuses, or any if none is
// given.
func (t *talk) ask(q request, want ...int) reply {
	if t.wrong != "" {
		return reply{}
	}
	t.asked = append(t.asked, q.String())
	r := t.web.do(t.ctx, q)
	t.expect(r.err == nil && (len(want) == 0 || slices.Contains(want, r.status)), "%s", r.got())
	return r
}

// read decodes a JSON reply.
func (t *talk) read(r reply, into any) {
	if t.wrong == "" {
		err := json.Unmarshal(r.body, into)
		t.expect(err == nil, "%d, but not the JSON expected: %v", r.status, err)
	}
}

// try expects no error.
func (t *talk) try(err error) bool { return t.expect(err == nil, "%v", err) }

// expect records a failure unless ok. It reports whether there is no failure so
// far.
func (t *talk) expect(ok bool, format string, args ...any) bool {
	if !ok && t.wrong == "" {
		t.wrong = cmp.Or(fmt.Sprintf(format, args...), "nothing") // a failure must not be empty
	}
	return t.wrong == ""
}

// result returns the check's result; got describes a pass.
func (t *talk) result(got string) smoke.Result {
	if t.wrong != "" {
		return smoke.Result{Asked: t.asked[len(t.asked)-1], Got: t.wrong}
	}
	return smoke.Result{OK: true, Asked: strings.Join(t.asked, ", then "), Got: got}
}
