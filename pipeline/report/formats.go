package report

import (
	"encoding/xml"
	"fmt"
	"html"
	"strings"
)

// status returns the verdict in the format that linuxserver.io's tools read.
func (r Report) status() ([]byte, error) {
	return fmt.Appendf(nil, "CI: '%s'\n", map[Verdict]string{Passed: "PASS", Failed: "FAIL"}[r.Verdict()]), nil
}

// badge returns the verdict as an SVG badge for other pages. It assumes letters of
// 6.5 pixels width.
func (r Report) badge() ([]byte, error) {
	verdict, label := r.Verdict(), "NetBox "+r.Version
	colour := map[Verdict]string{Passed: "#2e7d32", Failed: "#c62828"}[verdict]
	left, right := 12+len(label)*13/2, 12+len(verdict)*13/2
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="20" role="img" aria-label="%[3]s: %[4]s">`+
		`<title>%[3]s: %[4]s</title><clipPath id="r"><rect width="%[1]d" height="20" rx="3"/></clipPath>`+
		`<g clip-path="url(#r)"><rect width="%[2]d" height="20" fill="#444"/><rect x="%[2]d" width="%[5]d" height="20" fill="%[6]s"/></g>`+
		`<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">`+
		`<text x="%[7]d" y="14">%[3]s</text><text x="%[8]d" y="14">%[4]s</text></g></svg>`+"\n",
		left+right, left, html.EscapeString(label), verdict, right, colour, left/2, left+right/2), nil
}

// The part of the JUnit format that all readers support.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Name    string       `xml:"name,attr"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`

		seconds float64
	}
	junitCase struct {
		Class   string     `xml:"classname,attr"`
		Name    string     `xml:"name,attr"`
		Time    string     `xml:"time,attr"`
		Failure *junitNote `xml:"failure"`
		Skipped *junitNote `xml:"skipped"`
	}
	junitNote struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func (s *junitSuite) add(c junitCase, seconds float64) {
	c.Time = fmt.Sprintf("%.3f", seconds)
	s.seconds += seconds
	s.Time = fmt.Sprintf("%.3f", s.seconds)
	s.Tests++
	if c.Failure != nil {
		s.Failures++
	}
	if c.Skipped != nil {
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

// junit returns one test suite with the stages and one with the checks of each
// platform.
func (r Report) junit() ([]byte, error) {
	stages := junitSuite{Name: "stages"}
	for _, s := range r.Outcomes() {
		c := junitCase{Class: strings.TrimSuffix("stages."+s.Platform, "."), Name: s.Stage}
		switch s.Verdict() {
		case Failed, Missing:
			c.Failure = &junitNote{s.Why(), strings.Join(s.Errors, "\n")}
		case Skipped:
			c.Skipped = &junitNote{Message: s.Skipped}
		}
		stages.add(c, s.Seconds)
	}
	all := junitSuites{Name: r.Project, Suites: []junitSuite{stages}}
	for _, p := range r.Platforms {
		suite := junitSuite{Name: "smoke " + p.Platform}
		for _, check := range p.Smoke {
			c := junitCase{Class: "smoke." + p.Platform, Name: check.Name}
			if check.Error != "" {
				c.Failure = &junitNote{check.Error, fmt.Sprintf("asked: %s\ngot: %s", check.Asked, check.Got)}
			}
			suite.add(c, check.Seconds)
		}
		if len(suite.Cases) > 0 {
			all.Suites = append(all.Suites, suite)
		}
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	return append([]byte(xml.Header), append(text, '\n')...), err
}
