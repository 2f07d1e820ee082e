package s6rc

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"
)

func (c *compiler) resolveBundles() {
	done := map[*BundleDef]bool{}
	var way []string
	var resolve func(b *BundleDef)
	resolve = func(b *BundleDef) {
		if done[b] {
			return
		}
		if c.cycle(way, b.Name, "cyclic bundle definition: resolution of %s encountered a cycle involving %s") {
			return
		}
		way = append(way, b.Name)
		for _, name := range b.Contents {
			switch typ, declared := c.types[name]; {
			case typ == Bundle:
				resolve(c.bundles[name])
				b.Services = append(b.Services, c.bundles[name].Services...)
			case c.services[name] != nil:
				b.Services = append(b.Services, c.services[name])
			case !declared:
				c.fail(b.Name, "during resolution of bundle %s: undefined service name %s", b.Name, name)
			}
		}
		b.Services = byIndex(b.Services)
		way = way[:len(way)-1]
		done[b] = true
	}
	for _, b := range c.tree.Bundles {
		resolve(b)
	}
}

func (c *compiler) resolveServices() {
	for _, s := range c.tree.Services {
		names := slices.Clone(s.Requires)
		if s.Type == Oneshot {
			names = append(names, OneshotRunner)
		}
		for _, name := range names {
			typ, declared := c.types[name]
			switch {
			case typ == Bundle:
				s.Deps = append(s.Deps, c.bundles[name].Services...)
			case c.services[name] != nil:
				s.Deps = append(s.Deps, c.services[name])
			case !declared:
				c.fail(s.Name, "during dependency resolution for service %s: undefined service name %s", s.Name, name)
			}
		}
		s.Deps = byIndex(s.Deps)
		slices.Reverse(s.Deps)
	}
	for _, s := range slices.Backward(c.tree.Services) {
		for _, d := range s.Deps {
			d.Dependents = append(d.Dependents, s)
		}
	}
}

// findCycles walks as s6-rc-compile does, from the last service down, and
// names what it names.
func (c *compiler) findCycles() {
	done := make([]bool, len(c.tree.Services))
	var way []string
	var walk func(s *Service)
	walk = func(s *Service) {
		if done[s.index] {
			return
		}
		if c.cycle(way, s.Name, "cyclic service dependency reached from %s and involving %s") {
			return
		}
		way = append(way, s.Name)
		for _, d := range s.Deps {
			walk(d)
		}
		way = way[:len(way)-1]
		done[s.index] = true
	}
	for _, s := range slices.Backward(c.tree.Services) {
		walk(s)
	}
}

// cycle reports whether a name was on the way to itself, and complains.
func (c *compiler) cycle(way []string, name, message string) bool {
	i := slices.Index(way, name)
	if i < 0 {
		return false
	}
	c.problems = append(c.problems, Problem{Service: name, Message: fmt.Sprintf(message, way[0], name), Cycle: append(slices.Clone(way[i:]), name)})
	return true
}

// byIndex sorts into ascending database index and drops repetitions.
func byIndex(services []*Service) []*Service {
	slices.SortFunc(services, func(a, b *Service) int { return a.index - b.index })
	return slices.Compact(services)
}

func typeName(t Type) string {
	if t == "" {
		return "unknown"
	}
	return string(t)
}

// errno says what a C library would of err: musl's words, whatever file
// system the error comes from.
func errno(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied"
	case errors.Is(err, syscall.EISDIR):
		return "Is a directory"
	case errors.Is(err, syscall.ENOTDIR):
		return "Not a directory"
	case errors.Is(err, syscall.EINVAL), errors.Is(err, fs.ErrInvalid):
		return "Invalid argument"
	case errors.Is(err, syscall.ELOOP):
		return "Symbolic link loop"
	}
	return err.Error()
}
