package initgraph

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// Check checks the services under a root file system without running them: whether
// s6-rc-compile would accept them, whether each is started, and whether each
// command is executable. It returns one line for each problem, joined.
func Check(root fs.FS) error {
	_, tree, err := FromFS(root)
	c := &check{root: root, seen: map[string]bool{}}
	var refused s6rc.Problems
	if errors.As(err, &refused) {
		for _, p := range refused {
			c.report("%s", explain(p))
		}
	} else if err != nil {
		return err
	}

	started := tree.Closure("user", "user2")
	for _, s := range imageServices(tree) {
		if !slices.Contains(started, s) {
			c.report("service %s is never started: no bundle has it and nothing depends on it: add %s/user/contents.d/%s or remove %s", s.Name, s6rc.Dir, s.Name, s.Path)
		}
		for _, command := range [][]string{s.Up, s.Down} {
			if len(command) > 0 && path.IsAbs(command[0]) {
				c.executable(s.Name, command[0], "names it")
			}
		}
		for _, name := range []string{"run", "finish", "check", "data/check"} {
			file := path.Join(s.Path, name)
			if _, err := fs.Stat(root, rooted(file)); err == nil {
				c.executable(s.Name, file, "")
			}
		}
	}
	return errors.Join(c.problems...)
}

// explain adds what to do to a problem of s6-rc-compile.
func explain(p s6rc.Problem) string {
	if p.Cycle == nil {
		return p.Message + ": s6-rc-compile refuses the tree and the container hangs: correct or remove it"
	}
	return fmt.Sprintf("%s: %s: s6-rc-compile refuses the tree and the container hangs: take out one of these dependencies", p.Message, strings.Join(p.Cycle, " needs "))
}

type check struct {
	root     fs.FS
	seen     map[string]bool // files already checked: an up often names the run beside it
	problems []error
}

func (c *check) report(format string, args ...any) {
	c.problems = append(c.problems, fmt.Errorf("init graph: "+format, args...))
}

// rooted converts an absolute path to a path for io/fs.
func rooted(name string) string {
	return cmp.Or(strings.TrimPrefix(path.Clean(name), "/"), ".")
}

// executable checks that the kernel would run the file: that it and its
// interpreter exist and are executable. how describes the reference to it.
func (c *check) executable(service, file, how string) {
	if c.seen[file] {
		return
	}
	c.seen[file] = true
	info, err := fs.Stat(c.root, rooted(file))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.report("service %s: %s does not exist, but its command %s: add the file or correct the command", service, file, how)
		return
	case err != nil:
		c.report("service %s: looking at %s: %w", service, file, err)
		return
	case !info.Mode().IsRegular():
		c.report("service %s: %s is not a regular file: put a script or program there", service, file)
		return
	}
	if info.Mode()&0o111 == 0 {
		c.report("service %s: %s is not executable (mode %04o): chmod +x it in the repository", service, file, info.Mode().Perm())
	}
	head, err := fs.ReadFile(c.root, rooted(file))
	switch {
	case err == nil || errors.Is(err, errNotKept) && len(head) > 0:
		c.interpreter(service, file, head)
	case info.Mode()&0o111 != 0: // otherwise it is reported already, and its content was not kept
		c.report("service %s: reading the first line of %s: %w", service, file, err)
	}
}

// searched lists the directories in which env and with-contenv search for a
// script's interpreter.
var searched = [...]string{"command", "lsiopy/bin", "usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin"}

func (c *check) interpreter(service, file string, head []byte) {
	if bytes.HasPrefix(head, []byte("\x7fELF")) {
		return
	}
	line, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		c.report("service %s: %s is neither a program nor begins with #!: add a first line such as #!/usr/bin/with-contenv bash", service, file)
		return
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	if bytes.HasSuffix(line, []byte("\r")) {
		c.report("service %s: the first line of %s ends in CR LF, so its interpreter is not found: save it with Unix line ends", service, file)
		return
	}
	words := strings.Fields(string(line))
	if len(words) == 0 || !path.IsAbs(words[0]) {
		c.report("service %s: %s has no absolute interpreter path behind its #!: name one", service, file)
		return
	}
	if !c.runs(rooted(words[0])) {
		c.report("service %s: the interpreter %s of %s is not an executable in the image: install it or name another", service, words[0], file)
		return
	}
	if base := path.Base(words[0]); (base == "env" || base == "with-contenv") && len(words) > 1 {
		program := words[1]
		if strings.HasPrefix(program, "-") || strings.Contains(program, "=") {
			return
		}
		if path.IsAbs(program) {
			if c.runs(rooted(program)) {
				return
			}
		} else if slices.ContainsFunc(searched[:], func(dir string) bool { return c.runs(dir + "/" + program) }) {
			return
		}
		c.report("service %s: %s, which %s runs %s with, is not an executable in the image: install it or name another", service, program, words[0], file)
	}
}

func (c *check) runs(name string) bool {
	info, err := fs.Stat(c.root, name)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
