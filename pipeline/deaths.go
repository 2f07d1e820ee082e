package pipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// mostDeaths is the number of exits of one service, or one NetBox process, after
// which a boot is stopped: further restarts would not help.
const mostDeaths = 3

var (
	// death matches the line that the image logs when a process exits, before it
	// restarts the process.
	death  = regexp.MustCompile(`^\[netbox\] (\S+) (ended with status -?\d+|was killed by (?:signal )?\w+)(?:: starting it again in .*)?$`)
	number = regexp.MustCompile(`\d+`)
)

// deaths counts the exits of the services and NetBox processes of a container
// during its boot. s6 does not log the exit of a service: the probe does.
type deaths struct {
	lines []string        // output of all services and processes
	ended map[string]ends // by "reporter: service or process"
}

// ends holds the number of exits of a service or process, and the number of output
// lines at the last two.
type ends struct{ count, before, last int }

// add reads an output line of the container. It returns an error with the last
// output of a service or process that has exited mostDeaths times.
func (d *deaths) add(line string) error {
	if m := death.FindStringSubmatch(line); m != nil {
		return d.end("the image", m[1], m[2])
	}
	// A malformed probe line is ordinary output here; it fails the smoke test.
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

// lastWords finds the last line that a service or process wrote before it exited,
// among the lines of others: it is the last one that also precedes the exit before.
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
