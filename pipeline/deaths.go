package pipeline

import (
	"fmt"
	"regexp"
	"strings"
)

// mostDeaths is how often a process of NetBox's may end during a boot before
// the boot is given up: what ends for the third time ends for the thirtieth.
const mostDeaths = 3

// death is the line in which the image says that a process ended, which is then
// started again.
var death = regexp.MustCompile(`^\[netbox\] (\S+) (ended with status -?\d+|was killed by (?:signal )?\w+)(?:: starting it again in .*)?$`)

// deaths counts how often the processes of a container end during its boot.
type deaths struct {
	count map[string]int
	last  string // line that a process wrote itself
}

// add reads a line of the container. The error says that a process ends again
// and again, and with which last words.
func (d *deaths) add(line string) error {
	m := death.FindStringSubmatch(line)
	if m == nil {
		if strings.TrimSpace(line) != "" && !strings.HasPrefix(line, "s6-") {
			d.last = line
		}
		return nil
	}
	if d.count == nil {
		d.count = map[string]int{}
	}
	if d.count[m[1]]++; d.count[m[1]] < mostDeaths {
		return nil
	}
	return fmt.Errorf("%s ended %d times, the last time it %s; its last line: %s", m[1], d.count[m[1]], m[2], d.last)
}
