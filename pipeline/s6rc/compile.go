package s6rc

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// Problem is one thing s6-rc-compile refuses a tree for.
type Problem struct {
	Message string // in its words, without "s6-rc-compile: fatal: "
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

// Load compiles the content of /etc/s6-overlay/s6-rc.d together with what
// s6-overlay adds: the bundles base and top, and the oneshots fix-attrs,
// legacy-cont-init and legacy-services. The commands of these are left empty:
// what they run is the supervisor's own affair. The error is a [Problems]. The
// tree is never nil: with an error it holds what could be read, to look at, not
// to run.
func Load(fsys fs.FS) (*Tree, error) {
	c := &compiler{types: map[string]Type{OneshotRunner: Longrun, FdHolder: Longrun}}
	for _, name := range []string{OneshotRunner, FdHolder} {
		c.longruns = append(c.longruns, &Service{Name: name, Type: Longrun, NotificationFD: -1, Essential: true})
	}
	builtin, err := fs.Sub(sources, "sources")
	if err != nil {
		panic(err) // a constant, valid path
	}
	c.addSource(Dir, fsys)
	c.addSource(BuiltinDir, builtin)
	c.tree.Services = append(c.longruns, c.oneshots...)
	c.resolve()
	c.findCycles()
	for _, check := range c.late {
		check()
	}
	if len(c.problems) > 0 {
		return &c.tree, c.problems
	}
	return &c.tree, nil
}

//go:embed sources
var sources embed.FS

type compiler struct {
	tree     Tree
	problems Problems
	late     []func() // what the real program finds only while it writes service directories

	types              map[string]Type // every declared name; "" for one whose type could not be read
	longruns, oneshots []*Service
}

func (c *compiler) fail(format string, args ...any) {
	c.problems = append(c.problems, Problem{Message: fmt.Sprintf(format, args...)})
}

func (c *compiler) warn(format string, args ...any) {
	c.tree.Warnings = append(c.tree.Warnings, fmt.Sprintf(format, args...))
}

func (c *compiler) addSource(dir string, fsys fs.FS) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		c.fail("unable to opendir %s: %s", dir, Errno(err))
		return
	}
	found := false
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue
		}
		if strings.Contains(name, "\n") {
			c.fail("subdirectory of %s contains a newline character", dir)
			continue
		}
		if !c.allowed(dir, name) {
			continue
		}
		info, err := fs.Stat(fsys, name)
		if err != nil {
			c.fail("unable to stat %s/%s: %s", dir, name, Errno(err))
			continue
		}
		if info.IsDir() {
			found = true
			c.addDefinition(&definition{c: c, fsys: fsys, dir: dir, name: name})
		}
	}
	if !found {
		c.warn("source %s is empty", dir)
	}
}

// allowed complains about a name reserved for s6-rc itself.
func (c *compiler) allowed(where, name string) bool {
	if strings.HasPrefix(name, "s6rc-") || strings.HasPrefix(name, "s6-rc-") {
		c.fail("in %s: identifier %s starts with reserved prefix", where, name)
		return false
	}
	return true
}

func (c *compiler) addDefinition(d *definition) {
	text, err := d.read("type")
	if err != nil {
		c.fail("unable to read %s: %s", d.path("type"), Errno(err))
		c.types[d.name] = ""
		return
	}
	// Eight bytes are all the real program looks at.
	typ := Type(strings.TrimSuffix(text[:min(8, len(text))], "\n"))
	if typ != Oneshot && typ != Longrun && typ != Bundle {
		c.fail("invalid %s: must be oneshot, longrun, or bundle", d.path("type"))
		c.types[d.name] = ""
		return
	}
	if old, ok := c.types[d.name]; ok {
		c.fail("duplicate service definition: %s defined in %s is already defined and has type %s", d.name, d.dir, cmp.Or(old, "unknown"))
		return
	}
	c.types[d.name] = typ
	if typ == Bundle {
		b := &BundleDef{Name: d.name}
		var ok bool
		if b.Contents, ok = d.names("contents"); !ok {
			c.fail("unable to open %s: No such file or directory", d.path("contents"))
		}
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
		c.fail("unable to find a run script in %s", d.path("run"))
	case err != nil:
		c.fail("unable to open %s: %s", d.path("run"), Errno(err))
	case !info.Mode().IsRegular():
		c.fail("%s is not a regular file", d.path("run"))
	}
	d.noPipeline()
	c.late = append(c.late, func() { d.supervision(s) })
	c.longruns = append(c.longruns, s)
}
