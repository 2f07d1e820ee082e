package pipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// mostDeaths is how often a service, or a process of NetBox's, may end during a
// boot before the boot is given up: what ends for the third time ends for the
// thirtieth.
const mostDeaths = 3

var (
	// death is the line in which the image says that a process ended, which is then
	// started again.
	death  = regexp.MustCompile(`^\[netbox\] (\S+) (ended with status -?\d+|was killed by (?:signal )?\w+)(?:: starting it again in .*)?$`)
	number = regexp.MustCompile(`\d+`)
)

// deaths follows how often the services of a container, and the processes of
// NetBox's, end during its boot. s6 logs no end of a service: the probe does.
type deaths struct {
	lines []string        // of all services and processes
	ended map[string]ends // by who says so and what ended
}

// ends is how often something ended, and how many lines there were the last two
// times.
type ends struct{ count, before, last int }

// add reads a line of the container. The error says that something ends again
// and again, and with which last words.
func (d *deaths) add(line string) error {
	if m := death.FindStringSubmatch(line); m != nil {
		return d.end("the image", m[1], m[2])
	}
	// A line that cannot be read counts as any other, and fails the smoke test.
	if said, _ := smoke.Find(line); said.Death != nil {
		return d.end("the probe", said.Death.Service, said.Death.How)
	}
	if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "s6-") {
		d.lines = append(d.lines, line)
	}
	return nil
}

func (d *deaths) end(by, name, how string) error {
	if d.ended == nil {
		d.ended = map[string]ends{}
	}
	e := d.ended[by+": "+name]
	before, since := d.lines[e.before:e.last], d.lines[e.last:]
	e = ends{e.count + 1, e.last, len(d.lines)}
	d.ended[by+": "+name] = e
	if e.count < mostDeaths {
		return nil
	}
	return fmt.Errorf("%s ended %d times, the last time it %s%s", name, e.count, how, lastWords(before, since))
}

// lastWords finds the last line that something wrote before it ended, among
// those that others wrote meanwhile: it wrote it the time before as well.
func lastWords(before, since []string) string {
	form := func(line string) string { return number.ReplaceAllString(line, "0") } // times and process ids differ
	for _, line := range slices.Backward(since) {
		if slices.ContainsFunc(before, func(b string) bool { return form(b) == form(line) }) {
			return "; its last line: " + line
		}
	}
	if len(since) > 0 {
		return "; the last line of the log: " + since[len(since)-1]
	}
	return ""
}
