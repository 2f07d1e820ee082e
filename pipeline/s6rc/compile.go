package s6rc

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
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

// Unwrap gives every problem.
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
		types:     map[string]Type{OneshotRunner: Longrun, FdHolder: Longrun},
		services:  map[string]*Service{},
		bundles:   map[string]*BundleDef{},
		pipelines: map[string]*Service{},
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
	c.addPipelines()
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
	pipelines          map[string]*Service // pipeline name -> its last consumer
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
		b := &BundleDef{Name: d.name, Path: d.dir + "/" + d.name}
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
	d.pipeline(s)
	d.supervision(s)
	c.longruns = append(c.longruns, s)
}

// definition is one service source directory being read.
type definition struct {
	c         *compiler
	fsys      fs.FS
	dir, name string
}

func (d *definition) path(file string) string { return d.dir + "/" + d.name + "/" + file }

func (d *definition) read(file string) (string, error) {
	info, err := fs.Stat(d.fsys, d.name+"/"+file)
	if err != nil {
		return "", err
	}
	if info.IsDir() { // file systems differ in what they call this
		return "", syscall.EISDIR
	}
	text, err := fs.ReadFile(d.fsys, d.name+"/"+file)
	return string(text), err
}

// names reads FILE.d, or else the older FILE with a name a line.
func (d *definition) names(file string) ([]string, bool) {
	entries, err := fs.ReadDir(d.fsys, d.name+"/"+file+".d")
	if err == nil {
		var names []string
		for _, e := range entries {
			if name := e.Name(); !strings.HasPrefix(name, ".") && d.c.allowed(d.name, name) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names, true
	}
	if !errors.Is(err, fs.ErrNotExist) {
		if info, e := fs.Stat(d.fsys, d.name+"/"+file+".d"); e == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		d.c.fail(d.name, "unable to opendir %s: %s", d.path(file+".d"), errno(err))
		return nil, true
	}
	names, ok := d.list(file)
	slices.Sort(names)
	return names, ok
}

// list reads a file that holds a name a line, comments and blanks aside.
func (d *definition) list(file string) ([]string, bool) {
	text, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		d.c.fail(d.name, "unable to read %s: %s", d.path(file), errno(err))
		return nil, true
	}
	var names []string
	for line := range strings.SplitSeq(text, "\n") {
		name := strings.TrimLeft(line, " \t")
		switch {
		case name == "" || name[0] == '#' || !d.c.allowed(d.name, name):
		case slices.Contains(names, name):
			d.c.warn("in %s: name listed more than once: %s", d.path(file), name)
		default:
			names = append(names, name)
		}
	}
	return names, true
}

func (d *definition) timeout(file string) time.Duration {
	text, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		d.c.fail(d.name, "unable to read %s: %s", d.path(file), errno(err))
		return 0
	}
	ms, err := strconv.ParseUint(strings.TrimRight(text, "\n"), 10, 32)
	if err != nil {
		d.c.fail(d.name, "invalid %s", d.path(file))
	}
	return time.Duration(ms) * time.Millisecond
}

func (d *definition) script(file string, mandatory bool) []string {
	text, err := d.read(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !mandatory:
		return nil
	case errors.Is(err, syscall.EISDIR): // opens well, but cannot be read
		d.c.fail(d.name, "unable to parse %s: Is a directory", d.path(file))
		return nil
	case err != nil:
		d.c.fail(d.name, "unable to open %s: %s", d.path(file), errno(err))
		return nil
	}
	argv, err := parseExecline(text)
	if err != nil {
		detail := err.Error()
		if detail != "" {
			detail = ": " + detail
		}
		d.c.fail(d.name, "syntax error in %s%s", d.path(file), detail)
	}
	return argv
}

func (d *definition) pipeline(s *Service) {
	if names, ok := d.list("producer-for"); ok {
		if len(names) == 1 {
			s.producerFor = names[0]
		} else {
			d.c.fail(d.name, "%s should only contain one service name", d.path("producer-for"))
		}
	}
	s.consumerFor, _ = d.list("consumer-for")
	names, ok := d.list("pipeline-name")
	switch {
	case !ok:
	case len(s.consumerFor) == 0 || s.producerFor != "":
		d.c.warn("%s/%s contains a pipeline-name file despite not being a last consumer; this file will be ignored", d.dir, d.name)
	case len(names) != 1:
		d.c.fail(d.name, "%s should only contain one name", d.path("pipeline-name"))
	default:
		d.c.pipelines[names[0]] = s
	}
}

// supervision reads what s6-rc-compile copies for s6-supervise at its very end.
func (d *definition) supervision(s *Service) {
	number := func(file string) (int, bool) {
		text, err := d.read(file)
		if errors.Is(err, fs.ErrNotExist) {
			return 0, false
		}
		if err == nil {
			text, _, _ = strings.Cut(text, "\n")
			var n uint64
			if n, err = strconv.ParseUint(text, 10, 32); err == nil {
				return int(n), true
			}
			err = syscall.EINVAL
		}
		d.c.late = append(d.c.late, Problem{Service: d.name, Message: fmt.Sprintf("unable to read %s: %s", d.path(file), errno(err))})
		return 0, false
	}
	descriptor := func(file string) int {
		fd, ok := number(file)
		if !ok {
			return -1
		}
		if fd < 3 {
			d.c.warn("longrun %s has a %s of %d", d.name, file, fd)
		}
		return fd
	}
	s.NotificationFD = descriptor("notification-fd")
	if lock := descriptor("lock-fd"); lock >= 3 && lock == s.NotificationFD {
		d.c.late = append(d.c.late, Problem{Service: d.name, Message: "longrun " + d.name + " has the same value for notification-fd and lock-fd"})
	}
	ms, _ := number("timeout-kill")
	s.TimeoutKill = time.Duration(ms) * time.Millisecond
	s.TimeoutFinish = 5 * time.Second
	if ms, ok := number("timeout-finish"); ok {
		s.TimeoutFinish = time.Duration(ms) * time.Millisecond
	}
	number("max-death-tally")
	signal, _ := d.read("down-signal")
	s.DownSignal = strings.TrimSpace(signal)
}

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
