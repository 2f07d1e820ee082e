package s6rc

import (
	"slices"
	"time"
)

// Where the sources lie in an image.
const (
	Dir        = "/etc/s6-overlay/s6-rc.d"
	BuiltinDir = "/package/admin/s6-overlay-3.1.6.2/etc/s6-rc/sources"
)

// Services that s6-rc-compile adds to every database.
const (
	OneshotRunner = "s6rc-oneshot-runner" // every oneshot depends on it
	FdHolder      = "s6rc-fdholder"       // none does: it serves pipelines
)

// Type is what a service source directory declares itself to be.
type Type string

// The three types.
const (
	Oneshot Type = "oneshot"
	Longrun Type = "longrun"
	Bundle  Type = "bundle"
)

// Service is a oneshot or a longrun.
type Service struct {
	Name string
	Type Type   // Oneshot or Longrun
	Path string // its source directory, e.g. /etc/s6-overlay/s6-rc.d/svc-cron; "" for the two internal ones

	// Requires are the names under dependencies.d as written, sorted, bundles
	// not expanded.
	Requires []string
	// Deps is what has to be up first: bundles expanded, OneshotRunner added
	// to a oneshot. Direct ones only, in descending database index.
	Deps []*Service
	// Dependents are the services that have this one among their Deps, in
	// descending database index.
	Dependents []*Service

	// Up and Down are a oneshot's command lines as argument vectors for
	// execve. Words inside an execline block have a space in front for each
	// level, and an empty word ends the block. Empty: nothing to run.
	Up, Down []string

	// NotificationFD is the descriptor a longrun reports readiness on, by a
	// newline; -1: none, it is ready at spawn.
	NotificationFD int

	TimeoutUp, TimeoutDown time.Duration // 0: no limit

	Essential bool // flag-essential: never stopped by "s6-rc -d change"
}

// BundleDef is a bundle: a name for several services.
type BundleDef struct {
	Name     string
	Contents []string   // as written, sorted
	Services []*Service // expanded, in ascending database index

	expanded bool
}

// Tree is a compiled set of service sources.
type Tree struct {
	// Services in the order of s6-rc's database: longruns (the two internal
	// ones first), then oneshots.
	Services []*Service
	Bundles  []*BundleDef
	// Warnings are what s6-rc-compile prints behind "s6-rc-compile: warning: ".
	Warnings []string
}

// Service returns the oneshot or longrun of that name, or nil.
func (t *Tree) Service(name string) *Service {
	for _, s := range t.Services {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// bundle returns the bundle of that name, or nil.
func (t *Tree) bundle(name string) *BundleDef {
	for _, b := range t.Bundles {
		if b.Name == name {
			return b
		}
	}
	return nil
}

// Closure returns everything that is up once the named services and bundles
// are: themselves and all they need, in descending database index, which is
// the order s6-rc looks at them. Unknown names count for nothing.
func (t *Tree) Closure(names ...string) []*Service {
	wanted := map[*Service]bool{}
	var add func(services []*Service)
	add = func(services []*Service) {
		for _, s := range services {
			if !wanted[s] {
				wanted[s] = true
				add(s.Deps)
			}
		}
	}
	for _, name := range names {
		if b := t.bundle(name); b != nil {
			add(b.Services)
		} else if s := t.Service(name); s != nil {
			add([]*Service{s})
		}
	}
	found := t.sorted(wanted)
	slices.Reverse(found)
	return found
}

// sorted lists some services in ascending database index.
func (t *Tree) sorted(some map[*Service]bool) []*Service {
	return slices.DeleteFunc(slices.Clone(t.Services), func(s *Service) bool { return !some[s] })
}
