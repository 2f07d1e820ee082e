package publish_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// options returns options to publish a content, with waits counted and 100 times shorter.
func options(c content, waits *atomic.Int64) registry.Options {
	return slowly(c, func(time.Duration) { waits.Add(1) })
}

// slowly is like options, but calls a function with the duration of each wait.
func slowly(c content, waits func(time.Duration)) registry.Options {
	return registry.Options{
		Booted: c.booted, Attach: attach,
		Clock: registry.Clock{Sleep: func(ctx context.Context, d time.Duration) error {
			waits(d)
			time.Sleep(d / 100)
			return ctx.Err()
		}},
	}
}

// stopwatch measures time as if waits were not shortened. Waits at the same time
// count once.
type stopwatch struct {
	began   time.Time
	mu      sync.Mutex
	skipped time.Duration
}

// over starts the stopwatch and returns a clock whose waits it counts.
func (s *stopwatch) over(clock registry.Clock) registry.Clock {
	s.began = time.Now()
	sleep := clock.Sleep
	clock.Sleep = func(ctx context.Context, d time.Duration) error {
		end := s.read() + d
		err := sleep(ctx, d)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.skipped = max(s.skipped, end-time.Since(s.began))
		return err
	}
	return clock
}

func (s *stopwatch) read() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.began) + s.skipped
}

// publish publishes a content as a version and as latest, and returns the number of waits.
func publish(ctx context.Context, t testing.TB, c content, host, repository, version string) (waits int64, err error) {
	var waited atomic.Int64
	_, err = registry.Publish(ctx, c.index, targets(t, host, repository, version), options(c, &waited))
	return waited.Load(), err
}

// try is a repository for one publish that is disturbed.
type try struct {
	before, after content // published undisturbed as 1.0, and then disturbed as 2.0
	backend, repo string
	existing      map[string]string // tags after the first publish
	// careless reports whether the registry may break a tag on its first push.
	careless bool
}

// newTry publishes the first content to a new repository.
func newTry(t testing.TB, backend string) try {
	t.Helper()
	c := try{before: newContent(t, 2000), after: newContent(t, 2000), backend: backend, repo: newRepository()}
	_, err := publish(t.Context(), t, c.before, backend, c.repo, "1.0")
	must(t, err)
	c.existing, err = walk(backend, c.repo)
	must(t, err)
	return c
}

// judge checks every tag after a publish. Each tag must be complete and either
// old or new, released tags must not move, and latest may be new only when its
// version tag is. done reports whether the publisher reported success.
func (c try) judge(done bool) error {
	tags, broken, err := look(c.backend, c.repo)
	if err != nil {
		return err
	}
	for tag, why := range broken {
		if c.existing[tag] != "" || !c.careless || done {
			return why
		}
	}
	old, now := c.before.digest, c.after.digest
	amd64 := func(of content) string { return of.booted["linux/amd64"].String() }
	if tags["1.0"] != old {
		return fmt.Errorf("tag 1.0 is %q, want %s as before", tags["1.0"], old)
	}
	for _, tag := range []struct {
		name string
		can  []string
	}{{"2.0", []string{now, ""}}, {"latest", []string{now, old}}, {"amd64-latest", []string{amd64(c.after), amd64(c.before)}}} {
		switch got := tags[tag.name]; {
		case !slices.Contains(tag.can, got):
			return fmt.Errorf("tag %s is %q, want one of %q", tag.name, got, tag.can)
		case done && got != tag.can[0]:
			return fmt.Errorf("tag %s is %q, but the run ended well", tag.name, got)
		}
	}
	if tags["2.0"] == "" && (tags["latest"] == now || tags["amd64-latest"] == amd64(c.after)) {
		return errors.New("latest is new, but has no version")
	}
	return nil
}

// complete publishes again undisturbed and checks the tags and attachments.
func (c try) complete(t testing.TB) error {
	if _, err := publish(t.Context(), t, c.after, c.backend, c.repo, "2.0"); err != nil {
		return fmt.Errorf("the second run: %w", err)
	}
	if err := c.judge(true); err != nil {
		return fmt.Errorf("after the second run: %w", err)
	}
	for _, of := range []content{c.before, c.after} {
		for _, subject := range of.subjects() {
			if n := len(attachedTo(t, c.backend, c.repo, subject)); n != 1 {
				return fmt.Errorf("after the second run %d documents are attached to %s, want 1", n, subject)
			}
		}
	}
	return nil
}

// outcome summarizes the result of a publish. It replaces what differs between
// runs, such as digests and ports.
func outcome(err error, waits int64) string {
	switch {
	case err != nil:
		text := err.Error()
		for _, r := range []struct{ pattern, by string }{
			{`sha256:[0-9a-f]{64}`, "…"}, {`127\.0\.0\.1:[0-9]+`, "HOST"}, {`try[0-9]+/netbox`, "NAME"}, {`[0-9]+ bytes`, "N bytes"}, {`HOST->HOST`, "HOST"},
			{`/blobs/uploads/[0-9a-f-]+`, "/blobs/uploads/N"},
		} {
			text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.by)
		}
		return "ends: " + text
	case waits > 0:
		return "goes on after a wait"
	}
	return "goes on"
}

// row counts the publishes with the same fault and the same outcome.
type row struct {
	Registry string `json:"registry"`
	Protocol string `json:"protocol"`
	Fault    string `json:"fault"`
	Request  string `json:"request"` // kind of the first request that was spoiled
	Outcome  string `json:"outcome"`
	Times    int    `json:"times"`
	// The maximum of all publishes in this row.
	Seconds  float64 `json:"seconds"`
	Requests int     `json:"requests"`
}

// table collects the outcomes of all publishes.
type table struct {
	mu   sync.Mutex
	rows []row
}

func (b *table) add(add row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.rows, func(r row) bool {
		return r.Registry == add.Registry && r.Protocol == add.Protocol && r.Fault == add.Fault && r.Request == add.Request && r.Outcome == add.Outcome
	})
	if i < 0 {
		i = len(b.rows)
		b.rows = append(b.rows, add)
	}
	b.rows[i].Times++
	b.rows[i].Seconds, b.rows[i].Requests = max(b.rows[i].Seconds, add.Seconds), max(b.rows[i].Requests, add.Requests)
}

// sorted returns the rows of a registry, or all when it is "", and the sum of their counts.
func (b *table) sorted(registry string) (rows []row, runs int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	place := func(r row) int {
		return slices.IndexFunc(requests, func(of kindOfRequest) bool { return of.kind == r.Request })
	}
	for _, r := range b.rows {
		if registry == "" || r.Registry == registry {
			rows = append(rows, r)
			runs += r.Times
		}
	}
	slices.SortFunc(rows, func(a, b row) int {
		return cmp.Or(strings.Compare(a.Registry, b.Registry), strings.Compare(a.Protocol, b.Protocol), strings.Compare(a.Fault, b.Fault), place(a)-place(b), strings.Compare(a.Outcome, b.Outcome))
	})
	return rows, runs
}

func text(rows []row) string {
	var b strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&b, "%-8s %-40s %-30s %3d %5.0f s %4d  %s\n", r.Protocol, r.Fault, r.Request, r.Times, r.Seconds, r.Requests, r.Outcome)
	}
	return b.String()
}

func TestNoRequestOfAPublishCanFailSoThatATagIsIncomplete(t *testing.T) {
	var outcomes table
	for _, kind := range kinds {
		registry := kind.name
		t.Run(registry, func(t *testing.T) {
			backend := kind.start(t).host
			// Count the requests of an undisturbed publish.
			c := newTry(t, backend)
			quiet := newProxy(t, backend, nil)
			_, err := publish(t.Context(), t, c.after, quiet.host, c.repo, "2.0")
			must(t, err)
			must(t, c.judge(true))
			total := quiet.count
			if total < 40 {
				t.Fatalf("a publish made only %d requests", total)
			}

			var work sync.WaitGroup
			busy, idle := make(chan struct{}, 4*runtime.GOMAXPROCS(0)), make(chan struct{}, 32)
			for i, f := range faults {
				for k := 1; k <= total; k++ {
					for _, ever := range []bool{false, true} {
						sample, slots := kind.sample, busy
						if ever {
							sample *= 2
						}
						if ever || f.name == "stalled" { // mostly waits and uses little CPU
							slots = idle
						}
						if !*soak && (k+i)%sample != 0 {
							continue
						}
						sampled := protocols[(k/sample+i)%len(protocols)]
						for _, protocol := range protocols {
							if !*soak && protocol != sampled {
								continue
							}
							slots <- struct{}{}
							work.Go(func() {
								defer func() { <-slots }()
								came := spoil(t, protocol, backend, f, k, ever)
								if ever {
									came.Fault += ", and ever after"
								}
								came.Registry = registry
								outcomes.add(came)
							})
						}
					}
				}
			}
			work.Wait()
			rows, runs := outcomes.sorted(registry)
			t.Logf("%d publishes of %d requests were spoiled at one of them, or from it on:\n%s", runs, total, text(rows))
		})
	}
	keep(t, &outcomes, "")
}

// spoil publishes with a fault at request k, or with ever at all from k on, and checks the tags.
func spoil(t *testing.T, protocol, backend string, f fault, k int, ever bool) row {
	c := newTry(t, backend)
	p := newProxyOver(t, protocol, backend, func(n int, _ string) *fault {
		if n == k || ever && n > k {
			return &f
		}
		return nil
	})
	var waits atomic.Int64
	var watch stopwatch
	opts := options(c.after, &waits)
	stall := registry.DefaultStall
	if f.name == "stalled" {
		stall = time.Second
	}
	opts.Transport, opts.Clock = registry.NewTransport(stall, p.roots), watch.over(opts.Clock)
	_, err := registry.Publish(t.Context(), c.after.index, targets(t, p.host, c.repo, "2.0"), opts)
	seconds := watch.read().Seconds()
	p.mu.Lock()
	hit := "none"
	if len(p.hit) > 0 {
		hit = p.hit[0]
	}
	requests := p.count
	p.mu.Unlock()
	if err != nil && (strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), p.host)) {
		t.Errorf("%s at request %d (%s): the error is not one line that names the registry: %q", f.name, k, hit, err)
	}
	if err := c.judge(err == nil); err != nil {
		t.Errorf("%s at request %d (%s): %v", f.name, k, hit, err)
	}
	if err := c.complete(t); err != nil {
		t.Errorf("%s at request %d (%s): %v", f.name, k, hit, err)
	}
	return row{Protocol: protocol, Fault: f.name, Request: hit, Outcome: outcome(err, waits.Load()), Seconds: seconds, Requests: requests}
}

// keep writes the table as Markdown and JSON when keepTable is set.
func keep(t *testing.T, outcomes *table, suffix string) {
	name := os.Getenv(keepTable)
	if name == "" {
		return
	}
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	name += suffix
	rows, _ := outcomes.sorted("")
	encoded, err := json.MarshalIndent(rows, "", "  ")
	must(t, err)
	must(t, os.WriteFile(name+".json", append(encoded, '\n'), 0o644))
	var b strings.Builder
	b.WriteString("| Registry | Protocol | What went wrong | With which request | What came of the publish | Times | Seconds at most | Requests at most |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %d | %.0f | %d |\n", r.Registry, r.Protocol, r.Fault, r.Request, strings.ReplaceAll(r.Outcome, "|", "\\|"), r.Times, r.Seconds, r.Requests)
	}
	must(t, os.WriteFile(name+".md", []byte(b.String()), 0o644))
}
