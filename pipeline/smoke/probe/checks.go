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

// Timeouts on a native machine; slowness scales them.
const (
	requestLimit = 45 * time.Second
	checkLimit   = time.Minute
	stopLimit    = time.Minute
)

// slowness is the factor by which the machine is slower than a native one.
type slowness float64

// scale scales a timeout.
func (p slowness) scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(p))
}

// requestTimeout returns the timeout of one request. It stays below the timeout of a
// whole boot, so that the error names the request that hangs.
func (p slowness) requestTimeout() time.Duration { return min(p.scale(requestLimit), 5*time.Minute) }

// interval returns the time between two attempts. It grows with slowness up to a
// second, because requests slow an emulated NetBox down considerably.
func (p slowness) interval() time.Duration {
	return min(p.scale(200*time.Millisecond), time.Second)
}

// probe has the settings of the NetBox under test and the state of the checks.
type probe struct {
	slowness slowness
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
	baseCtx  context.Context // lasts as long as the probe, because the tab outlives a check

	// State. Each field is written by one check and read only by checks that need
	// that check.
	loginPage []byte
	tab       *browser.Tab
	closeTab  func()
	session   *client
	siteID    int
	siteName  string
	created   struct{ prefix, address, image string } // API paths
}

// checks returns the function of each check of smoke.Checks. A function returns
// what it got if the check passes.
func (p *probe) checks() map[string]func(*checkRun) (got string) {
	return map[string]func(*checkRun) string{
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

// runChecks runs the checks and writes each result as soon as it is known. It starts them
// in the order of smoke.Checks, each after those it needs have passed.
//
// It does not start all at once: the slow checks, and those that others need,
// would finish last. It runs one more than there are processors, because some
// checks only wait.
func (p *probe) runChecks(ctx context.Context, out io.Writer) (sum smoke.Summary) {
	p.baseCtx = ctx
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
			ctx, cancel := context.WithTimeout(ctx, p.slowness.scale(checkLimit))
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
func (p *probe) check(ctx context.Context, how func(*checkRun) (got string)) smoke.Result {
	t := &checkRun{ctx: ctx, web: p.web}
	return t.result(how(t))
}

// retry retries step until it succeeds or the timeout expires. The result of an
// attempt that the timeout interrupted is discarded.
func (p *probe) retry(t *checkRun, step func(*checkRun) (got string)) (got string) {
	start := time.Now()
	var last checkRun
	for t.failure == "" {
		try := checkRun{ctx: t.ctx, web: t.web}
		got = step(&try)
		if try.failure == "" {
			t.asked = append(t.asked, try.asked...)
			break
		}
		if t.ctx.Err() == nil || last.failure == "" {
			last = try
		}
		select {
		case <-t.ctx.Done():
			t.asked = append(t.asked, last.asked...)
			t.failure = last.failure + " after " + time.Since(start).Round(time.Second).String() + " of asking"
		case <-time.After(p.slowness.interval()):
		}
	}
	return got
}

// checkRun is one run of a check: a sequence of requests and expectations. After the
// first failure it sends no requests and ignores further expectations.
type checkRun struct {
	ctx     context.Context
	web     *client
	asked   []string
	failure string // the first failure, which is that of the last request; "" if none
}

// describe replaces the descriptions of all earlier requests.
func (t *checkRun) describe(asked string) { t.asked = []string{asked} }

// send sends a request and expects one of the wanted statuses, or any if none is
// given.
func (t *checkRun) send(q request, want ...int) reply {
	if t.failure != "" {
		return reply{}
	}
	t.asked = append(t.asked, q.String())
	r := t.web.do(t.ctx, q)
	t.expect(r.err == nil && (len(want) == 0 || slices.Contains(want, r.status)), "%s", r.summary())
	return r
}

// decode decodes a JSON reply.
func (t *checkRun) decode(r reply, into any) {
	if t.failure == "" {
		err := json.Unmarshal(r.body, into)
		t.expect(err == nil, "%d, but not the JSON expected: %v", r.status, err)
	}
}

// noError expects no error.
func (t *checkRun) noError(err error) bool { return t.expect(err == nil, "%v", err) }

// expect records a failure unless ok. It reports whether there is no failure so
// far.
func (t *checkRun) expect(ok bool, format string, args ...any) bool {
	if !ok && t.failure == "" {
		t.failure = cmp.Or(fmt.Sprintf(format, args...), "nothing") // a failure must not be empty
	}
	return t.failure == ""
}

// result returns the check's result; got describes a pass.
func (t *checkRun) result(got string) smoke.Result {
	if t.failure != "" {
		return smoke.Result{Asked: t.asked[len(t.asked)-1], Got: t.failure}
	}
	return smoke.Result{OK: true, Asked: strings.Join(t.asked, ", then "), Got: got}
}
