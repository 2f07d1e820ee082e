package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// maxLines is the maximum number of lines of one log on the page.
const maxLines = 4000

// logLine matches the reference to a line of a container's log in an error.
var logLine = regexp.MustCompile(`\(log line (\d+)\)`)

// linesBefore is the number of log lines shown beside an error that names a line.
const linesBefore = 6

// named returns the number of the log line that an error names; 0 for none.
func named(text string) int {
	m := logLine.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	line, _ := strconv.Atoi(m[1])
	return line
}

// lines returns the lines of the log, without colours.
func (log Log) lines() []string {
	text := strings.TrimRight(colours.ReplaceAllString(string(log.Text), ""), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

type logView struct {
	ID, Name         string
	Lines            []lineView
	Count            int // number of the log's lines, before repetitions were folded
	Errors, Warnings int
	Cut              int // number of lines omitted at the start
	Open             bool
}

type lineView struct {
	Text  string
	Level int  // 0 none, 1 warning, 2 error
	Here  bool // the line to open the log at
	same  string
}

// stamp matches the time and stream before a line's own text.
var stamp = regexp.MustCompile(`^\s*\d+\.\d+ (std(out|err) )?`)

// repeated is the number of equal consecutive lines from which they are folded.
const repeated = 3

// fill adds the lines of a log to its view. The log opens at line named, which the
// failure refers to, or at the first error if named is 0.
func (v *logView) fill(lines []string, named int) {
	v.Count, v.Cut = len(lines), max(0, len(lines)-maxLines)
	traceback := false
	for _, text := range lines[v.Cut:] {
		own := stamp.ReplaceAllString(text, "")
		l := lineView{Text: text, Level: level(text), same: own}
		switch { // a traceback ends with the first line that is not indented
		case strings.HasPrefix(own, "Traceback "):
			traceback = true
		case traceback:
			l.Level = 2
			traceback = strings.HasPrefix(own, " ") || own == ""
		}
		switch l.Level {
		case 1:
			v.Warnings++
		case 2:
			v.Errors++
		}
		v.Lines = append(v.Lines, l)
	}
	here := named - 1 - v.Cut
	if here < 0 {
		here = slices.IndexFunc(v.Lines, func(l lineView) bool { return l.Level == 2 })
	}
	if here >= 0 {
		v.Lines[here].Here = true
	}
	v.Lines = folded(v.Lines)
}

// folded replaces repetitions of a line by a count.
func folded(lines []lineView) (kept []lineView) {
	for i := 0; i < len(lines); {
		n := 1
		for i+n < len(lines) && lines[i+n].same == lines[i].same && !lines[i+n].Here {
			n++
		}
		if n < repeated {
			kept = append(kept, lines[i:i+n]...)
		} else {
			kept = append(kept, lines[i], lineView{Text: fmt.Sprintf("… and %d times more, until %s", n-1, strings.TrimSpace(strings.TrimSuffix(lines[i+n-1].Text, lines[i].same))), Level: lines[i].Level})
		}
		i += n
	}
	return kept
}

var (
	colours = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	// Keywords with which PostgreSQL, Redis, s6, nginx, Python and NetBox mark an
	// error. Lower case counts only where it is a mark: "0 errors" is good news.
	errorMark = regexp.MustCompile(`\b(ERROR|FATAL|PANIC|CRITICAL|FAILED|Traceback)\b|\b\w+(Error|Exception)(:|\s|$)|\b(fatal|error|panic):|\bE: |\[(emerg|alert|crit|error)\]|"ok":false`)
	// Chromium reports D-Bus, a graphics card and more as missing in any container.
	chromium = regexp.MustCompile(`\[\d{4}/\d{6}\.\d+:[A-Z]+:`)
	// The probe requests a host that NetBox must refuse.
	refused     = regexp.MustCompile(`Invalid HTTP_HOST header: '` + regexp.QuoteMeta(smoke.RefusedHost) + `'`)
	warningMark = regexp.MustCompile(`\b(WARN|WARNING)\b|\bwarning:|\[warn\]|^\s*[\d.]+ std(out|err) \d+:\w \d+ \w+ \d+ [\d:.]+ # `)
)

// level returns the severity of a log line.
func level(line string) int {
	switch {
	case chromium.MatchString(line), refused.MatchString(line):
		return 0
	case errorMark.MatchString(line):
		return 2
	case warningMark.MatchString(line):
		return 1
	}
	return 0
}
