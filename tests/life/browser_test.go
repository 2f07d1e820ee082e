package life

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser sends requests to NetBox as a web browser does. It keeps cookies but does not
// follow redirects.
type browser struct {
	t      *testing.T
	base   string            // scheme, host and BASE_PATH, without a trailing slash
	host   string            // the Host header; when empty, the host of base
	header map[string]string // sent with every request
	client *http.Client
}

// browse returns a browser in the network. trusted contains the authorities whose
// certificates it accepts; nil without TLS.
func (w *world) browse(base string, trusted *x509.CertPool) *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{t: w.t, base: base, header: map[string]string{}, client: &http.Client{
		Jar:     jar,
		Timeout: 30 * time.Second,
		Transport: &http.Transport{
			DialContext: w.pod.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: trusted},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// ask sends a request. A path is resolved under base, a full URL is used unchanged.
func (b *browser) ask(method, address, contentType string, body []byte) response {
	b.t.Helper()
	if !strings.Contains(address, "://") {
		address = b.base + address
	}
	req, err := http.NewRequestWithContext(context.WithoutCancel(b.t.Context()), method, address, bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Host = b.host
	req.Header.Set("Accept", "text/html,application/json;q=0.9")
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	if method != http.MethodGet {
		origin := req.URL.Scheme + "://" + req.URL.Host
		req.Header.Set("Origin", origin)
		req.Header.Set("Referer", origin+"/")
	}
	for name, value := range b.header {
		req.Header.Set(name, value)
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return response{res.StatusCode, res.Header, text}
}

func (b *browser) get(path string) response {
	b.t.Helper()
	return b.ask(http.MethodGet, path, "", nil)
}

var formToken = regexp.MustCompile(`name="csrfmiddlewaretoken" value="([^"]+)"`)

// logIn submits the log-in form.
func (b *browser) logIn(user, password string) response {
	b.t.Helper()
	page := b.get("/login/")
	token := formToken.FindSubmatch(page.body)
	if page.status != http.StatusOK || token == nil {
		b.t.Fatalf("the log-in page answers %d and has a form token: %t: %.300s", page.status, token != nil, page.body)
	}
	form := url.Values{"csrfmiddlewaretoken": {string(token[1])}, "username": {user}, "password": {password}, "next": {"/"}}
	return b.ask(http.MethodPost, "/login/", "application/x-www-form-urlencoded", []byte(form.Encode()))
}

// who returns the name of the user that the browser is logged in as, empty when it is
// not logged in.
func (b *browser) who() string {
	b.t.Helper()
	page := b.get("/user/profile/")
	switch name := regexp.MustCompile(`(?s)Username</th>\s*<td>\s*([^<]*?)\s*</td>`).FindSubmatch(page.body); {
	case page.status == http.StatusFound && strings.Contains(page.header.Get("Location"), "/login/"):
		return ""
	case page.status == http.StatusOK && name != nil:
		return string(name[1])
	}
	b.t.Fatalf("the profile page answers %d: %.2000s", page.status, page.body)
	return ""
}

// mustLogIn logs in and checks that NetBox then shows the user's name.
func (b *browser) mustLogIn(user, password string) {
	b.t.Helper()
	res := b.logIn(user, password)
	if res.status != http.StatusFound {
		b.t.Fatalf("logging in as %s: %d, want a redirect: %s", user, res.status, complaint(res))
	}
	if got := b.who(); got != user {
		b.t.Fatalf("after logging in as %s NetBox takes the browser for %q", user, got)
	}
}

// complaint returns the error text of a page without its markup.
func complaint(res response) string {
	text := regexp.MustCompile(`(?s)<(script|style)\b.*?</(script|style)>|<[^>]*>`).ReplaceAllString(string(res.body), " ")
	return fmt.Sprintf("%.400s", strings.Join(strings.Fields(text), " "))
}

// decoded checks the status of a response and returns its JSON object.
func decoded(t *testing.T, want int, res response) map[string]any {
	t.Helper()
	var got map[string]any
	if err := json.Unmarshal(res.body, &got); err != nil || res.status != want {
		t.Fatalf("the answer is %d, %v, want %d: %.300s", res.status, err, want, res.body)
	}
	return got
}
