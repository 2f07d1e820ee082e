package s6rc

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Problem is one thing s6-rc-compile refuses a tree for.
type Problem struct {
	Message string // in its words, without "s6-rc-compile: fatal: "
	Service string // the service or bundle it was found in; "" if none
	// Cycle is the way round for a cyclic dependency or bundle: each needs
	// (contains) the next, the last is the first again.
	Cycle []string
}

func (p Problem) Error() string { return p.Message }

// Problems is all that is wrong with a tree, in the order in which
// s6-rc-compile would come across it. The program itself stops at the first.
type Problems []Problem

// Error is the message that s6-rc-compile ends with.
func (p Problems) Error() string { return p[0].Message }

// Unwrap returns every problem.
func (p Problems) Unwrap() []error {
	all := make([]error, len(p))
	for i, problem := range p {
		all[i] = problem
	}
	return all
}

// Compile reads the sources in the order given. See Load for what it returns.
func Compile(from ...Source) (*Tree, error) {
	c := &compiler{
		types:    map[string]Type{OneshotRunner: Longrun, FdHolder: Longrun},
		services: map[string]*Service{},
		bundles:  map[string]*BundleDef{},
	}
	for _, name := range []string{OneshotRunner, FdHolder} {
		c.longruns = append(c.longruns, &Service{Name: name, Type: Longrun, NotificationFD: -1, Essential: true})
	}
	for _, source := range from {
		c.addSource(source)
	}
	c.tree.Services = append(c.longruns, c.oneshots...)
	for i, s := range c.tree.Services {
		s.index = i
		c.services[s.Name] = s
	}
	c.resolveBundles()
	c.resolveServices()
	c.findCycles()
	c.problems = append(c.problems, c.late...)
	if len(c.problems) > 0 {
		return &c.tree, c.problems
	}
	return &c.tree, nil
}

type compiler struct {
	tree     Tree
	problems Problems
	late     Problems // what the real program finds only while it writes service directories

	types              map[string]Type // every declared name; "" for one whose type could not be read
	longruns, oneshots []*Service
	services           map[string]*Service
	bundles            map[string]*BundleDef
}

func (c *compiler) fail(service, format string, args ...any) {
	c.problems = append(c.problems, Problem{Message: fmt.Sprintf(format, args...), Service: service})
}

func (c *compiler) warn(format string, args ...any) {
	c.tree.Warnings = append(c.tree.Warnings, fmt.Sprintf(format, args...))
}

func (c *compiler) addSource(src Source) {
	entries, err := fs.ReadDir(src.FS, ".")
	if err != nil {
		c.fail("", "unable to opendir %s: %s", src.Dir, errno(err))
		return
	}
	found := false
	for _, e := range slices.SortedFunc(slices.Values(entries), func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) }) {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if strings.Contains(name, "\n") {
			c.fail("", "subdirectory of %s contains a newline character", src.Dir)
			continue
		}
		if !c.allowed(src.Dir, name) {
			continue
		}
		info, err := fs.Stat(src.FS, name)
		if err != nil {
			c.fail(name, "unable to stat %s/%s: %s", src.Dir, name, errno(err))
			continue
		}
		if info.IsDir() {
			found = true
			c.addDefinition(&definition{c: c, fsys: src.FS, dir: src.Dir, name: name})
		}
	}
	if !found {
		c.warn("source %s is empty", src.Dir)
	}
}

// allowed complains about a name reserved for s6-rc itself.
func (c *compiler) allowed(where, name string) bool {
	if strings.HasPrefix(name, "s6rc-") || strings.HasPrefix(name, "s6-rc-") {
		c.fail("", "in %s: identifier %s starts with reserved prefix", where, name)
		return false
	}
	return true
}

func (c *compiler) addDefinition(d *definition) {
	text, err := d.read("type")
	if err != nil {
		c.fail(d.name, "unable to read %s: %s", d.path("type"), errno(err))
		c.types[d.name] = ""
		return
	}
	// Eight bytes are all the real program looks at.
	typ := Type(strings.TrimSuffix(text[:min(8, len(text))], "\n"))
	if typ != Oneshot && typ != Longrun && typ != Bundle {
		c.fail(d.name, "invalid %s: must be oneshot, longrun, or bundle", d.path("type"))
		c.types[d.name] = ""
		return
	}
	if old, ok := c.types[d.name]; ok {
		c.fail(d.name, "duplicate service definition: %s defined in %s is already defined and has type %s", d.name, d.dir, typeName(old))
		return
	}
	c.types[d.name] = typ
	if typ == Bundle {
		b := &BundleDef{Name: d.name}
		var ok bool
		if b.Contents, ok = d.names("contents"); !ok {
			c.fail(d.name, "unable to open %s: No such file or directory", d.path("contents"))
		}
		c.bundles[b.Name] = b
		c.tree.Bundles = append(c.tree.Bundles, b)
		return
	}

	s := &Service{Name: d.name, Type: typ, Path: d.dir + "/" + d.name, NotificationFD: -1}
	s.Requires, _ = d.names("dependencies")
	s.TimeoutDown = d.timeout("timeout-down")
	s.TimeoutUp = d.timeout("timeout-up")
	_, err = fs.Stat(d.fsys, d.name+"/flag-essential")
	s.Essential = err == nil
	if typ == Oneshot {
		s.Up = d.script("up", true)
		s.Down = d.script("down", false)
		c.oneshots = append(c.oneshots, s)
		return
	}
	switch info, err := fs.Stat(d.fsys, d.name+"/run"); {
	case errors.Is(err, fs.ErrNotExist):
		c.fail(d.name, "unable to find a run script in %s", d.path("run"))
	case err != nil:
		c.fail(d.name, "unable to open %s: %s", d.path("run"), errno(err))
	case !info.Mode().IsRegular():
		c.fail(d.name, "%s is not a regular file", d.path("run"))
	}
	d.noPipeline()
	d.supervision(s)
	c.longruns = append(c.longruns, s)
}
