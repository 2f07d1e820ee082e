// Package report holds the results of a run, decides from them alone whether it
// passed, and shows them: a table for people, and a directory with report.json
// and the logs for everything else.
package report

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// schemaVersion is that of report.json. It changes when a reader of the old
// form would misread the new one; a new field does not change it.
const schemaVersion = 1

// Verdict is what came of a stage or of the whole run.
type Verdict string

// Verdicts. Skipped and missing are not passed: a run that expects such a
// stage fails.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped"
	Missing Verdict = "missing"
)

// Report is what a run found out. All durations are in seconds, all sizes in
// bytes. Its verdict is computed, it has no field for it. The tag hide marks what
// programs and people have said, which may hold a secret.
type Report struct {
	Project   string     `json:"project"`
	Commit    string     `json:"commit"`
	Version   string     `json:"version"` // of NetBox
	Base      Base       `json:"base"`
	Engine    string     `json:"engine"`
	Started   time.Time  `json:"started"`
	Seconds   float64    `json:"seconds"`
	Expected  []Key      `json:"expected"` // the stages without which the run has not passed
	Stages    []Stage    `json:"stages"`   // in order of their end
	Platforms []Platform `json:"platforms,omitempty"`
	Index     string     `json:"index,omitempty"` // digest of what joins the images
	Published []Tag      `json:"published,omitempty"`
	Missed    []Missed   `json:"missed,omitempty"`
	Logs      []Log      `json:"logs,omitempty"`
	Documents []Document `json:"documents,omitempty"`
	// How package_versions.txt differs from the image it is kept for.
	Unlisted   []sbom.Change    `json:"unlisted,omitempty"`
	LastRun    *Comparison      `json:"lastRun,omitempty"`    // how the figures differ from those of the run before
	Difference *sbom.Difference `json:"difference,omitempty"` // to the published index, when that was looked at
}

// Base is the image that was built on.
type Base struct {
	Name    string            `json:"name"`
	Digests map[string]string `json:"digests,omitempty"` // by platform
}

// Key names a stage, of one platform unless Platform is empty.
type Key struct {
	Stage    string `json:"stage"`
	Platform string `json:"platform,omitempty"`
}

func (k Key) String() string { return strings.TrimSuffix(k.Stage+" "+k.Platform, " ") }

// Stage is a stage that has ended. A Builder makes them.
type Stage struct {
	Key
	Started time.Time `json:"started,omitzero"` // zero when it was skipped
	Seconds float64   `json:"seconds"`
	Errors  []string  `json:"errors,omitempty" hide:""`  // a line each
	Skipped string    `json:"skipped,omitempty" hide:""` // why
	Log     string    `json:"log,omitempty"`             // name of the log to read when it failed
	Output  []string  `json:"output,omitempty" hide:""`  // lines that show what went wrong, such as the end of a command's output

	missing bool // it was expected and never ended
}

// Verdict of a stage.
func (s Stage) Verdict() Verdict {
	switch {
	case s.missing:
		return Missing
	case len(s.Errors) > 0:
		return Failed
	case s.Skipped != "":
		return Skipped
	}
	return Passed
}

// Ran reports whether the stage was done, be it well or not.
func (s Stage) Ran() bool { return s.Verdict() == Passed || s.Verdict() == Failed }

// Why is the reason for any verdict but passed, in one line.
func (s Stage) Why() string {
	switch s.Verdict() {
	case Failed:
		return s.Errors[0]
	case Skipped:
		return s.Skipped
	case Missing:
		return "it was never run"
	}
	return ""
}

// MarshalJSON adds the verdict, for readers that do not know the rules.
func (s Stage) MarshalJSON() ([]byte, error) {
	type plain Stage // without this method
	return json.Marshal(struct {
		plain
		Verdict Verdict `json:"verdict"`
	}{plain(s), s.Verdict()})
}

// Platform is what was found out about the image of one platform.
type Platform struct {
	Platform string            `json:"platform"`
	Image    string            `json:"image,omitempty"` // manifest digest
	Size     int64             `json:"size,omitempty"`  // compressed, without the manifest
	Layers   []Layer           `json:"layers,omitempty"`
	Groups   []imagesize.Group `json:"groups,omitempty"` // the layers by what they hold
	Boot     *Boot             `json:"boot,omitempty"`
	Smoke    []Check           `json:"smoke,omitempty"`
	Pictures []Picture         `json:"pictures,omitempty"`      // in the order of their checks
	Drift    []string          `json:"drift,omitempty" hide:""` // differences between the init graph and the documented one
	Packages []sbom.Package    `json:"packages,omitempty"`
	Drawings []Drawing         `json:"drawings,omitempty"` // of the init graph, drift coloured
	Mermaid  string            `json:"-"`                  // the init graph
}

// Layer is one layer of an image.
type Layer = imagesize.Layer

// Boot is how a container came up and went down.
type Boot struct {
	FirstOK    float64   `json:"firstOK"` // from the container's start to the first 200
	Stop       float64   `json:"stop"`    // from SIGTERM to the end
	PeakMemory int64     `json:"peakMemory,omitempty"`
	Services   []Service `json:"services,omitempty"`
	// Critical names the services that the boot took its time from: each
	// waited for the one before.
	Critical []string `json:"critical,omitempty"`
}

// Service is one service of the init graph; its times are offsets from the
// container's start.
type Service struct {
	Name  string  `json:"name"`
	Type  string  `json:"type,omitempty"` // oneshot or longrun
	Start float64 `json:"start"`
	Ready float64 `json:"ready"` // 0 when it never was
}

// Check is one thing that was asked of the running application.
type Check struct {
	Name    string  `json:"name"`
	Asked   string  `json:"asked,omitempty" hide:""`
	Got     string  `json:"got,omitempty" hide:""`
	Error   string  `json:"error,omitempty" hide:""` // empty when the check passed
	Seconds float64 `json:"seconds"`
}

// Verdict of a check.
func (c Check) Verdict() Verdict {
	if c.Error != "" {
		return Failed
	}
	return Passed
}

// Drawing is the init graph for people who prefer light or dark.
type Drawing struct {
	Name string `json:"name"` // of the file under graph/
	Dark bool   `json:"dark"`
	SVG  []byte `json:"-"`
}

// Picture is what a browser showed of a page.
type Picture struct {
	Name    string `json:"name"`    // of the file under screenshots/
	Check   string `json:"check"`   // that made it
	Promise string `json:"promise"` // of that check
	PNG     []byte `json:"-"`
}

// Tag is a tag that points at what was built.
type Tag struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"` // of the index, or of one image
	Blobs     int    `json:"blobs"`  // sent for it
	Bytes     int64  `json:"bytes"`
	Unchanged bool   `json:"unchanged,omitempty"` // it pointed there before
}

// Missed is a tag that an optional registry did not get. The run passes all
// the same.
type Missed struct {
	Reference string `json:"reference"`
	Error     string `json:"error" hide:""`
}

// Log is the log of one container.
type Log struct {
	Name string `json:"name"` // of the file under logs/
	Text []byte `json:"-" hide:""`
}

// Document is a list of what is in an image.
type Document struct {
	Name     string `json:"name"` // of the file under sbom/
	Platform string `json:"platform"`
	Type     string `json:"type"` // media type
	Text     []byte `json:"-"`
}

// MarshalJSON adds the schema version and the verdict.
func (r Report) MarshalJSON() ([]byte, error) {
	type plain Report // without this method
	return json.Marshal(struct {
		SchemaVersion int     `json:"schemaVersion"`
		Verdict       Verdict `json:"verdict"`
		Why           string  `json:"why"`
		Next          string  `json:"next,omitempty"`
		plain
	}{schemaVersion, r.Verdict(), r.Why(), cmp.Or(r.Failure(), &Failure{}).Next, plain(r)})
}
