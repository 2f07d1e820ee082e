package s6rc

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

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

// names reads FILE.d, or else the older FILE with a name a line, sorted. The second
// result is false when there is neither.
func (d *definition) names(file string) ([]string, bool) {
	entries, err := fs.ReadDir(d.fsys, d.name+"/"+file+".d")
	if errors.Is(err, fs.ErrNotExist) {
		return d.list(file)
	}
	if err != nil {
		if info, e := fs.Stat(d.fsys, d.name+"/"+file+".d"); e == nil && !info.IsDir() {
			err = syscall.ENOTDIR
		}
		d.c.fail("unable to opendir %s: %s", d.path(file+".d"), Errno(err))
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); !strings.HasPrefix(name, ".") && d.c.allowed(d.name, name) {
			names = append(names, name)
		}
	}
	return names, true
}

// list reads a file that holds a name a line, comments and blanks aside.
func (d *definition) list(file string) ([]string, bool) {
	text, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		d.c.fail("unable to read %s: %s", d.path(file), Errno(err))
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
	slices.Sort(names)
	return names, true
}

// number reads a file that holds one on its first line. invalid is the complaint
// about anything else.
func (d *definition) number(file string, missing int, invalid string) int {
	text, err := d.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return missing
	}
	if err != nil {
		d.c.fail("unable to read %s: %s", d.path(file), Errno(err))
		return missing
	}
	text, _, _ = strings.Cut(text, "\n")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		d.c.fail(invalid, d.path(file))
		return missing
	}
	return int(n)
}

func (d *definition) timeout(file string) time.Duration {
	return time.Duration(d.number(file, 0, "invalid %s")) * time.Millisecond
}

func (d *definition) script(file string, mandatory bool) []string {
	text, err := d.read(file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !mandatory:
		return nil
	case errors.Is(err, syscall.EISDIR): // opens well, but cannot be read
		d.c.fail("unable to parse %s: Is a directory", d.path(file))
		return nil
	case err != nil:
		d.c.fail("unable to open %s: %s", d.path(file), Errno(err))
		return nil
	}
	argv, err := parseExecline(text)
	if err != nil {
		detail := err.Error()
		if detail != "" {
			detail = ": " + detail
		}
		d.c.fail("syntax error in %s%s", d.path(file), detail)
	}
	return argv
}

// noPipeline refuses a service whose output feeds another one. The real program
// takes it; no image of ours has one, and the stand-in init could not run it.
func (d *definition) noPipeline() {
	for _, file := range []string{"producer-for", "consumer-for"} {
		if _, err := fs.Stat(d.fsys, d.name+"/"+file); err == nil {
			d.c.fail("%s: pipelines of services are not supported: let the service log by itself", d.path(file))
		}
	}
}

// supervision reads what s6-rc-compile copies for s6-supervise at its very end.
func (d *definition) supervision(s *Service) {
	const invalid = "unable to read %s: Invalid argument"
	descriptor := func(file string) int {
		fd := d.number(file, -1, invalid)
		if 0 <= fd && fd < 3 {
			d.c.warn("longrun %s has a %s of %d", d.name, file, fd)
		}
		return fd
	}
	s.NotificationFD = descriptor("notification-fd")
	if lock := descriptor("lock-fd"); lock >= 3 && lock == s.NotificationFD {
		d.c.fail("longrun %s has the same value for notification-fd and lock-fd", d.name)
	}
	for _, file := range []string{"timeout-kill", "timeout-finish", "max-death-tally"} { // s6-supervise's own affair
		d.number(file, -1, invalid)
	}
}
