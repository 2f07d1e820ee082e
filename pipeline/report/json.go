package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// JSON is report.json as Write writes it: hide takes the secrets out of what
// programs and people have said, and of nothing else. Names, digests and
// figures stay as they are, whatever a secret happens to be.
func (r Report) JSON(hide func(string) string) ([]byte, error) {
	return r.hidden(hide).indented()
}

func (r Report) indented() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// ErrDiffers is that a report is not the one it should be.
var ErrDiffers = errors.New("it is not the report that was judged")

// Same compares a text of JSON with the report that it was made of. Only what
// secrets are taken out of may differ.
func (r Report) Same(text []byte) error {
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		return fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	blank := func(s string) string { return strings.Repeat("*", min(1, len(s))) } // no text stays none
	want, err := r.JSON(blank)
	if err != nil {
		return err
	}
	got, err := back.JSON(blank)
	if err != nil {
		return err
	}
	wanted, found := bytes.Split(want, []byte("\n")), bytes.Split(got, []byte("\n"))
	for i := range min(len(wanted), len(found)) {
		if !bytes.Equal(wanted[i], found[i]) {
			return fmt.Errorf("%w: line %d is %s, want %s", ErrDiffers, i+1, bytes.TrimSpace(found[i]), bytes.TrimSpace(wanted[i]))
		}
	}
	if len(wanted) != len(found) {
		return fmt.Errorf("%w: it has %d lines, want %d", ErrDiffers, len(found), len(wanted))
	}
	return nil
}

// hidden is a copy of the report with its free text and its logs, and nothing
// else, through hide.
func (r Report) hidden(hide func(string) string) Report {
	each := func(list []string) []string {
		list = slices.Clone(list)
		for i := range list {
			list[i] = hide(list[i])
		}
		return list
	}
	r.Stages = slices.Clone(r.Stages)
	for i := range r.Stages {
		s := &r.Stages[i]
		s.Errors, s.Output, s.Skipped = each(s.Errors), each(s.Output), hide(s.Skipped)
	}
	r.Platforms = slices.Clone(r.Platforms)
	for i := range r.Platforms {
		p := &r.Platforms[i]
		p.Drift, p.Smoke = each(p.Drift), slices.Clone(p.Smoke)
		for i := range p.Smoke {
			s := &p.Smoke[i]
			s.Asked, s.Got, s.Error = hide(s.Asked), hide(s.Got), hide(s.Error)
		}
	}
	r.Missed = slices.Clone(r.Missed)
	for i := range r.Missed {
		r.Missed[i].Error = hide(r.Missed[i].Error)
	}
	if r.Difference != nil {
		d := *r.Difference
		d.Unknown = each(d.Unknown)
		r.Difference = &d
	}
	r.Logs = slices.Clone(r.Logs)
	for i := range r.Logs {
		r.Logs[i].Text = []byte(hide(string(r.Logs[i].Text)))
	}
	return r
}
