package smoke

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// prefix marks the probe's lines among those of the services.
const prefix = "netbox-probe: "

// limit in bytes of each of a finding's two texts. It keeps a line below
// PIPE_BUF (4096 bytes), up to which other writers never tear a write to a
// pipe apart: without control characters escaping at most doubles a text.
const limit = 800

// Message is one line of the stream; exactly one field is set.
type Message struct {
	Result      *Result    `json:"result,omitempty"`
	Summary     *Summary   `json:"summary,omitempty"`     // ends the results
	Terminating *time.Time `json:"terminating,omitempty"` // when PID 1 is about to be sent SIGTERM
	Death       *Death     `json:"death,omitempty"`
}

// Death is the end of a service that s6 supervises, and starts again.
type Death struct {
	Service string `json:"service"`
	Count   int    `json:"count"` // how often it has ended since the container's start
	How     string `json:"how"`   // it ended: with which status, by which signal
}

// Write writes the message to the stream, in one write: no other writer gets in
// between.
func (m Message) Write(w io.Writer) error {
	if m.Result != nil {
		r := *m.Result
		r.Asked, r.Got = clip(r.Asked), clip(r.Got)
		m.Result = &r
	}
	line := bytes.NewBufferString(prefix)
	enc := json.NewEncoder(line)
	enc.SetEscapeHTML(false) // people read these lines too
	if err := enc.Encode(m); err != nil {
		return fmt.Errorf("writing a finding: %w", err)
	}
	_, err := w.Write(line.Bytes())
	return err
}

// clip makes a text one line of bounded length.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// Report is what the lines of a container say of the smoke test.
type Report struct {
	Results     []Result  // in the order of Checks; those reported only
	Summary     *Summary  // nil when the probe did not come to its end
	Terminating time.Time // when the probe sent PID 1 its SIGTERM, by the container's clock; zero when it did not
	Deaths      []Death   // of services, before they were asked to stop
	problems    []error   // what is wrong with the stream itself
}

// Find reads the message in a line, whatever is glued to either end of it. A line
// of anything else has none.
func Find(line string) (m Message, err error) {
	at := strings.Index(line, prefix+"{")
	if at < 0 {
		return m, nil
	}
	// A decoder stops at the end of the object.
	if err := json.NewDecoder(strings.NewReader(line[at+len(prefix):])).Decode(&m); err != nil {
		return Message{}, fmt.Errorf("smoke test: unreadable finding %q: %w; look at the container's log", clip(line[at:]), err)
	}
	return m, nil
}

// Parse reads the probe's findings out of the lines a container wrote. Lines
// of services in between, and text glued to either end of a finding, do not
// matter.
func Parse(lines []string) Report {
	var rep Report
	seen := map[string][]Result{}
	summaries := 0
	wrong := func(format string, args ...any) {
		rep.problems = append(rep.problems, fmt.Errorf("smoke test: "+format, args...))
	}
	for _, line := range lines {
		m, err := Find(line)
		switch {
		case err != nil:
			rep.problems = append(rep.problems, err)
		case m.Result != nil:
			seen[m.Result.Check] = append(seen[m.Result.Check], *m.Result)
		case m.Summary != nil:
			rep.Summary = m.Summary
			summaries++
		case m.Terminating != nil:
			rep.Terminating = *m.Terminating
		case m.Death != nil:
			rep.Deaths = append(rep.Deaths, *m.Death)
		}
	}

	var missing []string
	for _, c := range Checks() {
		found := seen[c.ID]
		delete(seen, c.ID)
		rep.Results = append(rep.Results, found...)
		switch len(found) {
		case 0:
			missing = append(missing, c.ID)
		case 1:
		default:
			wrong("check %s was reported %d times instead of once; look at whether two probes ran", c.ID, len(found))
		}
	}
	for id := range seen {
		wrong("unknown check %s was reported; rebuild the probe from this tree", id)
	}
	if len(missing) > 0 {
		wrong("no finding for %s; look at the container's log for how the probe ended", strings.Join(missing, ", "))
	}
	failed := len(rep.failed())
	switch s := rep.Summary; {
	case summaries == 0:
		wrong("the probe wrote no summary, so it did not come to its end; look at the container's log")
	case summaries > 1:
		wrong("%d summaries instead of one; look at whether two probes ran", summaries)
	case s.Checks != len(rep.Results) || s.Failed != failed:
		wrong("the summary counts %d checks with %d failed, the findings %d with %d; look at the container's log for lost lines", s.Checks, s.Failed, len(rep.Results), failed)
	}
	return rep
}

// failed are the checks that did not pass.
func (r Report) failed() []Result {
	return slices.DeleteFunc(slices.Clone(r.Results), func(res Result) bool { return res.OK })
}

// Err is nil when each check was reported once, passed, and the probe came to
// its end. Else it joins one error a cause: checks that could not be asked
// because another one failed are left out.
func (r Report) Err() error {
	failed := r.failed()
	if own := slices.DeleteFunc(r.failed(), func(res Result) bool { return res.Needs != "" }); len(own) > 0 {
		failed = own
	}
	var errs []error
	for _, res := range failed {
		errs = append(errs, errors.New("smoke test: "+res.String()))
	}
	return errors.Join(append(errs, r.problems...)...)
}
