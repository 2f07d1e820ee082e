package rehearsal

import (
	"archive/zip"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// proving returns a script that replaces the check, which takes minutes and needs a container.
func (w *world) proving() map[string]string {
	return map[string]string{"image/Build, boot, check": w.environ["REHEARSAL_STANDIN"] + " prove"}
}

// release runs release.yml and adds the run to the list that gh returns.
func (w *world) release(t *testing.T, r run) *result {
	t.Helper()
	r.workflow, r.scripts = "release", w.proving()
	res := w.run(t, r)
	conclusion := "success"
	for _, j := range res.jobs {
		if j.result != "success" {
			conclusion = "failure"
		}
	}
	w.remember(t, "runs", map[string]any{
		"workflow": "release.yml", "status": "completed", "conclusion": conclusion, "headSha": w.sha(t, "refs/heads/main"), "headBranch": "main", "event": r.event,
		"displayTitle": "Release (" + r.inputs["reason"] + ")", "createdAt": time.Now().UTC().Format(time.RFC3339), "url": "https://github.com/" + repository + "/actions/runs/1",
	})
	return res
}

// whole is the result of each job in a successful release.
var whole = map[string]string{
	"plan": "success", "image linux/amd64": "success", "image linux/arm64": "success", "merge": "success", "verify": "success", "git-tag": "success", "list": "success",
}

// live holds the repository of the releases by registry host.
var live = map[string]string{
	ghcr: "linuxserver/netbox", "index.docker.io": "linuxserver/netbox", "registry.gitlab.com": "linuxserver.io/docker-netbox", "quay.io": "linuxserver.io/netbox",
}

// tags returns the digest of each tag by registry host.
func (w *world) tags(t *testing.T) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for host, name := range live {
		all[host] = w.network.tags(t, host, name)
	}
	return all
}

// unmoved checks that no tag was added, moved or removed.
func (w *world) unmoved(t *testing.T, before map[string]map[string]string) {
	t.Helper()
	for host, tags := range w.tags(t) {
		if !maps.Equal(tags, before[host]) {
			t.Errorf("%s: the tags are %v, and were %v", host, tags, before[host])
		}
	}
}

// newest makes these releases of NetBox the only packages that pip finds.
func (w *world) newest(t *testing.T, releases ...string) {
	t.Helper()
	dir := filepath.Join(w.state, "wheels")
	must(t, os.MkdirAll(dir, 0o755))
	w.environ["PIP_NO_INDEX"], w.environ["PIP_FIND_LINKS"] = "1", dir
	for _, version := range releases {
		f, err := os.Create(filepath.Join(dir, "netbox-"+version+"-py3-none-any.whl"))
		must(t, err)
		wheel := zip.NewWriter(f)
		for name, text := range map[string]string{
			"METADATA": "Metadata-Version: 2.1\nName: netbox\nVersion: " + version + "\n",
			"WHEEL":    "Wheel-Version: 1.0\nGenerator: rehearsal\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
			"RECORD":   "",
		} {
			file, err := wheel.Create("netbox-" + version + ".dist-info/" + name)
			must(t, err)
			_, err = file.Write([]byte(text))
			must(t, err)
		}
		must(t, wheel.Close())
		must(t, f.Close())
	}
}

// The subtests build on each other, from the first release of a repository on.
func TestReleasesAreMadeAndFailWithoutATagMoving(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.trust(t, "release", "refs/heads/main")
	pinned := strings.Fields(testrepo.Sh(t, w.source, `sed -n 's/^  release: *//p' versions.yml`))[0]
	w.newest(t, pinned)
	version := func(n int) string { return fmt.Sprintf("v%s-ls%d", pinned, n) }
	push := run{event: "push"}
	hourly := run{workflow: "upstream", event: "schedule", schedule: "17 * * * *"}

	t.Run("the first release", func(t *testing.T) {
		w.release(t, push).want(t, whole)
		w.released(t, version(1))
		if calls := w.ghCalls(t); !slices.Contains(calls, "workflow run pull-request.yml --ref package-list") {
			t.Errorf("the checks of the list of packages are not started: %q", calls)
		}
		if list := testrepo.Sh(t, w.state, `git --git-dir origin.git show package-list:package_versions.txt`); !strings.Contains(list, "nginx") {
			t.Errorf("package-list holds %q", list)
		}
	})
	if t.Failed() {
		t.FailNow() // the other subtests need the first release
	}
	before := w.tags(t)

	t.Run("nothing is due", func(t *testing.T) {
		res := w.run(t, hourly)
		res.want(t, map[string]string{"look": "success"})
		w.starts(t, "")
		if !strings.Contains(res.summary, "nothing has changed since ghcr.io/linuxserver/netbox:latest "+version(1)) {
			t.Errorf("the page of the run does not say why nothing was started: %s", res.summary)
		}
		w.release(t, push).want(t, map[string]string{"plan": "success"})
		w.unmoved(t, before)
	})

	t.Run("a release is due", func(t *testing.T) {
		w.commit(t, "main", "root/etc/rehearsal", "one\n")
		w.run(t, hourly).want(t, map[string]string{"look": "success", "start": "success"})
		w.starts(t, "root/etc/rehearsal")
	})

	t.Run("a release that runs is not started again", func(t *testing.T) {
		runs := filepath.Join(w.state, "gh", "runs")
		kept, err := os.ReadFile(runs)
		must(t, err)
		w.remember(t, "runs", map[string]any{"workflow": "release.yml", "status": "in_progress", "conclusion": "", "headSha": w.sha(t, "refs/heads/main"), "headBranch": "main",
			"event": "workflow_dispatch", "displayTitle": "Release", "createdAt": time.Now().UTC().Format(time.RFC3339), "url": "https://github.com/"})
		w.run(t, hourly).want(t, map[string]string{"look": "success", "start": "success"})
		w.starts(t, "")
		must(t, os.WriteFile(runs, kept, 0o644))
	})

	t.Run("a red smoke check", func(t *testing.T) {
		red := filepath.Join(w.state, "red-arm64")
		must(t, os.WriteFile(red, nil, 0o644))
		res := w.release(t, push)
		must(t, os.Remove(red))
		res.want(t, map[string]string{"plan": "success", "image linux/amd64": "success", "image linux/arm64": "failure"})
		res.says(t, "image linux/arm64", "it answered 502")
		if got := res.jobs["image linux/arm64"].failed; !slices.Equal(got, []string{"Build, boot, check"}) {
			t.Errorf("steps that failed: %q", got)
		}
		if _, err := os.Stat(filepath.Join(w.state, "artifacts", fmt.Sprintf("%d-1", 1000+w.runs), "report-arm64", "index.html")); err != nil {
			t.Errorf("the report that says why is lost: %v", err)
		}
		w.unmoved(t, before)
	})

	t.Run("due, and failed before", func(t *testing.T) {
		res := w.run(t, hourly)
		res.want(t, map[string]string{"look": "success"})
		w.starts(t, "")
		res.says(t, "look", "failed")
	})

	t.Run("a secret is missing", func(t *testing.T) {
		w.commit(t, "main", "root/etc/rehearsal", "two\n") // so that the images are new to all registries
		fewer := maps.Clone(secrets)
		delete(fewer, "QUAY_TOKEN")
		res := w.release(t, run{event: "workflow_dispatch", secrets: fewer})
		res.want(t, map[string]string{"plan": "success", "image linux/amd64": "failure", "image linux/arm64": "failure"})
		res.says(t, "image linux/amd64", "REGISTRY_PASSWORD_QUAY_IO")
		if got := res.jobs["image linux/amd64"].failed; !slices.Equal(got, []string{"Push by digest"}) {
			t.Errorf("steps that failed: %q", got)
		}
		w.unmoved(t, before)
	})

	t.Run("the plan alone", func(t *testing.T) {
		w.release(t, run{event: "workflow_dispatch", inputs: map[string]string{"dry-run": "true", "force": "true"}}).want(t, map[string]string{"plan": "success"})
		w.unmoved(t, before)
	})

	t.Run("another NetBox than the pinned one", func(t *testing.T) {
		res := w.release(t, run{event: "workflow_dispatch", inputs: map[string]string{"netbox": "99.0.0"}})
		res.want(t, map[string]string{"plan": "failure"})
		res.says(t, "plan", "start the workflow Upstream with it")
	})

	t.Run("a registry refuses the index", func(t *testing.T) {
		var refused atomic.Int64
		w.network.spoil("registry.gitlab.com", func(rw http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "/manifests/") || r.Header.Get("Content-Type") != "application/vnd.oci.image.index.v1+json" {
				return false
			}
			refused.Add(1)
			denied(rw, http.StatusForbidden, "DENIED", "the project is read-only")
			return true
		})
		res := w.release(t, push)
		w.network.spoil("registry.gitlab.com", nil)
		res.want(t, map[string]string{"plan": "success", "image linux/amd64": "success", "image linux/arm64": "success", "merge": "failure"})
		res.says(t, "merge", "the project is read-only")
		if refused.Load() == 0 {
			t.Error("nothing was refused")
		}
		w.unmoved(t, before)
	})

	t.Run("a cancelled job", func(t *testing.T) {
		endless := filepath.Join(w.state, "endless-amd64")
		must(t, os.WriteFile(endless, nil, 0o644))
		res := w.release(t, run{event: "push", during: func(interrupt func()) {
			for range 1200 {
				if _, err := os.Stat(filepath.Join(w.state, "endless")); err == nil {
					interrupt()
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		}})
		must(t, os.Remove(endless))
		if _, err := os.Stat(filepath.Join(w.state, "endless")); err != nil {
			t.Errorf("the job was not cancelled in its check: %v", err)
		}
		if j := res.jobs["image linux/amd64"]; j == nil || j.result == "success" {
			t.Errorf("the cancelled job is %+v", j)
		}
		for _, job := range []string{"merge", "verify", "git-tag", "list"} {
			if res.jobs[job] != nil {
				t.Errorf("after a cancelled job %s ran: %s\n%s", job, res.jobs[job].result, res.tail(job))
			}
		}
		w.unmoved(t, before)
	})

	t.Run("a registry is down for a moment in merge", func(t *testing.T) {
		var answered atomic.Int64
		w.network.spoil("quay.io", func(rw http.ResponseWriter, r *http.Request) bool {
			down := r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/manifests/"+version(2)) && answered.Add(1) == 1
			if down {
				http.Error(rw, "upstream connect error", http.StatusServiceUnavailable)
			}
			return down
		})
		w.ghCalls(t)
		w.release(t, push).want(t, whole)
		w.network.spoil("quay.io", nil)
		if answered.Load() < 2 {
			t.Errorf("the tag was sent %d times", answered.Load())
		}
		w.released(t, version(2))
	})
}

// starts checks that gh was called once to start a release with a reason, or
// that no release was started when reason is "".
func (w *world) starts(t *testing.T, reason string) {
	t.Helper()
	var started []string
	for _, call := range w.ghCalls(t) {
		if strings.HasPrefix(call, "workflow run release.yml") {
			started = append(started, call)
		}
	}
	if reason == "" && len(started) != 0 || reason != "" && (len(started) != 1 || !strings.Contains(started[0], reason)) {
		t.Errorf("started %q, want for %q", started, reason)
	}
}

// released checks that all registries have the tags of a version, and that its
// git tag and release page exist.
func (w *world) released(t *testing.T, version string) {
	t.Helper()
	all := w.tags(t)
	digest := all[ghcr]["latest"]
	for host, tags := range all {
		if digest == "" || tags["latest"] != digest || tags[version] != digest || tags["amd64-"+version] == "" || tags["arm64v8-"+version] == "" {
			t.Errorf("%s: the tags are %v", host, tags)
		}
	}
	if got, want := w.sha(t, "refs/tags/"+version), w.sha(t, "refs/heads/main"); got != want {
		t.Errorf("git tag %s is at %q, not at %s", version, got, want)
	}
	body, err := os.ReadFile(filepath.Join(w.state, "gh", "releases", version, "body"))
	if err != nil || !strings.Contains(string(body), digest) {
		t.Errorf("the page of %s: %v, %.200s", version, err, body)
	}
}
