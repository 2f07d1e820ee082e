package s6rc

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"syscall"
)

// addPipelines makes a bundle of each named pipeline: its last consumer and
// all that feeds it.
func (c *compiler) addPipelines() {
	for _, name := range slices.Sorted(maps.Keys(c.pipelines)) {
		if old, ok := c.types[name]; ok {
			c.fail(name, "duplicate service definition: %s defined in s6-rc-compile internals is already defined and has type %s", name, typeName(old))
			continue
		}
		b := &BundleDef{Name: name}
		var add func(s *Service)
		add = func(s *Service) {
			if s == nil || slices.Contains(b.Contents, s.Name) {
				return
			}
			b.Contents = append(b.Contents, s.Name)
			for _, p := range s.consumerFor {
				add(c.services[p])
			}
		}
		add(c.pipelines[name])
		slices.Sort(b.Contents)
		c.types[name], c.bundles[name] = Bundle, b
		c.tree.Bundles = append(c.tree.Bundles, b)
	}
}

func (c *compiler) resolveBundles() {
	done := map[*BundleDef]bool{}
	var way []string
	var resolve func(b *BundleDef)
	resolve = func(b *BundleDef) {
		if done[b] {
			return
		}
		if i := slices.Index(way, b.Name); i >= 0 {
			c.problems = append(c.problems, Problem{
				Service: b.Name,
				Message: fmt.Sprintf("cyclic bundle definition: resolution of %s encountered a cycle involving %s", way[0], b.Name),
				Cycle:   append(slices.Clone(way[i:]), b.Name),
			})
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
		c.checkPipeline(s)
		names := slices.Clone(s.Requires)
		if s.Type == Oneshot {
			names = append(names, OneshotRunner)
		}
		if s.producerFor != "" {
			names = append(names, s.producerFor)
		}
		if s.producerFor != "" || len(s.consumerFor) > 0 {
			names = append(names, FdHolder)
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

func (c *compiler) checkPipeline(s *Service) {
	if name := s.producerFor; name != "" {
		if typ := c.types[name]; typ != Longrun {
			c.fail(s.Name, "longrun service %s declares being a producer for a service named %s of type %s", s.Name, name, typeName(typ))
			s.producerFor = ""
		} else if !slices.Contains(c.services[name].consumerFor, s.Name) {
			c.fail(s.Name, "longrun service %s declares being a producer for a service named %s that does not declare it back", s.Name, name)
		}
	}
	for _, name := range s.consumerFor {
		if typ := c.types[name]; typ != Longrun {
			c.fail(s.Name, "longrun service %s declares being the consumer for a service named %s of type %s", s.Name, name, typeName(typ))
		} else if c.services[name].producerFor != s.Name {
			c.fail(s.Name, "longrun service %s declares being the consumer for a service named %s that does not declare it back", s.Name, name)
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
		if i := slices.Index(way, s.Name); i >= 0 {
			c.problems = append(c.problems, Problem{
				Service: s.Name,
				Message: fmt.Sprintf("cyclic service dependency reached from %s and involving %s", way[0], s.Name),
				Cycle:   append(slices.Clone(way[i:]), s.Name),
			})
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
