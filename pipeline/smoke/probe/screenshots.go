package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/linuxserver/docker-netbox/pipeline/browser"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// inspectPage navigates to a page, saves a screenshot and checks that the page shows the
// wanted texts.
func (p *probe) inspectPage(t *checkRun, check, asked string, goOn func() error, wants ...string) string {
	t.describe(asked + " in Chromium")
	err := goOn()
	if p.tab == nil {
		t.noError(err)
		return ""
	}
	// The screenshot is taken after a timeout too, because it shows the most.
	limit, cancel := context.WithTimeout(p.baseCtx, p.slowness.requestTimeout())
	defer cancel()
	seen, lookErr := p.tab.Inspect(limit)
	if len(seen.Picture) > 0 {
		file := smoke.Picture(check)
		err = cmp.Or(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, seen.Picture, 0o644))
	}
	t.noError(cmp.Or(err, lookErr, seen.Check(wants...)))
	got := fmt.Sprintf("%d and %q, %d words", seen.Status, seen.Title, len(strings.Fields(seen.Text)))
	if len(seen.Console) > 0 {
		got += fmt.Sprintf("; its scripts met %d errors, first: %s", len(seen.Console), seen.Console[0])
	}
	return got
}

// seeLogin opens the tab that all browser checks share. They depend on each other,
// so that only one uses the tab at a time.
func (p *probe) seeLogin(t *checkRun) string {
	return p.inspectPage(t, "see-login", "the log-in page /login/", func() (err error) {
		if p.tab, p.closeTab, err = browser.Open(p.baseCtx, p.browser, p.web.http.Transport); err != nil {
			return err
		}
		return p.tab.Visit(t.ctx, "http://"+p.web.name+"/login/")
	}, "NetBox", "Username", "Password")
}

// seeDashboard logs in through the form.
func (p *probe) seeDashboard(t *checkRun) string {
	return p.inspectPage(t, "see-dashboard", "to fill in the log-in form, then the dashboard /", func() error {
		return p.tab.Do(t.ctx,
			chromedp.SendKeys(`input[name="username"]`, p.user),
			chromedp.SendKeys(`input[name="password"]`, p.password+"\r"),
			chromedp.WaitNotPresent(`input[name="password"]`))
	}, "NetBox", p.user, "Organization")
}

func (p *probe) seeSite(t *checkRun) string {
	at := fmt.Sprintf("/dcim/sites/%d/", p.siteID)
	return p.inspectPage(t, "see-site", "the page of the new site "+at, func() error {
		return p.tab.Visit(t.ctx, "http://"+p.web.name+at)
	}, p.siteName, p.user)
}
