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

// prefix distinguishes the probe's lines from those of the services.
const prefix = "netbox-probe: "

// limit is the maximum length, in bytes, of each of a result's two texts. It keeps
// a line below PIPE_BUF (4096 bytes), up to which writes to a pipe are atomic.
// Escaping at most doubles a text without control characters.
const limit = 800

// Message is one line of the stream; exactly one field is set.
type Message struct {
	Result   *Result    `json:"result,omitempty"`
	Summary  *Summary   `json:"summary,omitempty"`     // follows the results
	StopTime *time.Time `json:"terminating,omitempty"` // just before PID 1 is sent SIGTERM
	Exit     *Exit      `json:"death,omitempty"`
}

// Exit is one exit of a service that s6 supervises and restarts.
type Exit struct {
	Service string `json:"service"`
	Count   int    `json:"count"` // number of exits since the container's start
	How     string `json:"how"`   // exit status or signal, in words
}

// Write writes the message to the stream in one write, so that it is not
// interleaved with others.
func (m Message) Write(w io.Writer) error {
	if m.Result != nil {
		r := *m.Result
		r.Asked, r.Got = clip(r.Asked), clip(r.Got)
		m.Result = &r
	}
	line := bytes.NewBufferString(prefix)
	enc := json.NewEncoder(line)
	enc.SetEscapeHTML(false) // for readability in logs
	if err := enc.Encode(m); err != nil {
		return fmt.Errorf("writing a finding: %w", err)
	}
	_, err := w.Write(line.Bytes())
	return err
}

// clip reduces a text to one line of limited length.
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

// Report is the outcome of a smoke test, parsed from a container's log.
type Report struct {
	Results  []Result  // reported results, in the order of Checks
	Summary  *Summary  // nil when the probe did not finish
	StopTime time.Time // when the probe sent SIGTERM to PID 1, by the container's clock; zero if it did not
	Exits    []Exit    // exits of services before the stop
	problems []error   // errors of the stream itself
}

// Find parses the message in a line, ignoring text before and after it. It
// returns a zero Message for a line without one.
func Find(line string) (m Message, err error) {
	at := strings.Index(line, prefix+"{")
	if at < 0 {
		return m, nil
	}
	// A Decoder ignores text after the object; Unmarshal would not.
	if err := json.NewDecoder(strings.NewReader(line[at+len(prefix):])).Decode(&m); err != nil {
		return Message{}, fmt.Errorf("smoke test: unreadable finding %q: %w; look at the container's log", clip(line[at:]), err)
	}
	return m, nil
}

// Parse reads the probe's results from a container's log. It ignores the lines of
// services, and text before and after a message.
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
		case m.StopTime != nil:
			rep.StopTime = *m.StopTime
		case m.Exit != nil:
			rep.Exits = append(rep.Exits, *m.Exit)
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

// failed returns the checks that did not pass.
func (r Report) failed() []Result {
	return slices.DeleteFunc(slices.Clone(r.Results), func(res Result) bool { return res.OK })
}

// Err returns nil if each check was reported once and passed, and the probe
// finished. Otherwise it joins one error per cause: it omits checks that were
// skipped because another one failed.
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
