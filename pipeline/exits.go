package pipeline

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// maxExits is the number of exits of one service or NetBox process after which a
// boot is stopped: further restarts would not help.
const maxExits = 3

var (
	// exitLine matches the line that the image logs when a process exits, before it
	// restarts the process.
	exitLine = regexp.MustCompile(`^\[netbox\] (\S+) (ended with status -?\d+|was killed by (?:signal )?\w+)(?:: starting it again in .*)?$`)
	number   = regexp.MustCompile(`\d+`)
)

// exitCounter counts the exits of the services and NetBox processes of a container
// during its boot. s6 does not log the exit of a service: the probe does.
type exitCounter struct {
	lines []string             // output of all services and processes
	ended map[string]exitCount // by "reporter: service or process"
}

// exitCount holds the number of exits of a service or process, and the number of output
// lines at the last two.
type exitCount struct{ count, before, last int }

// add reads an output line of the container. It returns an error with the last
// output of a service or process that has exited maxExits times.
func (c *exitCounter) add(line string) error {
	if m := exitLine.FindStringSubmatch(line); m != nil {
		return c.record("the image", m[1], m[2])
	}
	// A malformed probe line is ordinary output here; it fails the smoke test.
	if message, _ := smoke.Find(line); message.Exit != nil {
		return c.record("the probe", message.Exit.Service, message.Exit.How)
	}
	if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "s6-") {
		c.lines = append(c.lines, line)
	}
	return nil
}

func (c *exitCounter) record(by, name, how string) error {
	if c.ended == nil {
		c.ended = map[string]exitCount{}
	}
	e := c.ended[by+": "+name]
	before, since := c.lines[e.before:e.last], c.lines[e.last:]
	e = exitCount{e.count + 1, e.last, len(c.lines)}
	c.ended[by+": "+name] = e
	if e.count < maxExits {
		return nil
	}
	return fmt.Errorf("%s ended %d times, the last time it %s%s", name, e.count, how, lastOutput(before, since))
}

// lastOutput finds the last line that a service or process wrote before it exited,
// among the lines of others: it is the last one that also precedes the exit before.
func lastOutput(before, since []string) string {
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
