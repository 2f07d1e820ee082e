// Package recording reads the recorded behaviour of the real s6-overlay (the
// files under ../testdata/recorded): what was run, every line it printed and
// how it ended. Tests hold the log parser, the tree compiler and the stand-in
// init against it.
package recording

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Case is one container run.
type Case struct {
	File    string // e.g. 01-clean-boot
	Number  int    // within the file, from 1
	Version string // of s6-overlay, e.g. 3.1.6.2
	Label   string

	Command []string          // the container's, e.g. /init sh -c "echo CMD"
	Env     map[string]string // what the container was given besides PATH and the like
	Edits   []Edit            // made to the root file system first, in order

	ReadOnlyRoot bool
	RunTmpfs     string // mount options of a tmpfs on /run; "": none
	User         string // "uid:gid"; "": root

	Lines []Line
	End   End
}

// Name identifies the case, e.g. "01-clean-boot/1".
func (c Case) Name() string { return fmt.Sprintf("%s/%d", c.File, c.Number) }

// Edit is a change to the root file system.
type Edit struct {
	Op      Op
	Path    string      // absolute
	Mode    fs.FileMode // of a written file; 0: not said (0755 for run, finish, check and scripts, else 0644)
	Content string
}

// Op is what an Edit does.
type Op int

// The operations.
const (
	Write  Op = iota // a file with its Content, and the directories above it
	Mkdir            // an empty directory
	Remove           // a file or a whole directory
)

// Line is something the recorder noted down.
type Line struct {
	At     time.Duration // since the container's start
	From   From
	Stream int // 1 or 2 where the two were recorded apart, else 0
	Text   string
}

// From is where a Line comes from.
type From int

// The origins.
const (
	Container From = iota // the container's standard output or error
	Recorder              // the recorder's own remark: a signal it sent, a command it ran
	Exec                  // output of a command run in the container beside PID 1
)

// End is how the container ended.
type End struct {
	Code       int  // exit status; 0 when Signal is set
	Signal     int  // that killed PID 1, or 0
	ByRecorder bool // the recorder ran out of patience and killed it
	After      time.Duration
}

// Output gives the lines that the container itself printed.
func (c Case) Output() []Line {
	var out []Line
	for _, l := range c.Lines {
		if l.From == Container {
			out = append(out, l)
		}
	}
	return out
}

// ReadAll reads every *.txt recording in a directory, in name order.
func ReadAll(dir fs.FS) ([]Case, error) {
	names, err := fs.Glob(dir, "*.txt")
	if err != nil {
		return nil, fmt.Errorf("listing recordings: %w", err)
	}
	var all []Case
	for _, name := range names {
		f, err := dir.Open(name)
		if err != nil {
			return nil, fmt.Errorf("opening recording: %w", err)
		}
		cases, err := Read(strings.TrimSuffix(path.Base(name), ".txt"), f)
		f.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, cases...)
	}
	return all, nil
}

var (
	caseLine   = regexp.MustCompile(`^== case (\d+): (.*)$`)
	endLine    = regexp.MustCompile(`^== container end: (?:exited (\d+)|killed by signal (\d+) \(\w+\); docker would report \d+); duration (\d+) ms( \(by the recorder\))?$`)
	outputLine = regexp.MustCompile(`^ *(\d+)\t(.*)$`)
	writeLine  = regexp.MustCompile(`^(/.*?)(?: \(mode (\d+)\))? = (".*")$`)
	userLine   = regexp.MustCompile(`^\((\d+), (\d+)\)$`)
	version    = regexp.MustCompile(`s6-overlay (\d[\d.]*\d)`)
)

// Read reads one recording; file is its name without extension. A line that
// does not fit the format is an error that names it.
func Read(file string, r io.Reader) ([]Case, error) {
	var (
		cases  []Case
		inCase bool // between "== case" and "== container end"
		of     string
		number int
	)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		number++
		line := lines.Text()
		if m := caseLine.FindStringSubmatch(line); m != nil && !inCase {
			c := Case{File: file, Version: of, Label: m[2], Env: map[string]string{}}
			c.Number, _ = strconv.Atoi(m[1])
			if v := version.FindStringSubmatch(c.Label); v != nil {
				c.Version = v[1]
			}
			cases, inCase = append(cases, c), true
			continue
		}
		if !inCase { // the file's head, blank lines and rules, closing remarks
			if v := version.FindStringSubmatch(line); v != nil && strings.HasPrefix(line, "# s6-overlay") {
				of = v[1]
			}
			continue
		}
		c := &cases[len(cases)-1]
		if m := endLine.FindStringSubmatch(line); m != nil {
			c.End.Code, _ = strconv.Atoi(m[1])
			c.End.Signal, _ = strconv.Atoi(m[2])
			c.End.After = milliseconds(m[3])
			c.End.ByRecorder = m[4] != ""
			inCase = false
			continue
		}
		if err := c.add(line); err != nil {
			return nil, fmt.Errorf("reading recording %s line %d: %w", file, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading recording %s behind line %d: %w", file, number, err)
	}
	if inCase {
		return nil, fmt.Errorf("reading recording %s: case %d has no end", file, cases[len(cases)-1].Number)
	}
	return cases, nil
}

func milliseconds(digits string) time.Duration {
	ms, _ := strconv.Atoi(digits)
	return time.Duration(ms) * time.Millisecond
}

// add takes in a line between a case's head and its end.
func (c *Case) add(line string) error {
	if m := outputLine.FindStringSubmatch(line); m != nil {
		l := Line{At: milliseconds(m[1]), Text: m[2]}
		if rest, ok := strings.CutPrefix(l.Text, "    > "); ok {
			l.From, l.Text = Exec, rest
		} else if rest, ok := strings.CutPrefix(l.Text, "### "); ok {
			l.From, l.Text = Recorder, rest
		} else if len(l.Text) > 2 && (l.Text[0] == '1' || l.Text[0] == '2') && l.Text[1:3] == "| " {
			l.Stream, l.Text = int(l.Text[0]-'0'), l.Text[3:]
		}
		c.Lines = append(c.Lines, l)
		return nil
	}
	key, value, _ := strings.Cut(strings.TrimPrefix(line, "== "), ": ")
	switch {
	case key == "command":
		return json.Unmarshal([]byte(value), &c.Command)
	case key == "environment":
		return c.addEnv(value)
	case key == "tree":
		return c.addEdit(value)
	case line == "== root filesystem read-only":
		c.ReadOnlyRoot = true
		return nil
	case strings.HasPrefix(line, "== tmpfs on /run, options "):
		c.RunTmpfs = strings.TrimPrefix(line, "== tmpfs on /run, options ")
		return nil
	case strings.HasPrefix(line, "== process user "):
		m := userLine.FindStringSubmatch(strings.TrimPrefix(line, "== process user "))
		if m != nil {
			c.User = m[1] + ":" + m[2]
			return nil
		}
	}
	return fmt.Errorf("unknown line %q", line)
}

// repeated is how a very long value is written down: how it begins, and how
// many bytes there are of the same.
var repeated = regexp.MustCompile(`^'(.+?)'\.\.\.\((\d+) bytes\)`)

// addEnv reads NAME="value" pairs; a value is a JSON string.
func (c *Case) addEnv(text string) error {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		name, rest, ok := strings.Cut(text, "=")
		if !ok {
			return fmt.Errorf("no value for environment variable %q", name)
		}
		if m := repeated.FindStringSubmatch(rest); m != nil {
			n, err := strconv.Atoi(m[2])
			if err != nil {
				return err
			}
			c.Env[name] = strings.Repeat(m[1][:1], n)
			text = rest[len(m[0]):]
			continue
		}
		var value string
		d := json.NewDecoder(strings.NewReader(rest))
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("reading environment variable %s: %w", name, err)
		}
		c.Env[name] = value
		text = rest[d.InputOffset():]
	}
	return nil
}

func (c *Case) addEdit(text string) error {
	if p, ok := strings.CutPrefix(text, "removed "); ok {
		c.Edits = append(c.Edits, Edit{Op: Remove, Path: p})
		return nil
	}
	if p, ok := strings.CutPrefix(text, "directory "); ok {
		c.Edits = append(c.Edits, Edit{Op: Mkdir, Path: p})
		return nil
	}
	m := writeLine.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("unknown change to the tree %q", text)
	}
	e := Edit{Op: Write, Path: m[1]}
	if m[2] != "" {
		mode, err := strconv.ParseUint(m[2], 8, 32)
		if err != nil {
			return err
		}
		e.Mode = fs.FileMode(mode)
	}
	if err := json.Unmarshal([]byte(m[3]), &e.Content); err != nil {
		return fmt.Errorf("reading the content of %s: %w", e.Path, err)
	}
	c.Edits = append(c.Edits, e)
	return nil
}
