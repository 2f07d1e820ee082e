package browser_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/linuxserver/docker-netbox/pipeline/browser"
	"github.com/linuxserver/docker-netbox/pipeline/browser/browsertest"
)

// site answers the requests of a tab without a network.
type site struct{ http.Handler }

func (s site) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Result(), nil
}

func page(title, body string) string {
	return fmt.Sprintf(`<!doctype html><title>%s</title><link rel="icon" href="data:,"><body style="margin:0;background:linear-gradient(red,blue)">%s`, title, body)
}

const words = "<h1>Sites of this company</h1><p>There are seven of them, on three continents.</p>"

func pages() http.Handler {
	mux := http.NewServeMux()
	serve := func(path string, status int, body string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		})
	}
	serve("/good", 200, page("Good", words))
	serve("/late", 200, page("Late", `<script>setTimeout(() => fetch('/more').then(r => r.text()).then(t => document.body.innerHTML = t), 200)</script>`))
	serve("/more", 200, words)
	serve("/error", 500, page("Server Error", words))
	serve("/untitled", 200, page("", words))
	serve("/empty", 200, page("Empty", ""))
	serve("/white", 200, `<!doctype html><title>White</title><link rel="icon" href="data:,"><body style="color:#fff">`+words)
	serve("/bare", 200, page("Bare", words+`<link rel="stylesheet" href="/gone.css">`))
	serve("/broken", 200, page("Broken", words+`<script>nothing()</script>`))
	serve("/stuck", 200, page("Stuck", words+`<img src="/never">`))
	mux.HandleFunc("GET /never", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	serve("/form", 200, page("Form", `<form method="post" action="/in"><input name="who"><button>go</button></form>`))
	mux.HandleFunc("POST /in", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "who", Value: r.PostFormValue("who"), HttpOnly: true})
		http.Redirect(w, r, "/me", http.StatusFound)
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		who, err := r.Cookie("who")
		if err != nil {
			http.Error(w, "nobody", http.StatusForbidden)
			return
		}
		fmt.Fprint(w, page("Me", words+"You are "+who.Value))
	})
	return mux
}

func TestARealBrowserTellsPagesFromErrorsAndBlanks(t *testing.T) {
	address := browsertest.Start(t, "../..")
	tab, closeTab, err := browser.Open(t.Context(), address, site{pages()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeTab()
	look := func(t *testing.T, path string) browser.Page {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if err := tab.Visit(ctx, "http://netbox.test:8000"+path); err != nil {
			t.Fatal(err)
		}
		p, err := tab.Inspect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, test := range []struct{ path, wrong string }{
		{"/good", ""},
		{"/late", ""},
		{"/error", `it is an error page: status 500, title "Server Error"`},
		{"/nowhere", "it is an error page: status 404"},
		{"/untitled", "it has no title"},
		{"/empty", "it is blank: it shows 0 characters"},
		{"/white", "it is blank: 100.0 % of its picture has one colour"},
		{"/bare", "1 of its files did not load: 404 for http://netbox.test:8000/gone.css"},
	} {
		t.Run(test.path, func(t *testing.T) {
			p := look(t, test.path)
			err := p.Check()
			if test.wrong == "" && err != nil || test.wrong != "" && (err == nil || !strings.Contains(err.Error(), test.wrong)) {
				t.Errorf("%v, want %q; title %q, text %q", err, test.wrong, p.Title, p.Text)
			}
			size, err := png.DecodeConfig(bytes.NewReader(p.Picture))
			if err != nil || size.Width != 1280 || size.Height != 800 {
				t.Errorf("the picture is %d by %d: %v", size.Width, size.Height, err)
			}
		})
	}
	t.Run("a text that is wanted", func(t *testing.T) {
		p := look(t, "/good")
		if err := p.Check("seven of THEM"); err != nil {
			t.Error(err)
		}
		if err := p.Check("eight"); err == nil || !strings.Contains(err.Error(), `does not show "eight"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("errors of scripts", func(t *testing.T) {
		if p := look(t, "/broken"); len(p.Console) != 1 || !strings.Contains(p.Console[0], "nothing is not defined") {
			t.Errorf("console %q", p.Console)
		}
		if p := look(t, "/good"); len(p.Console) != 0 {
			t.Errorf("console of the next page %q", p.Console)
		}
	})
	t.Run("forms and cookies", func(t *testing.T) {
		look(t, "/form")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		if err := tab.Do(ctx, chromedp.SendKeys("input", "Sons&Co"), chromedp.Click("button")); err != nil {
			t.Fatal(err)
		}
		p, err := tab.Inspect(ctx)
		if err != nil || p.Check("You are Sons&Co") != nil || !strings.HasSuffix(p.URL, "/me") {
			t.Errorf("%v, %v at %s: %s", err, p.Check("You are Sons&Co"), p.URL, p.Text)
		}
		other, closeOther, err := browser.Open(ctx, address, site{pages()})
		if err != nil {
			t.Fatal(err)
		}
		defer closeOther()
		if err := other.Visit(ctx, "http://netbox.test:8000/me"); err != nil {
			t.Fatal(err)
		}
		if p, err := other.Inspect(ctx); err != nil || p.Status != 403 {
			t.Errorf("another tab has the cookie: %d, %v", p.Status, err)
		}
	})
	t.Run("a page that does not do what is waited for", func(t *testing.T) {
		look(t, "/good")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tab.Do(ctx, chromedp.WaitNotPresent("h1")); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the page does not get that far") {
			t.Errorf("got %v", err)
		}
		if p, err := tab.Inspect(t.Context()); err != nil || p.Check() != nil {
			t.Errorf("it cannot be looked at any more: %v, %v", err, p.Check())
		}
	})
	t.Run("a page that never comes to rest", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := tab.Visit(ctx, "http://netbox.test:8000/stuck"); err == nil || !strings.Contains(err.Error(), "still waits for http://netbox.test:8000/never") {
			t.Errorf("got %v", err)
		}
	})
}

func TestABrowserThatIsNotThereIsOneLine(t *testing.T) {
	_, _, err := browser.Open(t.Context(), "127.0.0.1:1", nil)
	if err == nil || !strings.Contains(err.Error(), "reach the browser: dial tcp 127.0.0.1:1: ") {
		t.Errorf("got %v", err)
	}
}

func TestShadesOfOneColourAreABlankPicture(t *testing.T) {
	good := browser.Page{Status: 200, Title: "t", Text: strings.Repeat("word ", 20)}
	for name, test := range map[string]struct {
		colour func(x, y int) color.Gray
		blank  bool
	}{
		"white":            {func(int, int) color.Gray { return color.Gray{255} }, true},
		"faint":            {func(x, y int) color.Gray { return color.Gray{uint8(240 + (x+y)%16)} }, true},
		"a dot":            {func(x, y int) color.Gray { return color.Gray{uint8(255 * min(1, x/99*y/99))} }, true},
		"a form on a page": {func(x, y int) color.Gray { return color.Gray{uint8(min(255, max(0, (x-80)*(y-80)*50)))} }, false},
	} {
		img := image.NewGray(image.Rect(0, 0, 100, 100))
		for y := range 100 {
			for x := range 100 {
				img.SetGray(x, y, test.colour(x, y))
			}
		}
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			t.Fatal(err)
		}
		p := good
		p.Picture = b.Bytes()
		if err := p.Check(); (err != nil) != test.blank {
			t.Errorf("%s: %v", name, err)
		}
	}
}
