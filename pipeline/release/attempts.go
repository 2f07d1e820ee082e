package release

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Attempt is a run of the release workflow, as gh prints it.
type Attempt struct {
	Commit     string    `json:"headSha"`
	Event      string    `json:"event"` // that triggered the run
	Title      string    `json:"displayTitle"`
	Conclusion string    `json:"conclusion"` // "" while it runs
	Created    time.Time `json:"createdAt"`
	URL        string    `json:"url"`
}

// attemptFields are the fields to request from gh.
const attemptFields = "headSha,event,displayTitle,conclusion,createdAt,url"

// ReadAttempts reads a list of runs that gh wrote to a file; none when file is "".
func ReadAttempts(file string) ([]Attempt, error) {
	if file == "" {
		return nil, nil
	}
	const list = `list them with "gh run list --workflow release.yml --json ` + attemptFields + `"`
	var attempts []Attempt
	if err := readJSON("the runs of release.yml", file, list, &attempts); err != nil {
		return nil, err
	}
	for _, a := range attempts {
		if a.Commit == "" || a.Event == "" || a.Title == "" || a.URL == "" || a.Created.IsZero() {
			return nil, failure.Usagef("read the runs of release.yml in %s: %+v lacks a field: %s", file, a, list)
		}
	}
	return attempts, nil
}

// maxWait limits the wait between attempts at a release that keeps failing.
const maxWait = 24 * time.Hour

// waitReason returns the reason to delay a release that is due: a recent attempt failed.
// The delay doubles with each failed attempt.
func waitReason(f Facts, p Plan) string {
	var tries int
	var last Attempt
	for _, a := range slices.SortedFunc(slices.Values(f.Attempts), func(a, b Attempt) int { return b.Created.Compare(a.Created) }) {
		if a.Commit != p.Commit || !sameInputs(a, p) || a.Conclusion == "" || a.Conclusion == "cancelled" || a.Conclusion == "skipped" {
			continue
		}
		if a.Conclusion == "success" {
			break
		}
		if tries++; tries == 1 {
			last = a
		}
	}
	if tries == 0 {
		return ""
	}
	pause := min(time.Hour<<min(tries, 10), maxWait)
	next := last.Created.Add(pause)
	if !f.Now.Before(next) {
		return ""
	}
	times := "once"
	if tries > 1 {
		times = fmt.Sprintf("%d times", tries)
	}
	return fmt.Sprintf("it failed %s at commit %s, last in %s: it is tried again after %s UTC; start release.yml by hand to try it now",
		times, short(p.Commit), last.URL, next.UTC().Format("2006-01-02 15:04"))
}

// sameInputs reports whether an attempt had the inputs of the plan. The title of a run
// that upstream.yml started names the reasons, and GitHub may truncate it. A run for a
// push has all inputs that the commit decides; its base is not recorded.
func sameInputs(a Attempt, p Plan) bool {
	if a.Event == "push" {
		return !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Changed && c.What == "base" })
	}
	title, ok := strings.CutPrefix(strings.TrimRight(a.Title, "….)"), "Release (")
	return ok && title != "" && strings.HasPrefix(p.Why(), title)
}
