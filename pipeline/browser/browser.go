// Package browser opens web pages in a real headless Chromium, through its debugging
// port, and checks that they show neither an error nor a blank page.
//
// The browser runs in its own container, which cannot reach the pages: a tab sends
// all its requests through an http.RoundTripper.
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

// quiet is how long a page must have no pending request to count as loaded.
const quiet = 500 * time.Millisecond

// Tab is one tab of a browser, with its own cookies.
type Tab struct {
	ctx       context.Context // chromedp's: it holds the tab
	transport http.RoundTripper

	mu       sync.Mutex
	pending  map[network.RequestID]string // URLs of pending requests
	since    time.Time                    // time of the last finished request or action
	document network.RequestID            // the request of the page itself
	status   int64
	failed   []string
	console  []string
}

// Open opens a tab in the browser whose debugging port is at address, a host and a
// port. The tab's requests go through a RoundTripper. close closes the tab.
func Open(ctx context.Context, address string, transport http.RoundTripper) (tab *Tab, close func(), err error) {
	// Chromium accepts only requests to an IP address. A name may have several, and
	// some may not answer.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, nil, fmt.Errorf("reach the browser: %w", err)
	}
	address = conn.RemoteAddr().String()
	conn.Close()
	ctx, cancelBrowser := chromedp.NewRemoteAllocator(ctx, "ws://"+address)
	first, cancelTab := chromedp.NewContext(ctx)
	// A new browser context: cookies are not shared with other tabs.
	tabCtx, cancelTabCtx := chromedp.NewContext(first, chromedp.WithNewBrowserContext())
	close = func() { cancelTabCtx(); cancelTab(); cancelBrowser() }
	if err := chromedp.Run(first); err != nil {
		close()
		return nil, nil, fmt.Errorf("reach the browser at %s: %w", address, err)
	}
	t := &Tab{ctx: tabCtx, transport: transport, pending: map[network.RequestID]string{}, since: time.Now()}
	chromedp.ListenTarget(tabCtx, t.follow)
	err = chromedp.Run(tabCtx, network.Enable(), runtime.Enable(), log.Enable(), page.Enable(), fetch.Enable(),
		emulation.SetDeviceMetricsOverride(1280, 800, 1, false))
	if err != nil {
		close()
		return nil, nil, fmt.Errorf("open a tab in the browser at %s: %w", address, err)
	}
	return t, close, nil
}

// follow records an event of the tab.
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
		// The warning about a site without TLS is not an error of the page.
		if e.Entry.Level == log.LevelError && !strings.Contains(e.Entry.Text, "origin was untrustworthy") {
			t.console = append(t.console, linebuf.First(e.Entry.Text+" "+e.Entry.URL))
		}
	}
}

// fail records a failed request of the page, once for each URL and reason.
func (t *Tab) fail(why, url string) {
	if text := why + " for " + url; !slices.Contains(t.failed, text) {
		t.failed = append(t.failed, text)
	}
}

func (t *Tab) done(id network.RequestID) {
	delete(t.pending, id)
	t.since = time.Now()
}

// answer sends a request of the browser through the RoundTripper and returns the
// response to the browser.
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
		res, err := t.transport.RoundTrip(req)
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
		// This fails only for a tab that is being closed, which needs no answer.
		_ = chromedp.Run(t.ctx, fetch.FailRequest(e.RequestID, network.ErrorReasonConnectionFailed))
	}
}

// Do runs actions on the page and waits until the page has loaded again.
func (t *Tab) Do(ctx context.Context, actions ...chromedp.Action) error {
	if err := t.Run(ctx, actions...); err != nil {
		return err
	}
	// A click takes a moment to cause a request: until then the old page looks
	// loaded.
	t.mu.Lock()
	t.since = time.Now()
	t.mu.Unlock()
	return t.waitLoaded(ctx)
}

// Visit opens a URL and waits until the page has loaded.
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

// Run runs actions on the page without waiting for it to load.
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

// waitLoaded waits until the page is loaded and has had no pending request for a
// while.
func (t *Tab) waitLoaded(ctx context.Context) error {
	for {
		var state string
		if err := t.Run(ctx, chromedp.Evaluate(`document.readyState`, &state)); err != nil && ctx.Err() != nil {
			return t.timeoutError(ctx)
		}
		t.mu.Lock()
		idle := state == "complete" && len(t.pending) == 0 && time.Since(t.since) >= quiet
		t.mu.Unlock()
		if idle {
			return nil
		}
		select {
		case <-ctx.Done():
			return t.timeoutError(ctx)
		case <-time.After(quiet / 10):
		}
	}
}

// timeoutError returns the error of a page that does not finish loading.
func (t *Tab) timeoutError(ctx context.Context) error {
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
	Text    string // visible text
	Picture []byte // PNG of the window
	// Failed lists the page's failed requests, Console the errors of its scripts,
	// both since the last Visit.
	Failed, Console []string
}

// Inspect returns what the tab shows.
func (t *Tab) Inspect(ctx context.Context) (p Page, err error) {
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
