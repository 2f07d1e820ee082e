// Package report_test opens the page of a report in a real browser.
package report_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/linuxserver/docker-netbox/pipeline/browser"
	"github.com/linuxserver/docker-netbox/pipeline/browser/browsertest"
	"github.com/linuxserver/docker-netbox/tests/need"
)

const platform = "linux/amd64"

// alone is a transport that only serves one page and records all other requests.
type alone struct {
	page []byte

	mu    sync.Mutex
	other []string
}

func (a *alone) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if r.URL.String() == address {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write(a.page)
		return w.Result(), nil
	}
	a.mu.Lock()
	a.other = append(a.other, r.URL.String())
	a.mu.Unlock()
	w.WriteHeader(http.StatusNotFound)
	return w.Result(), nil
}

const address = "http://report.test/"

// reader drives a browser tab as a reader of the report would.
type reader struct {
	t   *testing.T
	ctx context.Context
	tab *browser.Tab
}

func (r reader) do(actions ...chromedp.Action) {
	r.t.Helper()
	if err := r.tab.Do(r.ctx, actions...); err != nil {
		r.t.Fatal(err)
	}
}

// prefers returns an action that sets the reader's preference for dark or light pages.
func prefers(dark bool) chromedp.Action {
	scheme := map[bool]string{false: "light", true: "dark"}[dark]
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}})
}

// is evaluates JavaScript in the page and returns the value.
func is[T any](r reader, script string) (value T) {
	r.t.Helper()
	if err := r.tab.Run(r.ctx, chromedp.Evaluate(script, &value, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) })); err != nil {
		r.t.Fatal(err)
	}
	return value
}

// violation is an accessibility problem found by axe-core.
type violation struct {
	Impact, Help, Nodes string
}

const violations = `axe.run().then(r => r.violations.map(v => ({Impact: v.impact, Help: v.help, Nodes: v.nodes.slice(0, 3).map(n => n.target.join(' ') + ' ' + n.failureSummary).join('; ')})))`

// axeCore installs and returns the version of axe-core that tools/axe pins.
func axeCore(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		need.Debian(t, "npm")
	}
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("../../tools/axe", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("install the pinned axe-core: %v: %s", err, out)
	}
	script, err := os.ReadFile(filepath.Join(dir, "node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

const visible = `(selector => [...document.querySelectorAll(selector)].filter(e => e.checkVisibility()).length)`

func TestThePageOfAReportIsGoodToReadInARealBrowser(t *testing.T) {
	need.Root(t, "starting a real browser in a container")
	chromium := browsertest.Start(t, "../..")
	pages := map[bool][]byte{}
	for _, broken := range []bool{false, true} {
		dir := filepath.Join(t.TempDir(), "report")
		if err := made(t, broken).Write(dir, func(s string) string { return s }); err != nil {
			t.Fatal(err)
		}
		var err error
		if pages[broken], err = os.ReadFile(filepath.Join(dir, "index.html")); err != nil {
			t.Fatal(err)
		}
	}
	read := func(t *testing.T, broken bool, window ...chromedp.Action) reader {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		t.Cleanup(cancel)
		served := &alone{page: pages[broken]}
		tab, closeTab, err := browser.Open(ctx, chromium, served)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(closeTab)
		r := reader{t, ctx, tab}
		if err := errors.Join(tab.Run(ctx, window...), tab.Visit(ctx, address)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			p, err := tab.Inspect(context.WithoutCancel(t.Context()))
			if err != nil || len(p.Console)+len(p.Failed) > 0 || p.Title == "broken into" {
				t.Errorf("%v, title %q, console %q, failed %q", err, p.Title, p.Console, p.Failed)
			}
			served.mu.Lock()
			defer served.mu.Unlock()
			if len(served.other) > 0 {
				t.Errorf("the page is not alone: it asked for %q", served.other)
			}
		})
		return r
	}

	axe := axeCore(t)
	for _, width := range []int64{1280, 768, 390, 320} {
		for _, dark := range []bool{false, true} {
			for _, broken := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d wide, dark %t, broken %t", width, dark, broken), func(t *testing.T) {
					r := read(t, broken, emulation.SetDeviceMetricsOverride(width, 800, 1, false), prefers(dark))
					if got := is[int64](r, `document.documentElement.scrollWidth`); got > width {
						t.Errorf("it is %d wide; too wide are %s", got, is[string](r, fmt.Sprintf(
							`[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > %d).map(e => e.tagName + '.' + e.className).slice(0, 5).join(', ')`, width)))
					}
					word := "passed"
					if broken {
						word = "failed"
					}
					if got := is[string](r, `(() => { const h = document.querySelector('h1'), b = h.getBoundingClientRect(); return b.top >= 0 && b.bottom <= innerHeight ? h.textContent.trim() : 'not in the window' })()`); got != word {
						t.Errorf("the verdict is %q, want %q", got, word)
					}
					ground := is[string](r, `getComputedStyle(document.body).backgroundColor`)
					if luminance(t, ground) < 0.5 != dark {
						t.Errorf("the ground is %s", ground)
					}
					r.do(chromedp.Evaluate(`for (const details of document.querySelectorAll('details')) details.open = true`, nil), chromedp.Evaluate(axe, nil))
					for _, v := range is[[]violation](r, violations) {
						if v.Impact == "serious" || v.Impact == "critical" {
							t.Errorf("axe-core: %s: %s: %s", v.Impact, v.Help, v.Nodes)
						}
					}
				})
			}
		}
	}

	t.Run("every section has what it is about", func(t *testing.T) {
		r := read(t, false)
		for section, texts := range map[string][]string{
			"overview":   {platform, "129.7 MB", "7.5 s to the first page", "553.0 MB", "2 of 2 checks", digest(3), digest(1), digest(6), "4.7.3"},
			"pages":      {"a browser shows the log-in page"},
			"pipeline":   {"base", "build linux/amd64", "3 min 00 s"},
			"boot":       {"svc-netbox is the slowest of 3 services: 6.8 s", "Critical path: init-services → svc-netbox"},
			"graph":      {platform + " and linux/arm64", "as documented"},
			"checks":     {"see-login", "POST /api/dcim/sites/", "1500", "alert(1)"},
			"size":       {"base 36.0 MB", "2 layers"},
			"packages":   {"django", "6.0.1", "linux-amd64.spdx.json", "out of date by 1 package:"},
			"difference": {"left-pad", "6.0", "+0.70 MB", "1 commit", "it has no list"},
			"tags":       {"registry.example.com/a/rather/long/name/of/netbox:v4.7.3-ls12", "12 blobs", "503 Service Unavailable"},
			"logs":       {"netbox-linux-amd64.log", "7 lines, 1 error, 2 warnings"},
		} {
			text := is[string](r, fmt.Sprintf(`document.getElementById(%q).innerText.replace(/\s+/g, ' ')`, section))
			for _, want := range texts {
				if !strings.Contains(text, want) {
					t.Errorf("%s does not say %q:\n%s", section, want, text)
				}
			}
			if links := is[int](r, fmt.Sprintf(`document.querySelectorAll('nav a[href="#%s"]').length`, section)); links != 1 {
				t.Errorf("%d links to %s", links, section)
			}
		}
		if got := is[[]string](r, `[...document.querySelectorAll('#boot .critical .name')].map(e => e.textContent)`); !slices.Equal(got, []string{"init-services", "svc-netbox", "init-services", "svc-netbox"}) {
			t.Errorf("on the critical path are %q", got)
		}
	})
	t.Run("a failed run says first what broke and what to do", func(t *testing.T) {
		r := read(t, true)
		text := is[string](r, `document.getElementById('verdict').innerText`)
		for _, want := range []string{"boot linux/amd64", "unable to start service svc-netbox", "the lead is missing", "Read logs/netbox-linux-amd64.log in the report, up to line 5."} {
			if !strings.Contains(text, want) {
				t.Errorf("the top does not say %q:\n%s", want, text)
			}
		}
		if strings.Contains(text, "connection refused") {
			t.Error("what came after the line that broke it is shown with it")
		}
		r.do(chromedp.Evaluate(`document.querySelectorAll('details.log').forEach(d => d.open = false)`, nil),
			chromedp.Click(`.next a`, chromedp.ByQuery), chromedp.Sleep(100*time.Millisecond))
		if !is[bool](r, `(d => d.open && d.getBoundingClientRect().top < innerHeight)(document.getElementById('log-netbox-linux-amd64'))`) {
			t.Error("the link does not lead to the log")
		}
		for _, want := range []string{"not as documented", "svc-extra"} {
			if text := is[string](r, `document.getElementById('graph').innerText`); !strings.Contains(text, want) {
				t.Errorf("the graph does not say %q:\n%s", want, text)
			}
		}
		if got := is[string](r, `document.querySelector('#boot .failed .name').textContent + ' ' + document.querySelector('#boot .failed .took').textContent`); got != "svc-netbox never ready" {
			t.Errorf("the service that never came up is %q", got)
		}
	})
	t.Run("logs are searched and filtered", func(t *testing.T) {
		r := read(t, false)
		expect := func(what string, lines int, count string) {
			t.Helper()
			if got := is[int](r, visible+`('.log .lines > div')`); got != lines {
				t.Errorf("%s: %d lines are shown, want %d", what, got, lines)
			}
			if got := is[string](r, `document.getElementById('log-count').textContent`); got != count {
				t.Errorf("%s: the count is %q, want %q", what, got, count)
			}
		}
		expect("at first all logs are folded", 0, "")
		r.do(chromedp.SetValue("#log-level", "2"), chromedp.Evaluate(`document.getElementById('log-level').dispatchEvent(new Event('input'))`, nil))
		expect("errors", 2, "2 of 9 lines")
		r.do(chromedp.SendKeys("#log-search", "DATABASE"))
		expect("errors with a word", 1, "1 of 9 lines")
		r.do(chromedp.SetValue("#log-level", "0"), chromedp.Evaluate(`document.getElementById('log-level').dispatchEvent(new Event('input'))`, nil))
		expect("all lines with a word", 2, "2 of 9 lines")
		r.do(chromedp.SendKeys("#log-search", strings.Repeat("\b", len("DATABASE"))))
		expect("all again", 9, "")
	})
	t.Run("packages are searched", func(t *testing.T) {
		r := read(t, false)
		rows := visible + `('#package-table tbody tr')`
		if got := is[int](r, rows); got != 3 {
			t.Errorf("%d packages, want 3", got)
		}
		r.do(chromedp.SendKeys(`[data-filters]`, "Python", chromedp.ByQuery))
		if got := is[int](r, rows); got != 1 {
			t.Errorf("%d packages found, want 1", got)
		}
	})
	t.Run("a picture is shown large", func(t *testing.T) {
		r := read(t, false)
		r.do(chromedp.ScrollIntoView(".zoom", chromedp.ByQuery), chromedp.Click(".zoom", chromedp.ByQuery))
		if !is[bool](r, `document.getElementById('picture').open && document.querySelector('#picture img').naturalWidth === 1280`) {
			t.Error("it is not")
		}
		r.do(chromedp.Click("#picture button", chromedp.ByQuery))
		if is[bool](r, `document.getElementById('picture').open`) {
			t.Error("it does not close")
		}
	})
	t.Run("it prints, all of it", func(t *testing.T) {
		r := read(t, false, prefers(true))
		var pdf []byte
		r.do(chromedp.ActionFunc(func(ctx context.Context) (err error) {
			pdf, _, err = page.PrintToPDF().WithPrintBackground(true).Do(ctx)
			return err
		}))
		if !bytes.HasPrefix(pdf, []byte("%PDF-")) || bytes.Count(pdf, []byte("/Type /Page\n")) < 2 {
			t.Errorf("a PDF of %d bytes and %d pages", len(pdf), bytes.Count(pdf, []byte("/Type /Page\n")))
		}
		r.do(emulation.SetEmulatedMedia().WithMedia("print"))
		if got := is[int](r, visible+`('nav, .filters')`); got != 0 {
			t.Errorf("%d things to click on are printed", got)
		}
		if ground := is[string](r, `getComputedStyle(document.body).backgroundColor`); luminance(t, ground) < 0.9 {
			t.Errorf("it is printed on %s", ground)
		}
		r.do(chromedp.Evaluate(`dispatchEvent(new Event('beforeprint'))`, nil))
		if got := is[int](r, `document.querySelectorAll('details:not([open]):not(.log)').length`); got != 0 {
			t.Errorf("%d parts are folded in print", got)
		}
	})
	t.Run("without scripts it shows all it has", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		tab, closeTab, err := browser.Open(ctx, chromium, &alone{page: pages[true]})
		if err != nil {
			t.Fatal(err)
		}
		defer closeTab()
		if err := tab.Do(ctx, emulation.SetScriptExecutionDisabled(true)); err != nil {
			t.Fatal(err)
		}
		if err := tab.Visit(ctx, address); err != nil {
			t.Fatal(err)
		}
		if p, err := tab.Inspect(ctx); err != nil || p.Check("failed", "the lead is missing", "Request", "django") != nil {
			t.Errorf("%v, %v", err, p.Check("failed", "the lead is missing", "Request", "django"))
		}
	})
}

// luminance returns the relative luminance, from 0 to 1, of a colour in the notation
// of browsers, as defined by WCAG 2.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	var c [3]float64
	if _, err := fmt.Sscanf(strings.NewReplacer("rgba(", "", "rgb(", "", ",", " ", ")", "").Replace(colour), "%f %f %f", &c[0], &c[1], &c[2]); err != nil {
		t.Fatalf("read the colour %q: %v", colour, err)
	}
	for i, v := range c {
		if v /= 255; v <= 0.04045 {
			c[i] = v / 12.92
		} else {
			c[i] = math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return 0.2126*c[0] + 0.7152*c[1] + 0.0722*c[2]
}
