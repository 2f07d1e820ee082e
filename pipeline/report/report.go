// Package report stores the results of a run, derives the verdict from them, and
// shows them as a table and as a directory with a page, report.json and the logs.
package report

import (
	"cmp"
	"encoding/json"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// schemaVersion is the version of report.json's schema. It changes when a reader of
// the old schema would misread the new one, not for a new field.
const schemaVersion = 1

// Verdict is the result of a stage or of the whole run.
type Verdict string

// Verdicts. A run fails if an expected stage was skipped or is missing.
const (
	Passed  Verdict = "passed"
	Failed  Verdict = "failed"
	Skipped Verdict = "skipped"
	Missing Verdict = "missing"
)

// Report has the results of a run. All durations are in seconds, all sizes in
// bytes. The verdict is computed and has no field. The tag hide marks free text,
// which may contain a secret.
type Report struct {
	Project   string     `json:"project"`
	Commit    string     `json:"commit"`
	Version   string     `json:"version"` // of NetBox
	Base      Base       `json:"base"`
	Engine    string     `json:"engine"`
	Started   time.Time  `json:"started"`
	Seconds   float64    `json:"seconds"`
	Expected  []Key      `json:"expected"` // the stages that must pass
	Stages    []Stage    `json:"stages"`   // in the order in which they ended
	Platforms []Platform `json:"platforms,omitempty"`
	Index     string     `json:"index,omitempty"` // digest of the image index
	Published []Tag      `json:"published,omitempty"`
	Missed    []Missed   `json:"missed,omitempty"`
	Logs      []Log      `json:"logs,omitempty"`
	Documents []Document `json:"documents,omitempty"`
	// Unlisted has the differences between package_versions.txt and its image.
	Unlisted   []sbom.Change    `json:"unlisted,omitempty"`
	LastRun    *Comparison      `json:"lastRun,omitempty"`    // comparison with the previous run
	Difference *sbom.Difference `json:"difference,omitempty"` // from the published index, if it was read
}

// Base is the base image.
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

// Stage is a finished or skipped stage. Builder creates it.
type Stage struct {
	Key
	Started time.Time `json:"started,omitzero"` // zero when it was skipped
	Seconds float64   `json:"seconds"`
	Errors  []string  `json:"errors,omitempty" hide:""`  // one line each
	Skipped string    `json:"skipped,omitempty" hide:""` // why
	Log     string    `json:"log,omitempty"`             // name of the log with details of a failure
	Output  []string  `json:"output,omitempty" hide:""`  // lines about a failure, such as the end of a command's output

	missing bool // expected, but did not end
}

// Verdict returns the verdict of the stage.
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

// Ran reports whether the stage ran, whether it passed or failed.
func (s Stage) Ran() bool { return s.Verdict() == Passed || s.Verdict() == Failed }

// Why returns the reason for the verdict in one line; "" if the stage passed.
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

// MarshalJSON adds the verdict, so that readers need not compute it.
func (s Stage) MarshalJSON() ([]byte, error) {
	type plain Stage // without this method
	return json.Marshal(struct {
		plain
		Verdict Verdict `json:"verdict"`
	}{plain(s), s.Verdict()})
}

// Platform has the results for the image of one platform.
type Platform struct {
	Platform string            `json:"platform"`
	Image    string            `json:"image,omitempty"` // manifest digest
	Size     int64             `json:"size,omitempty"`  // compressed, without the manifest
	Layers   []Layer           `json:"layers,omitempty"`
	Groups   []imagesize.Group `json:"groups,omitempty"` // the layers grouped by content
	Boot     *Boot             `json:"boot,omitempty"`
	Smoke    []Check           `json:"smoke,omitempty"`
	Pictures []Picture         `json:"pictures,omitempty"`      // in the order of their checks
	Drift    []string          `json:"drift,omitempty" hide:""` // differences between the init graph and the documented one
	Packages []sbom.Package    `json:"packages,omitempty"`
	Drawings []Drawing         `json:"drawings,omitempty"` // of the init graph, with coloured differences
	Mermaid  string            `json:"-"`                  // the init graph
}

// Layer is one layer of an image.
type Layer = imagesize.Layer

// Boot has the measurements of a container's start and stop.
type Boot struct {
	FirstOK    float64   `json:"firstOK"` // from the container's start to the first 200
	Stop       float64   `json:"stop"`    // from SIGTERM to the exit
	PeakMemory int64     `json:"peakMemory,omitempty"`
	Services   []Service `json:"services,omitempty"`
	// Critical names the services on the critical path of the boot: each waited for
	// the previous one.
	Critical []string `json:"critical,omitempty"`
}

// Service is one service of the init graph. Its times are relative to the
// container's start.
type Service struct {
	Name  string  `json:"name"`
	Type  string  `json:"type,omitempty"` // oneshot or longrun
	Start float64 `json:"start"`
	Ready float64 `json:"ready"` // 0 if it never was ready
}

// Check is the result of one check of the running application.
type Check struct {
	Name    string  `json:"name"`
	Asked   string  `json:"asked,omitempty" hide:""`
	Got     string  `json:"got,omitempty" hide:""`
	Error   string  `json:"error,omitempty" hide:""` // empty when the check passed
	Seconds float64 `json:"seconds"`
}

// Verdict returns the verdict of the check.
func (c Check) Verdict() Verdict {
	if c.Error != "" {
		return Failed
	}
	return Passed
}

// Drawing is the init graph in light or dark colours.
type Drawing struct {
	Name string `json:"name"` // file name under graph/
	Dark bool   `json:"dark"`
	SVG  []byte `json:"-"`
}

// Picture is a screenshot of a page.
type Picture struct {
	Name    string `json:"name"`    // file name under screenshots/
	Check   string `json:"check"`   // name of the check that took it
	Promise string `json:"promise"` // what that check proves
	PNG     []byte `json:"-"`
}

// Tag is a published tag.
type Tag struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"` // of the index, or of one image
	Blobs     int    `json:"blobs"`  // number of blobs sent for it
	Bytes     int64  `json:"bytes"`
	Unchanged bool   `json:"unchanged,omitempty"` // it had this digest before
}

// Missed is a tag whose push to an optional registry failed. It does not fail the
// run.
type Missed struct {
	Reference string `json:"reference"`
	Error     string `json:"error" hide:""`
}

// Log is the log of one container.
type Log struct {
	Name string `json:"name"` // file name under logs/
	Text []byte `json:"-" hide:""`
}

// Document is a list of an image's content.
type Document struct {
	Name     string `json:"name"` // file name under sbom/
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
