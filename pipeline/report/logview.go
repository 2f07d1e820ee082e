package report

import (
	"regexp"
	"strconv"
	"strings"
)

// mostLines is how many lines of one log the page holds.
const mostLines = 4000

// logLine is how errors name a line of a container's log.
var logLine = regexp.MustCompile(`\(log line (\d+)\)`)

// linesBefore is how much of a log stands beside an error that names its line.
const linesBefore = 6

// before gives the end of the log up to the line that an error names.
func (log Log) before(text string) []string {
	named := logLine.FindStringSubmatch(text)
	if named == nil {
		return nil
	}
	line, _ := strconv.Atoi(named[1])
	lines := strings.Split(colours.ReplaceAllString(string(log.Text), ""), "\n")
	line = min(line, len(lines))
	return lines[max(0, line-linesBefore):line]
}

type logView struct {
	ID, Name         string
	Lines            []lineView
	Errors, Warnings int
	Cut              int // lines at the beginning that are left out
	Open             bool
}

type lineView struct {
	Text  string
	Level int // 0 says nothing, 1 a warning, 2 an error
}

func logID(name string) string { return "log-" + strings.TrimSuffix(name, ".log") }

func newLog(log Log) logView {
	v := logView{ID: logID(log.Name), Name: log.Name}
	text := strings.TrimRight(colours.ReplaceAllString(string(log.Text), ""), "\n")
	if text == "" {
		return v
	}
	lines := strings.Split(text, "\n")
	v.Cut = max(0, len(lines)-mostLines)
	for _, text := range lines[v.Cut:] {
		l := lineView{Text: text, Level: level(text)}
		switch l.Level {
		case 1:
			v.Warnings++
		case 2:
			v.Errors++
		}
		v.Lines = append(v.Lines, l)
	}
	return v
}

var (
	colours = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	// Words by which PostgreSQL, Redis, s6, Python and NetBox's own programs
	// mark a line. Small letters count only where they are a mark: "0 errors"
	// is good news.
	errorMark = regexp.MustCompile(`\b(ERROR|FATAL|PANIC|CRITICAL|FAILED|Traceback|\w+(Error|Exception):)|\b(fatal|error|panic):|"ok":false`)
	// Chromium misses D-Bus, a graphics card and more in every container.
	chromium    = regexp.MustCompile(`\[\d{4}/\d{6}\.\d+:[A-Z]+:`)
	warningMark = regexp.MustCompile(`\b(WARN|WARNING)\b|\bwarning:|^\s*[\d.]+ std(out|err) \d+:\w \d+ \w+ \d+ [\d:.]+ # `)
)

// level tells what a line of a log says of itself.
func level(line string) int {
	switch {
	case chromium.MatchString(line):
		return 0
	case errorMark.MatchString(line):
		return 2
	case warningMark.MatchString(line):
		return 1
	}
	return 0
}
