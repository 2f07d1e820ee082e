package local

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// solveStatus is one line of `buildctl --progress=rawjson`.
type solveStatus struct {
	Vertexes []struct {
		Digest    string
		Name      string
		Started   *time.Time
		Completed *time.Time
		Cached    bool
		Error     string
	}
	Logs []struct {
		Vertex string
		Data   []byte
	}
}

// progress prints BuildKit's events as plain lines and collects the details of a
// failure.
type progress struct {
	log   io.Writer
	steps map[string]*step
	count int
	plain bytes.Buffer // buildctl's other output: its own errors
}

type step struct {
	number int // 0 before its start
	name   string
	ended  bool
	err    string
	log    linebuf.Writer
	output []string // the last lines
}

// read processes events until the end of r.
func (p *progress) read(r io.Reader) {
	for br := bufio.NewReader(r); ; {
		line, err := br.ReadBytes('\n')
		var status solveStatus
		if len(line) > 0 {
			if line[0] == '{' && json.Unmarshal(line, &status) == nil {
				p.event(status)
			} else {
				_, _ = p.plain.Write(line)
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *progress) event(status solveStatus) {
	for _, v := range status.Vertexes {
		s := p.step(v.Digest)
		s.name = v.Name
		if v.Started != nil && s.number == 0 {
			p.count++
			s.number = p.count
			p.print(s, linebuf.First(s.name))
		}
		if v.Completed == nil || s.ended {
			continue
		}
		s.log.Flush()
		s.ended = true
		switch {
		case v.Error != "":
			s.err = v.Error
			p.print(s, "ERROR: "+linebuf.First(v.Error))
		case v.Cached:
			p.print(s, "cached")
		case v.Started != nil:
			p.print(s, fmt.Sprintf("done in %.1f s", v.Completed.Sub(*v.Started).Seconds()))
		}
	}
	for _, l := range status.Logs {
		_, _ = p.step(l.Vertex).log.Write(l.Data)
	}
}

func (p *progress) step(digest string) *step {
	s := p.steps[digest]
	if s == nil {
		s = &step{}
		s.log.Line = func(line string) {
			if line = linebuf.Shown(line); line != "" {
				s.output = append(s.output, line)
				s.output = s.output[max(0, len(s.output)-engine.OutputLines):]
				p.print(s, line)
			}
		}
		p.steps[digest] = s
	}
	return s
}

// print prints a line of a step, with its number and the number of known steps.
func (p *progress) print(s *step, text string) {
	fmt.Fprintf(p.log, "#%d/%d %s\n", s.number, len(p.steps), text)
}

var (
	sourceLine = regexp.MustCompile(`(?m)^\S*?([^/\s]+):(\d+)$`)
	stepPrefix = regexp.MustCompile(`^\[[^\]]*\] `)
	exitStatus = regexp.MustCompile(`exit code: \d+$`)
	plainError = regexp.MustCompile(`(?m)error: (?:failed to solve: )?(.*?)\s*$`)
)

// failure returns the error of a build whose buildctl failed with err.
func (p *progress) failure(req engine.BuildRequest, err error) *engine.BuildError {
	be := &engine.BuildError{Platform: req.Platform, Dockerfile: req.Dockerfile, Err: err}
	// Steps that were cancelled because another one failed have errors too.
	for _, s := range p.steps {
		if s.err == "" || strings.Contains(s.err, "context canceled") {
			continue
		}
		be.Step = stepPrefix.ReplaceAllString(linebuf.First(s.name), "")
		be.Output = s.output
		// Step already names the command that failed.
		be.Err = errors.New(cmp.Or(exitStatus.FindString(linebuf.First(s.err)), linebuf.First(s.err)))
	}
	plain := p.plain.String()
	if m := sourceLine.FindStringSubmatch(plain); m != nil {
		be.Line, _ = strconv.Atoi(m[2])
	}
	if be.Step == "" {
		for _, m := range plainError.FindAllStringSubmatch(plain, -1) {
			be.Err = errors.New(m[1])
		}
		if be.Err == err {
			if last := proc.LastLines(plain, 1); len(last) == 1 {
				be.Err = fmt.Errorf("%w: %s", err, last[0])
			}
		}
	}
	return be
}
