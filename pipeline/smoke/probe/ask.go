package main

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/browser"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// Limits on a native machine; pace stretches them.
const (
	requestLimit = 15 * time.Second
	checkLimit   = time.Minute
	stopLimit    = time.Minute
)

// pace is how much slower than natively all goes: how patient the probe is.
type pace float64

// stretch returns the limit that holds on the machine at hand.
func (p pace) stretch(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(p))
}

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
	readySeconds float64
	loginPage    []byte
	tab          *browser.Tab
	closeTab     func()
	session      *client
	siteID       int
	siteName     string
	made         struct{ prefix, address, image string } // their API paths
}

// checks says how each check of smoke.Checks is made.
func (p *probe) checks() map[string]func(context.Context) smoke.Result {
	return map[string]func(context.Context) smoke.Result{
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

// ask makes every check as soon as those it needs have passed, and writes the
// findings in the order of smoke.Checks.
func (p *probe) ask(ctx context.Context, out io.Writer) smoke.Summary {
	type task struct {
		done   chan struct{}
		result smoke.Result
	}
	p.life = ctx
	list, how := smoke.Checks(), p.checks()
	tasks := make(map[string]*task, len(list))
	for _, c := range list {
		tasks[c.ID] = &task{done: make(chan struct{})}
	}
	var running sync.WaitGroup
	for _, c := range list {
		running.Go(func() {
			t := tasks[c.ID]
			defer close(t.done)
			for _, need := range c.Needs {
				if <-tasks[need].done; !tasks[need].result.OK {
					t.result = smoke.Result{Asked: "nothing", Got: "not asked, because check " + need + " failed", Needs: need}
					return
				}
			}
			ctx, cancel := context.WithTimeout(ctx, p.pace.stretch(checkLimit))
			defer cancel()
			start := time.Now()
			t.result = how[c.ID](ctx)
			t.result.Seconds = time.Since(start).Seconds()
		})
	}
	var sum smoke.Summary
	for _, c := range list {
		t := tasks[c.ID]
		<-t.done
		r := t.result
		r.Check = c.ID
		r.Seconds = float64(int(r.Seconds*1000)) / 1000
		r.Asked, r.Got = p.hide(r.Asked), p.hide(r.Got)
		sum.Checks++
		if !r.OK {
			sum.Failed++
		}
		// A finding that cannot be written is missing from the stream, which
		// its reader counts as a failure.
		_ = smoke.Message{Result: &r}.Write(out)
	}
	running.Wait()
	sum.Ready = float64(int(p.readySeconds*100)) / 100
	return sum
}

// until tries until a try passes or the context ends, and returns the last try's
// result that the context's end did not spoil.
func (p *probe) until(ctx context.Context, try func(context.Context) smoke.Result) smoke.Result {
	start := time.Now()
	var last smoke.Result
	for {
		r := try(ctx)
		if r.OK {
			return r
		}
		if ctx.Err() == nil || last.Asked == "" {
			last = r
		}
		select {
		case <-ctx.Done():
			last.Got += " after " + time.Since(start).Round(time.Second).String() + " of asking"
			return last
		case <-time.After(p.pace.interval()):
		}
	}
}
