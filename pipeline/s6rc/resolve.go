package s6rc

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
)

// resolve finds the services that bundles and dependencies name.
func (c *compiler) resolve() {
	for _, b := range c.tree.Bundles {
		c.expand(b, nil)
	}
	for _, s := range c.tree.Services {
		names := s.Requires
		if s.Type == Oneshot {
			names = append(slices.Clone(names), OneshotRunner)
		}
		s.Deps = c.named(names, nil, "dependency resolution for service "+s.Name)
		slices.Reverse(s.Deps)
	}
	for _, s := range slices.Backward(c.tree.Services) {
		for _, d := range s.Deps {
			d.Dependents = append(d.Dependents, s)
		}
	}
}

// expand finds the services of a bundle; way are the bundles that led to it.
func (c *compiler) expand(b *BundleDef, way []string) {
	if b.expanded || c.cycle(way, b.Name, "cyclic bundle definition: resolution of %s encountered a cycle involving %s") {
		return
	}
	b.Services = c.named(b.Contents, append(way, b.Name), "resolution of bundle "+b.Name)
	b.expanded = true
}

// named are the services that names stand for, in ascending database index and
// each once.
func (c *compiler) named(names, way []string, during string) []*Service {
	found := map[*Service]bool{}
	for _, name := range names {
		if b := c.tree.bundle(name); b != nil {
			c.expand(b, way)
			for _, s := range b.Services {
				found[s] = true
			}
		} else if s := c.tree.Service(name); s != nil {
			found[s] = true
		} else if _, declared := c.types[name]; !declared {
			c.fail("during %s: undefined service name %s", during, name)
		}
	}
	return c.tree.sorted(found)
}

// findCycles walks as s6-rc-compile does, from the last service down, and
// names what it names.
func (c *compiler) findCycles() {
	done := map[*Service]bool{}
	var walk func(s *Service, way []string)
	walk = func(s *Service, way []string) {
		if done[s] || c.cycle(way, s.Name, "cyclic service dependency reached from %s and involving %s") {
			return
		}
		for _, d := range s.Deps {
			walk(d, append(way, s.Name))
		}
		done[s] = true
	}
	for _, s := range slices.Backward(c.tree.Services) {
		walk(s, nil)
	}
}

// cycle reports whether a name was on the way to itself, and complains.
func (c *compiler) cycle(way []string, name, message string) bool {
	i := slices.Index(way, name)
	if i < 0 {
		return false
	}
	c.problems = append(c.problems, Problem{Message: fmt.Sprintf(message, way[0], name), Cycle: append(slices.Clone(way[i:]), name)})
	return true
}

// Errno says what a C library would of err: musl's words, whatever file
// system the error comes from.
func Errno(err error) string {
	var errno syscall.Errno
	switch {
	case errors.Is(err, syscall.ELOOP):
		return "Symbolic link loop"
	case errors.As(err, &errno):
		text := errno.Error()
		return strings.ToUpper(text[:1]) + text[1:]
	case errors.Is(err, fs.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied"
	case errors.Is(err, fs.ErrInvalid):
		return "Invalid argument"
	}
	return err.Error()
}
