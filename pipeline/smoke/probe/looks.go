package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"

	"github.com/linuxserver/docker-netbox/pipeline/browser"
	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// window is a tab of the browser beside this container, opened when the first
// check looks at something. The checks that look need each other, so that one
// of them at a time has it.
type window struct {
	browser  string // address it is debugged at
	pictures string // directory that takes the screenshots
	through  http.RoundTripper

	tab   *browser.Tab
	close func()
}

// open returns the tab; it lives until ctx ends.
func (w *window) open(ctx context.Context) (*browser.Tab, error) {
	if w.tab != nil {
		return w.tab, nil
	}
	if w.browser == "" {
		return nil, fmt.Errorf("look at a page: there is no browser; set -browser")
	}
	var err error
	w.tab, w.close, err = browser.Open(ctx, w.browser, w.through)
	return w.tab, err
}

// shut closes the tab, if there is one.
func (w *window) shut() {
	if w.close != nil {
		w.close()
	}
}

// look goes on to a page, keeps a picture of it and judges it by what it must
// show.
func (p *probe) look(check, asked string, goOn func(*browser.Tab) error, wants ...string) smoke.Result {
	res := smoke.Result{Asked: asked + " in Chromium"}
	tab, err := p.window.open(p.life)
	if err == nil {
		err = goOn(tab)
	}
	if err != nil && p.window.tab == nil {
		res.Got = err.Error()
		return res
	}
	// Also when the time is up: the picture shows the most.
	limit, cancel := context.WithTimeout(p.life, p.pace.stretch(requestLimit))
	defer cancel()
	seen, lookErr := tab.Look(limit)
	if len(seen.Picture) > 0 {
		file := filepath.Join(p.window.pictures, filepath.Base(smoke.Picture(check)))
		if saveErr := save(file, seen.Picture); saveErr != nil && err == nil {
			err = saveErr
		}
	}
	for _, e := range []error{err, lookErr, seen.Wrong(wants...)} {
		if e != nil {
			res.Got = e.Error()
			return res
		}
	}
	res.OK = true
	res.Got = fmt.Sprintf("%d and %q, %d words", seen.Status, seen.Title, len(strings.Fields(seen.Text)))
	if len(seen.Console) > 0 {
		res.Got += fmt.Sprintf("; its scripts met %d errors, first: %s", len(seen.Console), seen.Console[0])
	}
	return res
}

func save(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return fmt.Errorf("keep the picture: %w", err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		return fmt.Errorf("keep the picture: %w", err)
	}
	return nil
}

func (p *probe) seeLogin(ctx context.Context) smoke.Result {
	at := p.root + "login/"
	return p.look("see-login", "the log-in page "+at, func(tab *browser.Tab) error {
		return tab.Visit(ctx, "http://"+p.web.name+at)
	}, "NetBox", "Username", "Password")
}

// seeDashboard logs in as a person does.
func (p *probe) seeDashboard(ctx context.Context) smoke.Result {
	return p.look("see-dashboard", "to fill in the log-in form, then the dashboard "+p.root, func(tab *browser.Tab) error {
		return tab.Do(ctx,
			chromedp.SendKeys(`input[name="username"]`, p.user),
			chromedp.SendKeys(`input[name="password"]`, p.password+"\r"),
			chromedp.WaitNotPresent(`input[name="password"]`))
	}, "NetBox", p.user, "Organization")
}

func (p *probe) seeSite(ctx context.Context) smoke.Result {
	at := fmt.Sprintf("%sdcim/sites/%d/", p.root, p.siteID)
	return p.look("see-site", "the page of the new site "+at, func(tab *browser.Tab) error {
		return tab.Visit(ctx, "http://"+p.web.name+at)
	}, p.siteName, p.user)
}
