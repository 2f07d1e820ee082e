package main

import (
	"bytes"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// ready waits for the log-in page.
func (p *probe) ready(t *checkRun) string {
	return p.retry(t, func(t *checkRun) string {
		p.loginPage = t.send(get("/login/"), http.StatusOK).body
		t.expect(csrfField.Match(p.loginPage), "200, but a page without a log-in form")
		return "200"
	})
}

var (
	csrfField = regexp.MustCompile(`name="csrfmiddlewaretoken"\s+value="([^"]+)"`)
	asset     = regexp.MustCompile(`(?s)<(?:link|script|img)\b[^>]*?\s(?:href|src)="([^"]+)"`)
)

// types maps a file extension to its allowed content types.
var types = map[string][]string{
	".css": {"text/css"},
	".js":  {"text/javascript", "application/javascript"},
	".svg": {"image/svg+xml"},
	".png": {"image/png"},
	".ico": {"image/x-icon", "image/vnd.microsoft.icon"},
}

// static fetches the static files that the log-in page refers to.
func (p *probe) static(t *checkRun) string {
	seen := map[string]int{}
	files := map[string]bool{}
	for _, m := range asset.FindAllSubmatch(p.loginPage, -1) {
		ref := html.UnescapeString(string(m[1]))
		if files[ref] {
			continue
		}
		files[ref] = true
		t.describe("the log-in page's " + ref)
		u, err := url.Parse(ref)
		if !t.expect(err == nil, "no address: %v", err) || !t.expect(strings.HasPrefix(u.Path, "/static/"), "an address not under /static/") {
			return ""
		}
		ext := path.Ext(u.Path)
		seen[ext]++
		r := t.send(get(ref), http.StatusOK)
		want, known := types[ext]
		t.expect(!known || slices.Contains(want, r.media()), "200, but type %q instead of %s", r.media(), strings.Join(want, " or "))
		if !t.expect(len(r.body) > 0, "200, but an empty file") {
			return ""
		}
	}
	t.describe(fmt.Sprintf("GET each of the log-in page's %d static files", len(files)))
	t.expect(seen[".css"] > 0 && seen[".js"] > 0 && seen[".svg"] > 0,
		"a page with %d style sheets, %d scripts and %d logos; each must be there", seen[".css"], seen[".js"], seen[".svg"])
	return "200 and the right type for each"
}

// wrongHost requests a host that ALLOWED_HOST does not name.
func (p *probe) wrongHost(t *checkRun) string {
	q := get("/login/").withNote("of host " + smoke.RefusedHost)
	q.header = map[string]string{"Host": smoke.RefusedHost}
	t.send(q, http.StatusBadRequest)
	return "400"
}

// submit submits the log-in form in a new session, which t keeps using.
func (p *probe) submit(t *checkRun, password string) reply {
	t.web = p.web.session()
	m := csrfField.FindSubmatch(t.send(get("/login/"), http.StatusOK).body)
	if !t.expect(m != nil, "200, but a page without a CSRF token") {
		return reply{}
	}
	form := url.Values{"csrfmiddlewaretoken": {string(m[1])}, "username": {p.user}, "password": {password}}
	q := request{
		method: http.MethodPost, path: "/login/", body: []byte(form.Encode()),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	}
	if password != p.password {
		q = q.withNote("with a wrong password")
	}
	return t.send(q)
}

func (p *probe) wrongPassword(t *checkRun) string {
	r := p.submit(t, p.password+"-wrong")
	// NetBox shows the form again, with an error message.
	t.expect(r.status == http.StatusOK && alert.Match(r.body), "%s", r.summary())
	t.send(get("/").withNote("with a wrong password"), http.StatusFound)
	return "the form again, and no way in"
}

func (p *probe) login(t *checkRun) string {
	r := p.submit(t, p.password)
	t.expect(r.status != http.StatusOK, "the form again: %s", explain(r.media(), r.body))
	t.expect(r.status == http.StatusFound, "%s", r.summary())
	home := t.send(get("/"), http.StatusOK)
	t.expect(bytes.Contains(home.body, fmt.Appendf(nil, `data-netbox-user-name="%s"`, html.EscapeString(p.user))), "200, but a page that does not know %s", p.user)
	p.session = t.web
	return fmt.Sprintf("302, then the dashboard of %s", p.user)
}

// hide masks the password and the token in printed texts.
func (p *probe) hide(s string) string {
	return strings.NewReplacer(p.password, "***", p.bearer, "***").Replace(s)
}
