package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/git"
	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// hostile is text that would inject a script into a page without escaping.
const hostile = `</script><script>document.title='broken into'</script><img src=x onerror=alert(1)>`

// made returns a failed or passed report that fills every part of the page.
func made(t *testing.T, broken bool) report.Report {
	t.Helper()
	start := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	clock := start
	b := report.NewBuilder(report.Report{
		Project: "docker-netbox", Commit: strings.Repeat("0123abcd", 5), Version: "4.7.3", Engine: "local",
		Base:     report.Base{Name: "local", Digests: map[string]string{platform: digest(1), "linux/arm64": digest(2)}},
		Expected: []report.Key{{Stage: "base"}, {Stage: "build", Platform: platform}, {Stage: "boot", Platform: platform}, {Stage: "publish"}},
	}, func() time.Time { return clock })
	stage := func(name, platform string, at, took time.Duration, err error, log string) {
		b.End(report.Key{Stage: name, Platform: platform}, start.Add(at), took, err, log)
	}
	stage("base", "", 0, 20*time.Second, nil, "")
	stage("browser", "", 0, 182*time.Second, nil, "") // the bar leaves little room for its label at the right
	stage("build", platform, 20*time.Second, 3*time.Minute, nil, "")
	if broken {
		stage("boot", platform, 205*time.Second, 9*time.Second,
			errors.Join(errors.New("s6-rc: warning: unable to start service svc-netbox: command exited 1 (log line 5)"), errors.New("a second thing "+hostile)),
			"netbox-linux-amd64.log")
		b.Skip(report.Key{Stage: "publish"}, "not every platform passed")
	} else {
		stage("boot", platform, 205*time.Second, 9*time.Second, nil, "")
		stage("publish", "", 214*time.Second, 2*time.Second, nil, "")
	}
	for _, name := range []string{platform, "linux/arm64"} {
		b.Platform(name, func(p *report.Platform) {
			p.Image, p.Size = digest(3), 129_700_000
			p.Layers = []report.Layer{{Digest: digest(4), Size: 36_000_000, From: "COPY " + strings.Repeat("/a-long-path", 30)}, {Digest: digest(5), Size: 93_700_000, From: "RUN true"}}
			p.Groups = []imagesize.Group{{Name: "base", Size: 36_000_000}, {Name: "Python", Size: 93_700_000}}
			p.Boot = &report.Boot{FirstOK: 7.5, Stop: 2.7, PeakMemory: 553e6, Critical: []string{"init-services", "svc-netbox"}, Services: []report.Service{
				{Name: "init-services", Type: "oneshot", Start: 0.2, Ready: 0.25},
				{Name: "svc-cron", Type: "longrun", Start: 0.25, Ready: 0.3},
				{Name: "svc-netbox", Type: "longrun", Start: 0.25, Ready: 7.1},
			}}
			p.Smoke = []report.Check{
				{Name: "see-login", Asked: "the log-in page /login/ in Chromium", Got: "200", Seconds: 1.5},
				{Name: "site", Asked: "POST /api/dcim/sites/" + strings.Repeat("x", 200), Got: hostile, Seconds: 0.5},
			}
			p.Packages = []sbom.Package{{Name: "bash", Version: "5.2.37-2", Type: "deb"}, {Name: "django", Version: "6.0.1", Type: "python"}, {Name: hostile, Version: "1", Type: "npm"}}
			p.Pictures = []report.Picture{{Name: strings.ReplaceAll(name, "/", "-") + "-login.png", Check: "see-login", Promise: "a browser shows the log-in page", PNG: picture(t)}}
			p.Drawings = []report.Drawing{
				{Name: strings.ReplaceAll(name, "/", "-") + "-light.svg", SVG: []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2000 900" width="2000" height="900"><rect width="2000" height="900" fill="#eee"/></svg>`)},
				{Name: strings.ReplaceAll(name, "/", "-") + "-dark.svg", Dark: true, SVG: []byte(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 2000 900" width="2000" height="900"><rect width="2000" height="900" fill="#111"/></svg>`)},
			}
			if broken {
				p.Boot.Services[2].Ready = 0
				p.Smoke[0].Error, p.Smoke[0].Got = "it is blank", "it is blank: it shows 0 characters"
				p.Drift = []string{"readme-vars.yml:120: init-services -> svc-extra is in the image, but not documented"}
			}
		})
	}
	b.Change(func(r *report.Report) {
		r.Index = digest(6)
		r.Published = []report.Tag{{Reference: "registry.example.com/a/rather/long/name/of/netbox:v4.7.3-ls12", Digest: digest(6), Blobs: 12, Bytes: 129_700_000}}
		r.Missed = []report.Missed{{Reference: "quay.example.com/netbox:latest", Error: "503 Service Unavailable"}}
		r.Documents = []report.Document{{Name: "linux-amd64.spdx.json", Platform: platform, Type: "application/spdx+json", Text: []byte("{}")}}
		r.Unlisted = []sbom.Change{{Name: "django", Type: "python", Old: "6.0", New: "6.0.1", Platforms: []string{platform}}}
		r.Difference = &sbom.Difference{
			Since:     &sbom.Since{Reference: "registry.example.com/netbox:latest", Digest: digest(7), Version: "v4.7.2-ls11"},
			Platforms: []string{platform},
			Packages: []sbom.Change{
				{Name: "django", Type: "python", Old: "6.0", New: "6.0.1", Platforms: []string{platform}},
				{Name: "left-pad", Type: "npm", Old: "1.3.0", Platforms: []string{platform}},
			},
			Sizes:   []sbom.Size{{Platform: platform, Group: "Python", Old: 93_000_000, New: 93_700_000}},
			NetBox:  &sbom.Change{Name: "netbox", Old: "4.7.2", New: "4.7.3"},
			Commits: []git.Commit{{Commit: strings.Repeat("f", 40), Subject: "Say why " + hostile}},
			Unknown: []string{"the packages of linux/arm64: it has no list"},
		}
	})
	b.Log("netbox-linux-amd64.log", []byte(strings.Join([]string{
		"    0.131 stderr s6-rc: info: service init-migrations: starting",
		"    0.200 stderr \x1b[31m[netbox] waiting for the database\x1b[0m",
		"    0.300 stdout the lead is missing " + hostile,
		"    0.400 stderr [netbox] WARNING: a slow disk",
		"    0.500 stderr s6-rc: warning: unable to start service svc-netbox: command exited 1",
		"    0.600 stderr django.db.utils.OperationalError: connection refused",
		"    0.700 stderr 0 errors " + strings.Repeat("wide", 100),
	}, "\n")+"\n"))
	b.Log("postgres-linux-amd64.log", []byte("    0.1 stderr FATAL:  the database system is starting up\n    0.2 stderr LOG:  ready\n"))
	clock = start.Add(217 * time.Second)
	return b.Report()
}

func digest(n int) string { return fmt.Sprintf("sha256:%064x", n) }

func picture(t *testing.T) []byte {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 1280, 800))
	for x := range 1280 {
		img.SetGray(x, x%800, color.Gray{200})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
