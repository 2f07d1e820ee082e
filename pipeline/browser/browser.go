// Package browser opens web pages in a real headless Chromium, over its
// debugging port, and checks that each shows a page and not an error or a blank.
//
// The browser runs where it cannot reach the pages, in a container of its own: a
// tab sends all its requests through an http.RoundTripper.
package browser

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/fetch"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

// quiet is how long nothing may be on its way for a page to count as loaded.
const quiet = 500 * time.Millisecond

// Tab is one tab of a browser, with cookies of its own.
type Tab struct {
	ctx     context.Context // chromedp's: it holds the tab
	through http.RoundTripper

	mu       sync.Mutex
	pending  map[network.RequestID]string // by address
	since    time.Time                    // nothing is pending from then on
	document network.RequestID            // the page itself
	status   int64
	failed   []string
	console  []string
}

// Open opens a tab in the browser that is debugged at address, a host and a
// port. Its requests go through a RoundTripper. close closes it.
func Open(ctx context.Context, address string, through http.RoundTripper) (tab *Tab, close func(), err error) {
	// Chromium wants to be asked by address, and of a name's addresses one may
	// not answer.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the browser: %w", err)
	}
	address = conn.RemoteAddr().String()
	conn.Close()
	ctx, cancelBrowser := chromedp.NewRemoteAllocator(ctx, "ws://"+address)
	first, cancelTab := chromedp.NewContext(ctx)
	// A browser context of its own: cookies are not shared with other tabs.
	own, cancelOwn := chromedp.NewContext(first, chromedp.WithNewBrowserContext())
	close = func() { cancelOwn(); cancelTab(); cancelBrowser() }
	if err := chromedp.Run(first); err != nil {
		close()
		return nil, nil, fmt.Errorf("reach the browser at %s: %w", address, err)
	}
	t := &Tab{ctx: own, through: through, pending: map[network.RequestID]string{}, since: time.Now()}
	chromedp.ListenTarget(own, t.follow)
	err = chromedp.Run(own, network.Enable(), runtime.Enable(), log.Enable(), page.Enable(), fetch.Enable(),
		emulation.SetDeviceMetricsOverride(1280, 800, 1, false))
	if err != nil {
		close()
		return nil, nil, fmt.Errorf("open a tab in the browser at %s: %w", address, err)
	}
	return t, close, nil
}

// follow notes what the tab does.
func (t *Tab) follow(event any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type == network.ResourceTypeDocument && e.RequestID == network.RequestID(e.LoaderID) {
			t.document, t.status = e.RequestID, 0
		}
		t.pending[e.RequestID] = e.Request.URL
	case *network.EventResponseReceived:
		if e.RequestID == t.document {
			t.status = e.Response.Status
		}
	case *network.EventLoadingFinished:
		t.done(e.RequestID)
	case *network.EventLoadingFailed:
		if !e.Canceled && t.pending[e.RequestID] != "" {
			t.fail(e.ErrorText, t.pending[e.RequestID])
		}
		t.done(e.RequestID)
	case *fetch.EventRequestPaused:
		go t.answer(e)
	case *runtime.EventExceptionThrown:
		text := e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
		t.console = append(t.console, linebuf.First(text))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeAssert {
			var words []string
			for _, a := range e.Args {
				words = append(words, strings.Trim(string(a.Value), `"`)+a.Description)
			}
			t.console = append(t.console, linebuf.First(strings.Join(words, " ")))
		}
	case *log.EventEntryAdded:
		// What it says of a site without TLS is no error of the page's.
		if e.Entry.Level == log.LevelError && !strings.Contains(e.Entry.Text, "origin was untrustworthy") {
			t.console = append(t.console, linebuf.First(e.Entry.Text+" "+e.Entry.URL))
		}
	}
}

// fail notes what the page did not get, once.
func (t *Tab) fail(why, url string) {
	if text := why + " for " + url; !slices.Contains(t.failed, text) {
		t.failed = append(t.failed, text)
	}
}

func (t *Tab) done(id network.RequestID) {
	delete(t.pending, id)
	t.since = time.Now()
}

// answer asks for what the browser wants and hands it over.
func (t *Tab) answer(e *fetch.EventRequestPaused) {
	err := func() error {
		body := ""
		for _, part := range e.Request.PostDataEntries {
			data, err := base64.StdEncoding.DecodeString(part.Bytes)
			if err != nil {
				return err
			}
			body += string(data)
		}
		req, err := http.NewRequestWithContext(t.ctx, e.Request.Method, e.Request.URL, strings.NewReader(body))
		if err != nil {
			return err
		}
		for name, value := range e.Request.Headers {
			if text, ok := value.(string); ok && !strings.EqualFold(name, "Accept-Encoding") { // Go asks for gzip itself
				req.Header.Set(name, text)
			}
		}
		res, err := t.through.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if res.StatusCode >= 400 && e.ResourceType != network.ResourceTypeDocument {
			t.mu.Lock()
			t.fail(fmt.Sprint(res.StatusCode), e.Request.URL)
			t.mu.Unlock()
		}
		data, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		var headers []*fetch.HeaderEntry
		for name, values := range res.Header {
			if name == "Content-Length" || name == "Transfer-Encoding" {
				continue
			}
			for _, value := range values {
				headers = append(headers, &fetch.HeaderEntry{Name: name, Value: value})
			}
		}
		return chromedp.Run(t.ctx, fetch.FulfillRequest(e.RequestID, int64(res.StatusCode)).
			WithResponseHeaders(headers).WithBody(base64.StdEncoding.EncodeToString(data)))
	}()
	if err != nil {
		// A tab that is being closed needs no answer.
		_ = chromedp.Run(t.ctx, fetch.FailRequest(e.RequestID, network.ErrorReasonConnectionFailed))
	}
}

// Do acts on the page and waits until it has loaded what that made it load.
func (t *Tab) Do(ctx context.Context, actions ...chromedp.Action) error {
	if err := t.Run(ctx, actions...); err != nil {
		return err
	}
	// What a click brings about begins a moment after it: until then the old
	// page is at rest.
	t.mu.Lock()
	t.since = time.Now()
	t.mu.Unlock()
	return t.settle(ctx)
}

// Visit goes to an address and waits until the page there has loaded.
func (t *Tab) Visit(ctx context.Context, url string) error {
	t.mu.Lock()
	t.failed, t.console, t.document, t.status = nil, nil, "", 0
	t.mu.Unlock()
	return t.Do(ctx, chromedp.ActionFunc(func(ctx context.Context) error {
		_, _, text, _, err := page.Navigate(url).Do(ctx)
		if err == nil && text != "" {
			err = fmt.Errorf("open %s: %s", url, text)
		}
		return err
	}))
}

// Run acts on the page as it is, without waiting for what comes of it.
func (t *Tab) Run(ctx context.Context, actions ...chromedp.Action) error {
	both, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	err := chromedp.Run(both, actions...)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("the page does not get that far: %w", context.Cause(ctx))
	}
	return err
}

// settle waits until the page is loaded and nothing has been on its way for a
// while.
func (t *Tab) settle(ctx context.Context) error {
	for {
		var state string
		if err := t.Run(ctx, chromedp.Evaluate(`document.readyState`, &state)); err != nil && ctx.Err() != nil {
			return t.late(ctx)
		}
		t.mu.Lock()
		still := state == "complete" && len(t.pending) == 0 && time.Since(t.since) >= quiet
		t.mu.Unlock()
		if still {
			return nil
		}
		select {
		case <-ctx.Done():
			return t.late(ctx)
		case <-time.After(quiet / 10):
		}
	}
}

// late says what a page still waits for.
func (t *Tab) late(ctx context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, url := range t.pending {
		return fmt.Errorf("the page still waits for %s: %w", url, context.Cause(ctx))
	}
	return fmt.Errorf("the page keeps loading: %w", context.Cause(ctx))
}

// Page is what a tab shows.
type Page struct {
	URL     string
	Status  int64 // of the page itself; 0 when it has none
	Title   string
	Text    string // that can be seen
	Picture []byte // PNG of the window
	// Failed is what the page asked for and did not get, Console the errors
	// that its scripts met; since the last Visit.
	Failed, Console []string
}

// Look reports what the tab shows.
func (t *Tab) Look(ctx context.Context) (p Page, err error) {
	err = t.Run(ctx,
		chromedp.Location(&p.URL), chromedp.Title(&p.Title),
		chromedp.Evaluate(`document.body ? document.body.innerText : ""`, &p.Text),
		chromedp.CaptureScreenshot(&p.Picture))
	t.mu.Lock()
	defer t.mu.Unlock()
	p.Status, p.Failed, p.Console = t.status, slices.Clone(t.failed), slices.Clone(t.console)
	if err != nil {
		return p, fmt.Errorf("look at the page: %w", err)
	}
	if len(p.Picture) == 0 {
		return p, errors.New("look at the page: the browser returned no picture")
	}
	return p, nil
}
