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

// look goes on to a page, keeps a picture of it and judges it by what it must
// show.
func (p *probe) look(check, asked string, goOn func() error, wants ...string) smoke.Result {
	t := about(asked + " in Chromium")
	err := goOn()
	if p.tab == nil {
		t.try(err)
		return t.result("")
	}
	// Also when the time is up: the picture shows the most.
	limit, cancel := context.WithTimeout(p.life, p.pace.patience())
	defer cancel()
	seen, lookErr := p.tab.Look(limit)
	if len(seen.Picture) > 0 {
		err = cmp.Or(err, save(smoke.Picture(check), seen.Picture))
	}
	t.try(cmp.Or(err, lookErr, seen.Wrong(wants...)))
	got := fmt.Sprintf("%d and %q, %d words", seen.Status, seen.Title, len(strings.Fields(seen.Text)))
	if len(seen.Console) > 0 {
		got += fmt.Sprintf("; its scripts met %d errors, first: %s", len(seen.Console), seen.Console[0])
	}
	return t.result("%s", got)
}

func save(file string, data []byte) error {
	err := os.MkdirAll(filepath.Dir(file), 0o755)
	if err == nil {
		err = os.WriteFile(file, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keep the picture: %w", err)
	}
	return nil
}

// seeLogin opens the tab that all checks look into. The others need this one, and
// each other: one at a time has the tab.
func (p *probe) seeLogin(ctx context.Context) smoke.Result {
	return p.look("see-login", "the log-in page /login/", func() (err error) {
		if p.tab, p.closeTab, err = browser.Open(p.life, p.browser, p.web.http.Transport); err != nil {
			return err
		}
		return p.tab.Visit(ctx, "http://"+p.web.name+"/login/")
	}, "NetBox", "Username", "Password")
}

// seeDashboard logs in as a person does.
func (p *probe) seeDashboard(ctx context.Context) smoke.Result {
	return p.look("see-dashboard", "to fill in the log-in form, then the dashboard /", func() error {
		return p.tab.Do(ctx,
			chromedp.SendKeys(`input[name="username"]`, p.user),
			chromedp.SendKeys(`input[name="password"]`, p.password+"\r"),
			chromedp.WaitNotPresent(`input[name="password"]`))
	}, "NetBox", p.user, "Organization")
}

func (p *probe) seeSite(ctx context.Context) smoke.Result {
	at := fmt.Sprintf("/dcim/sites/%d/", p.siteID)
	return p.look("see-site", "the page of the new site "+at, func() error {
		return p.tab.Visit(ctx, "http://"+p.web.name+at)
	}, p.siteName, p.user)
}
