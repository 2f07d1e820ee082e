package main

import (
	"bytes"
	"context"
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
func (p *probe) ready(ctx context.Context) smoke.Result {
	return p.until(ctx, func(ctx context.Context) smoke.Result {
		r := p.web.get(ctx, "/login/")
		if !r.is(http.StatusOK, nil) {
			return r.bad()
		}
		if !csrfField.Match(r.body) {
			return r.badf("200, but a page without a log-in form")
		}
		age, err := processAge(p.proc, 1)
		if err != nil {
			return r.badf("200, but no age of PID 1: %v", err)
		}
		p.loginPage, p.readySeconds = r.body, age.Seconds()
		return r.okf("200 at %.1f s of the container", age.Seconds())
	})
}

var (
	csrfField = regexp.MustCompile(`name="csrfmiddlewaretoken"\s+value="([^"]+)"`)
	asset     = regexp.MustCompile(`(?s)<(?:link|script|img)\b[^>]*?\s(?:href|src)="([^"]+)"`)
)

// types are the content types a file's name allows.
var types = map[string][]string{
	".css": {"text/css"},
	".js":  {"text/javascript", "application/javascript"},
	".svg": {"image/svg+xml"},
	".png": {"image/png"},
	".ico": {"image/x-icon", "image/vnd.microsoft.icon"},
}

// static fetches what the log-in page makes a browser fetch.
func (p *probe) static(ctx context.Context) smoke.Result {
	seen := map[string]int{}
	var files []string
	for _, m := range asset.FindAllSubmatch(p.loginPage, -1) {
		ref := html.UnescapeString(string(m[1]))
		page := reply{asked: "the log-in page's " + ref}
		u, err := url.Parse(ref)
		if err != nil {
			return page.badf("no address: %v", err)
		}
		if !strings.HasPrefix(u.Path, "/static/") {
			return page.badf("an address not under /static/")
		}
		if slices.Contains(files, ref) {
			continue
		}
		files = append(files, ref)
		ext := path.Ext(u.Path)
		seen[ext]++
		r := p.web.get(ctx, ref)
		want, known := types[ext]
		switch {
		case !r.is(http.StatusOK, nil):
			return r.bad()
		case known && !slices.Contains(want, r.media()):
			return r.badf("200, but type %q instead of %s", r.media(), strings.Join(want, " or "))
		case len(r.body) == 0:
			return r.badf("200, but an empty file")
		}
	}
	asked := reply{asked: fmt.Sprintf("GET each of the log-in page's %d static files", len(files))}
	if seen[".css"] == 0 || seen[".js"] == 0 || seen[".svg"] == 0 {
		return asked.badf("a page with %d style sheets, %d scripts and %d logos; each must be there", seen[".css"], seen[".js"], seen[".svg"])
	}
	return asked.okf("200 and the right type for each")
}

// wrongHost asks for a host that ALLOWED_HOST does not name.
func (p *probe) wrongHost(ctx context.Context) smoke.Result {
	r := p.web.do(ctx, request{method: http.MethodGet, path: "/login/", host: smoke.RefusedHost})
	if !r.is(http.StatusBadRequest, nil) {
		return r.bad()
	}
	return r.okf("400")
}

// submit fills in the log-in form in a fresh session.
func (p *probe) submit(ctx context.Context, password string) (*client, reply) {
	s := p.web.session()
	r := s.get(ctx, "/login/")
	if !r.is(http.StatusOK, nil) {
		return nil, r
	}
	m := csrfField.FindSubmatch(r.body)
	if m == nil {
		r.err = fmt.Errorf("200, but a page without a CSRF token")
		return nil, r
	}
	form := url.Values{"csrfmiddlewaretoken": {string(m[1])}, "username": {p.user}, "password": {password}}
	return s, s.do(ctx, request{
		method: http.MethodPost, path: "/login/", body: []byte(form.Encode()),
		header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"},
	})
}

func (p *probe) wrongPassword(ctx context.Context) smoke.Result {
	s, r := p.submit(ctx, p.password+"-wrong")
	if s == nil {
		return r.bad()
	}
	r.asked += " with a wrong password"
	// The form comes back, with its complaint.
	if !r.is(http.StatusOK, nil) || !alert.Match(r.body) {
		return r.bad()
	}
	if home := s.get(ctx, "/"); !home.is(http.StatusFound, nil) {
		return home.badf("%s, though the password was wrong", home.got())
	}
	return r.okf("the form again, and no way in")
}

func (p *probe) login(ctx context.Context) smoke.Result {
	s, r := p.submit(ctx, p.password)
	if s == nil {
		return r.bad()
	}
	if !r.is(http.StatusFound, nil) {
		if r.status == http.StatusOK {
			return r.badf("the form again: %s", explain(r.media(), r.body))
		}
		return r.bad()
	}
	home := s.get(ctx, "/")
	if !home.is(http.StatusOK, nil) {
		return home.bad()
	}
	if !bytes.Contains(home.body, fmt.Appendf(nil, `data-netbox-user-name="%s"`, html.EscapeString(p.user))) {
		return home.badf("200, but a page that does not know %s", p.user)
	}
	p.session = s
	return smoke.Result{OK: true, Asked: r.asked + ", then " + home.asked, Got: "302, then the dashboard of " + p.user}
}

// hide keeps the password and the token out of what is printed, whoever echoes them.
func (p *probe) hide(s string) string {
	return strings.NewReplacer(p.password, "***", p.bearer, "***").Replace(s)
}
