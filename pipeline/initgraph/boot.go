package initgraph

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// Boot is what the log of a boot says about the services.
type Boot struct {
	Services []Timing      // in the order they were started
	Critical []string      // names on the critical path: each waited for the one before
	Done     time.Duration // from the container's start to "[ls.io-init] done."; 0 when never reached
}

// Timing is when a service was started and when it was ready, since the
// container's start. Ready is 0 when it never was.
type Timing struct {
	Name  string
	Type  s6rc.Type
	Start time.Duration
	Ready time.Duration
}

// CheckBoot holds the log of a boot at S6_VERBOSITY 2 against the service
// tree: everything that ought to be up came up, each after all it depends on
// and once only, nothing failed, and the base image said that it was done.
// Only s6-rc's own lines count, for the output of services may arrive before
// or after them. What is wrong comes back joined, a line each; Boot holds
// what was seen also then.
func CheckBoot(tree *s6rc.Tree, events []s6rc.Event) (*Boot, error) {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("boot: "+format, args...))
	}
	boot, seen := &Boot{}, map[string]progress{}
	var order []string
	var done, stops bool
	for i, e := range events {
		place, service := i+1, tree.Service(e.Service)
		known := e.Service == "" || service != nil
		p := seen[e.Service]
		switch e.Kind {
		case s6rc.KindStarting:
			switch {
			case !known:
				report("service %s was started but is not in the image's service tree (log line %d): the tree was changed while booting", e.Service, e.Line)
			case p.starting > 0:
				report("service %s was started a second time (log line %d): look above that line for why it ended", e.Service, e.Line)
			default:
				seen[e.Service] = progress{Timing: Timing{Name: e.Service, Type: service.Type, Start: e.At}, starting: place}
				order = append(order, e.Service)
			}
		case s6rc.KindStarted:
			if p.starting > 0 && p.ready == 0 {
				p.ready, p.Ready = place, e.At
				seen[e.Service] = p
			} else if known && p.starting == 0 {
				report("service %s came up without having been started (log line %d): the log is not whole", e.Service, e.Line)
			}
		case s6rc.KindStopping:
			if !done && !stops {
				report("service %s was stopped before the boot was done (log line %d): look above that line for why", e.Service, e.Line)
			}
			stops = true
		case s6rc.KindReady:
			if !done {
				done, boot.Done = true, e.At
			}
		default:
			if e.Bad() {
				report("%s (log line %d)", e.Text, e.Line)
			}
		}
	}
	for _, name := range order {
		boot.Services = append(boot.Services, seen[name].Timing)
	}
	if len(order) == 0 {
		report("the log has no line of s6-rc: boot with S6_VERBOSITY=2 or higher, and see whether /init ran at all")
		return boot, errors.Join(problems...)
	}

	wanted := tree.Closure("top")
	slices.Reverse(wanted) // what others wait for tends to come first
	for _, s := range wanted {
		switch {
		case seen[s.Name].starting == 0:
			report("service %s was never started: %s", s.Name, whyNot(s, seen))
			continue
		case seen[s.Name].ready == 0:
			report("service %s was started but never came up: look for its own lines in the log", s.Name)
		}
		for _, d := range s.Deps {
			if up := seen[d.Name].ready; up == 0 || up > seen[s.Name].starting {
				report("service %s was started before %s, which it depends on, was up", s.Name, d.Name)
			}
		}
	}
	if !done {
		report("%q never appeared: something in the bundle user did not come up", "[ls.io-init] done.")
	}
	boot.Critical = critical(tree.Services, seen)
	return boot, errors.Join(problems...)
}

// progress is how far a service has come; zero where it was not started.
type progress struct {
	Timing
	starting, ready int // place among the events, from 1
}

// whyNot names the dependencies that kept a service from starting.
func whyNot(s *s6rc.Service, seen map[string]progress) string {
	var missing []string
	for _, d := range s.Deps {
		if seen[d.Name].ready == 0 {
			missing = append(missing, d.Name)
		}
	}
	if len(missing) == 0 {
		return "all it depends on was up: see whether the log is whole"
	}
	return fmt.Sprintf("it waits for %q, not up either", missing)
}

// critical walks back from the service that was up last, each time to the
// dependency that was up last.
func critical(among []*s6rc.Service, seen map[string]progress) (names []string) {
	for {
		last := &s6rc.Service{}
		for _, s := range among {
			if seen[s.Name].ready > seen[last.Name].ready {
				last = s
			}
		}
		if last.Name == "" || slices.Contains(names, last.Name) {
			slices.Reverse(names)
			return names
		}
		names, among = append(names, last.Name), last.Deps
	}
}
