package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// mostLines is how many lines of one log the page holds.
const mostLines = 4000

// logLine is how errors name a line of a container's log.
var logLine = regexp.MustCompile(`\(log line (\d+)\)`)

// linesBefore is how much of a log stands beside an error that names its line.
const linesBefore = 6

// named is the number of the line of a log that an error names; 0 for none.
func named(text string) int {
	m := logLine.FindStringSubmatch(text)
	if m == nil {
		return 0
	}
	line, _ := strconv.Atoi(m[1])
	return line
}

// lines are those of the log, without colours.
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
	Count            int // of the log's lines, before repetitions were folded
	Errors, Warnings int
	Cut              int // lines at the beginning that are left out
	Open             bool
}

type lineView struct {
	Text  string
	Level int  // 0 says nothing, 1 a warning, 2 an error
	Here  bool // the line to open the log at
	same  string
}

// stamp is what a line begins with before its own text.
var stamp = regexp.MustCompile(`^\s*\d+\.\d+ (std(out|err) )?`)

// repeated is how often a line has to come in a row before it is folded.
const repeated = 3

// fill puts the lines of a log into its view, to be opened at the one of that
// number, which the failure names, or at the first error when that is 0.
func (v *logView) fill(lines []string, named int) {
	v.Count, v.Cut = len(lines), max(0, len(lines)-mostLines)
	traceback := false
	for _, text := range lines[v.Cut:] {
		own := stamp.ReplaceAllString(text, "")
		l := lineView{Text: text, Level: level(text), same: own}
		switch { // a traceback goes on until the line that is not indented
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

// folded is lines with a count in the place of those that say the same again.
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
	// Words by which PostgreSQL, Redis, s6, nginx, Python and NetBox's own
	// programs mark a line. Small letters count only where they are a mark: "0
	// errors" is good news.
	errorMark = regexp.MustCompile(`\b(ERROR|FATAL|PANIC|CRITICAL|FAILED|Traceback)\b|\b\w+(Error|Exception)(:|\s|$)|\b(fatal|error|panic):|\bE: |\[(emerg|alert|crit|error)\]|"ok":false`)
	// Chromium misses D-Bus, a graphics card and more in every container.
	chromium = regexp.MustCompile(`\[\d{4}/\d{6}\.\d+:[A-Z]+:`)
	// The probe asks for a host that NetBox has to refuse.
	refused     = regexp.MustCompile(`Invalid HTTP_HOST header: '` + regexp.QuoteMeta(smoke.RefusedHost) + `'`)
	warningMark = regexp.MustCompile(`\b(WARN|WARNING)\b|\bwarning:|\[warn\]|^\s*[\d.]+ std(out|err) \d+:\w \d+ \w+ \d+ [\d:.]+ # `)
)

// level is what a line of a log says of itself.
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
