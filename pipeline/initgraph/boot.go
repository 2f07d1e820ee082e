package initgraph

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// Boot has the times of the services in a boot's log.
type Boot struct {
	Services []Timing      // in start order
	Critical []string      // names on the critical path: each waited for the previous one
	Done     time.Duration // from the container's start to "[ls.io-init] done."; 0 if never logged
}

// Timing has the times at which a service was started and became ready, relative
// to the container's start. Ready is 0 if it never was ready.
type Timing struct {
	Name  string
	Type  s6rc.Type
	Start time.Duration
	Ready time.Duration
}

// CheckBoot checks the log of a boot with S6_VERBOSITY 2 against the service tree:
// each service that should be up was started once, after its dependencies, and
// became ready; nothing failed; and the base image logged the end of the boot. It
// uses only s6-rc's own lines, because the output of services may be logged before
// or after them. It returns all errors joined, and the Boot even then.
func CheckBoot(tree *s6rc.Tree, events []s6rc.Event) (*Boot, error) {
	var problems []error
	report := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("boot: "+format, args...))
	}
	boot, seen := &Boot{}, map[string]serviceState{}
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
				seen[e.Service] = serviceState{Timing: Timing{Name: e.Service, Type: service.Type, Start: e.At}, starting: place}
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
	slices.Reverse(wanted) // so that dependencies tend to come first
	for _, s := range wanted {
		switch {
		case seen[s.Name].starting == 0:
			report("service %s was never started: %s", s.Name, reasonNotStarted(s, seen))
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
	boot.Critical = criticalPath(tree.Services, seen)
	return boot, errors.Join(problems...)
}

// serviceState is the state of a service; zero if it was not started.
type serviceState struct {
	Timing
	starting, ready int // positions of the events, from 1
}

// reasonNotStarted names the missing dependencies of a service that was not started.
func reasonNotStarted(s *s6rc.Service, seen map[string]serviceState) string {
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

// criticalPath returns the critical path: from the service that became ready last, it
// follows the dependency that became ready last.
func criticalPath(among []*s6rc.Service, seen map[string]serviceState) (names []string) {
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
