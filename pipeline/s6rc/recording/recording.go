// Package recording reads the recorded behaviour of the real s6-overlay (the
// files under ../testdata/recorded): what was run, every line it printed and
// how it ended. Tests hold the log parser, the tree compiler and the stand-in
// init against it.
package recording

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Case is one container run.
type Case struct {
	File   string // e.g. 01-clean-boot
	Number int    // within the file, from 1
	Label  string

	Command []string          // the container's, e.g. /init sh -c "echo CMD"
	Env     map[string]string // what the container was started with besides PATH and the like
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

// Output returns the lines that the container itself printed.
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
		text, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, fmt.Errorf("reading recording: %w", err)
		}
		cases, err := Read(strings.TrimSuffix(name, ".txt"), bytes.NewReader(text))
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
	outputLine = regexp.MustCompile(`^ *(\d+)\t(    > |### |[12]\| )?(.*)$`)
	headLine   = regexp.MustCompile(`^== (command: |environment: |tree: |root filesystem read-only|tmpfs on /run, options |process user )(.*)$`)
	editLine   = regexp.MustCompile(`^(?:(removed|directory) (/.*)|(/.*?)(?: \(mode (\d+)\))? = (".*"))$`)
	// A value is a JSON string; of a very long one it is written down how it
	// begins, and how many bytes there are of the same.
	variable = regexp.MustCompile(`(\S+?)=(?:("(?:[^"\\]|\\.)*")|'(.).*?'\.\.\.\((\d+) bytes\))(?: |$)`)
)

// Read reads one recording; file is its name without extension. A line that
// does not fit the format is an error that names it.
func Read(file string, r io.Reader) ([]Case, error) {
	var cases []Case
	var c *Case // the one being read; nil between "== container end" and "== case", where remarks stand
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if c == nil {
			if m := caseLine.FindStringSubmatch(line); m != nil {
				cases = append(cases, Case{File: file, Number: count(m[1]), Label: m[2], Env: map[string]string{}})
				c = &cases[len(cases)-1]
			}
		} else if m := endLine.FindStringSubmatch(line); m != nil {
			c.End = End{Code: count(m[1]), Signal: count(m[2]), After: milliseconds(m[3]), ByRecorder: m[4] != ""}
			c = nil
		} else if err := c.add(line); err != nil {
			return nil, fmt.Errorf("reading recording %s line %d: %w", file, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading recording %s: %w", file, err)
	}
	if c != nil {
		return nil, fmt.Errorf("reading recording %s: case %d has no end", file, c.Number)
	}
	return cases, nil
}

// count is a number of a form that has digits only, 0 for none.
func count(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

func milliseconds(digits string) time.Duration {
	return time.Duration(count(digits)) * time.Millisecond
}

// add takes in a line between a case's head and its end.
func (c *Case) add(line string) error {
	if m := outputLine.FindStringSubmatch(line); m != nil {
		l := Line{At: milliseconds(m[1]), Text: m[3]}
		switch m[2] {
		case "    > ":
			l.From = Exec
		case "### ":
			l.From = Recorder
		case "1| ", "2| ":
			l.Stream = count(m[2][:1])
		}
		c.Lines = append(c.Lines, l)
		return nil
	}
	m := headLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("unknown line %q", line)
	}
	switch key, value := m[1], m[2]; key {
	case "command: ":
		return json.Unmarshal([]byte(value), &c.Command)
	case "environment: ":
		return c.addEnv(value)
	case "tree: ":
		return c.addEdit(value)
	case "root filesystem read-only":
		c.ReadOnlyRoot = true
	case "tmpfs on /run, options ":
		c.RunTmpfs = value
	case "process user ": // (UID, GID)
		c.User = strings.NewReplacer("(", "", ", ", ":", ")", "").Replace(value)
	}
	return nil
}

func (c *Case) addEnv(text string) error {
	if rest := variable.ReplaceAllString(text, ""); rest != "" {
		return fmt.Errorf("no environment: %q", rest)
	}
	for _, m := range variable.FindAllStringSubmatch(text, -1) {
		value := strings.Repeat(m[3], count(m[4]))
		if m[2] != "" {
			if err := json.Unmarshal([]byte(m[2]), &value); err != nil {
				return fmt.Errorf("reading environment variable %s: %w", m[1], err)
			}
		}
		c.Env[m[1]] = value
	}
	return nil
}

func (c *Case) addEdit(text string) error {
	m := editLine.FindStringSubmatch(text)
	if m == nil {
		return fmt.Errorf("unknown change to the tree %q", text)
	}
	e := Edit{Path: m[2] + m[3]}
	switch m[1] {
	case "removed":
		e.Op = Remove
	case "directory":
		e.Op = Mkdir
	default:
		mode, _ := strconv.ParseUint(m[4], 8, 32) // digits, or none
		e.Mode = fs.FileMode(mode)
		if err := json.Unmarshal([]byte(m[5]), &e.Content); err != nil {
			return fmt.Errorf("reading the content of %s: %w", e.Path, err)
		}
	}
	c.Edits = append(c.Edits, e)
	return nil
}
