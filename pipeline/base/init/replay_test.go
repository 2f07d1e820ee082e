package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

// TestReplay runs the recorded cases of the real s6-overlay with this init in
// its place and compares what s6 says, in what order, what the services print,
// and how the container ends. It takes the base image as it ships.
func TestReplay(t *testing.T) {
	lower := rootfs(t)
	cases, err := recording.ReadAll(os.DirFS("../../s6rc/testdata/recorded"))
	if err != nil {
		t.Fatal(err)
	}
	scratch := t.TempDir() // each sandbox mounts over it for itself
	// The cases mostly sleep, so many run at once, whatever -parallel says:
	// that counts processors.
	slots := make(chan struct{}, 24)
	var attempts []*attempt
	outside, partly := map[string]int{}, map[string]int{}
	for _, c := range cases {
		s := scopeOf(c)
		if s.out != "" {
			outside[s.out]++
			continue
		}
		if s.why != "" {
			partly[s.why]++
		}
		c.Lines = without(c.Lines, s)
		a := &attempt{Case: c, scope: s, done: make(chan struct{})}
		attempts = append(attempts, a)
		go func() {
			defer close(a.done)
			slots <- struct{}{}
			defer func() { <-slots }()
			a.got, a.err = run(c, lower, scratch)
		}()
	}
	for _, a := range attempts {
		t.Run(a.Name(), func(t *testing.T) {
			<-a.done
			// Processes that write at the same time do so in any order, and a
			// recording is one sample of it: a case has three tries to match,
			// one after the other.
			for try := 1; try < 3 && a.err == nil; try++ {
				problems := compare(a.Case, a.scope, a.got)
				if len(problems) == 0 {
					break
				}
				t.Logf("try %d differed: %s", try, strings.Join(problems, "; "))
				a.got, a.err = run(a.Case, lower, scratch)
			}
			if a.err != nil {
				t.Fatal(a.err)
			}
			report(t, a)
		})
	}
	t.Logf("%d recorded cases, %d replayed", len(cases), len(attempts))
	for _, reason := range slices.Sorted(maps.Keys(outside)) {
		t.Logf("%d out of scope: %s", outside[reason], reason)
	}
	for _, reason := range slices.Sorted(maps.Keys(partly)) {
		t.Logf("%d with lines that do not count: %s", partly[reason], reason)
	}
}

// without leaves out the commands that the scope drops, and all that happened
// until they were done.
func without(lines []recording.Line, s scope) []recording.Line {
	var kept []recording.Line
	dropping := false
	for _, l := range lines {
		if m := executed.FindStringSubmatch(l.Text); l.From == recording.Recorder && m != nil {
			dropping = s.matches(s.drop, m[1])
		}
		if !dropping {
			kept = append(kept, l)
		}
		if strings.HasPrefix(l.Text, "exec exit status") {
			dropping = false
		}
	}
	return kept
}

// attempt is the replay of one case.
type attempt struct {
	recording.Case
	scope scope
	done  chan struct{}
	got   recording.Case
	err   error
}

func report(t *testing.T, a *attempt) {
	t.Helper()
	problems := compare(a.Case, a.scope, a.got)
	if len(problems) == 0 {
		return
	}
	var log strings.Builder
	for _, l := range a.got.Lines {
		fmt.Fprintf(&log, "%7d\t%s%s\n", l.At.Milliseconds(), []string{"", "### ", "    > "}[l.From], l.Text)
	}
	t.Errorf("%s\n%s\n%send: %+v, recorded %+v", a.Label, strings.Join(problems, "\n"), log.String(), a.got.End, a.End)
}

// run returns what was seen of the case, noted down like a recording.
func run(c recording.Case, lower, scratch string) (recording.Case, error) {
	box := sandbox{
		Lower: lower, Scratch: scratch, Files: files(c), Command: c.Command, Env: environment(c),
		ReadOnly: c.ReadOnlyRoot, RunTmpfs: c.RunTmpfs, User: c.User,
		Boot: strings.Contains(c.Label, "with CAP_SYS_BOOT"),
	}
	if c.Name() == "03-cmd-exit/12" {
		box.Dir = "app"
	}
	cmd, err := box.command()
	if err != nil {
		return c, err
	}
	o := &observer{start: time.Now(), changed: make(chan struct{}, 1)}
	stdout, stderr, read, err := o.streams(c.File == "18-streams")
	if err != nil {
		return c, err
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	err = cmd.Start()
	stdout.Close()
	stderr.Close()
	if err != nil {
		return c, fmt.Errorf("starting the sandbox: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	acted := make(chan bool, 1)
	go func() { acted <- o.act(ctx, c, cmd.Process.Pid) }()
	// Whatever goes wrong, the test goes on.
	guard := time.AfterFunc(c.End.After+20*time.Second, func() { cmd.Process.Kill() })
	defer guard.Stop()
	err = cmd.Wait()
	after := time.Since(o.start)
	cancel()
	impatient := <-acted
	read()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		return c, fmt.Errorf("waiting for the sandbox: %w", err)
	}
	c.Lines = o.lines
	c.End = recording.End{ByRecorder: impatient, After: after}
	if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		c.End.Signal = int(status.Signal())
	} else {
		c.End.Code = status.ExitStatus()
	}
	return c, nil
}

// streams returns the pipes for standard output and error, one for both or one
// each, and a function that waits until all that came through is noted.
func (o *observer) streams(apart bool) (stdout, stderr *os.File, wait func(), err error) {
	var readers sync.WaitGroup
	pipe := func(stream int) *os.File {
		r, w, e := os.Pipe()
		if e != nil {
			err = e
			return nil
		}
		readers.Go(func() {
			defer r.Close()
			for lines := bufio.NewReader(r); ; {
				text, err := lines.ReadString('\n')
				if text != "" {
					o.note(recording.Line{From: recording.Container, Stream: stream, Text: strings.TrimSuffix(text, "\n")})
				}
				if err != nil {
					return
				}
			}
		})
		return w
	}
	if !apart {
		both := pipe(0)
		return both, both, readers.Wait, err
	}
	return pipe(1), pipe(2), readers.Wait, err
}

// observer notes down what a container prints and does to it what the
// recorder did.
type observer struct {
	start   time.Time
	mu      sync.Mutex
	lines   []recording.Line
	printed int           // by the container
	changed chan struct{} // a line came
}

func (o *observer) note(l recording.Line) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.At = time.Since(o.start)
	o.lines = append(o.lines, l)
	if l.From == recording.Container {
		o.printed++
	}
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// await waits until the container has printed n lines, or limit has passed,
// and then until the container is as old as it was in the recording.
func (o *observer) await(ctx context.Context, n int, limit, age time.Duration) {
	patience := time.After(limit)
	for enough := false; !enough; {
		o.mu.Lock()
		enough = o.printed >= n
		o.mu.Unlock()
		if enough {
			break
		}
		select {
		case <-o.changed:
		case <-patience:
			enough = true
		case <-ctx.Done():
			return
		}
	}
	select {
	case <-time.After(time.Until(o.start.Add(age))):
	case <-ctx.Done():
	}
}

var (
	sentSignal = regexp.MustCompile(`^recorder: (SIG\w+) sent to PID 1$`)
	executed   = regexp.MustCompile(`^recorder: exec in container: (.*)$`)
	gaveUp     = regexp.MustCompile(`^recorder: still running after [\d.]+ s, SIGKILL sent to PID 1$`)
)

// act does what the recorder did, each thing once the container has come as
// far as it had then. It reports whether it ended the container for good.
func (o *observer) act(ctx context.Context, c recording.Case, pid int) (impatient bool) {
	printed := 0
	last := time.Duration(0) // when something happened last
	for _, l := range c.Lines {
		if l.From == recording.Container {
			printed++
			last = l.At
			continue
		}
		if l.From != recording.Recorder {
			continue
		}
		age := l.At
		if gaveUp.MatchString(l.Text) {
			// That nothing more happens shows in two seconds too.
			age = min(age, last+2*time.Second)
		}
		last = l.At
		o.await(ctx, printed, time.Until(o.start.Add(age+6*time.Second)), age)
		if ctx.Err() != nil {
			return false
		}
		switch {
		case gaveUp.MatchString(l.Text):
			syscall.Kill(pid, syscall.SIGKILL)
			return true
		case sentSignal.MatchString(l.Text):
			syscall.Kill(pid, unix.SignalNum(sentSignal.FindStringSubmatch(l.Text)[1]))
		case executed.MatchString(l.Text):
			time.Sleep(50 * time.Millisecond) // s6-rc says that all is done before it lets go of its lock
			o.exec(ctx, executed.FindStringSubmatch(l.Text)[1], environment(c), pid)
		}
	}
	return false
}

// exec runs a command in the container, beside PID 1.
func (o *observer) exec(ctx context.Context, command string, env []string, pid int) {
	cmd := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(pid), "-m", "-u", "-i", "-n", "-p", "sh", "-c", command)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		o.note(recording.Line{From: recording.Exec, Text: strings.TrimSuffix(line, "\n")})
	}
	if err == nil || cmd.ProcessState != nil {
		o.note(recording.Line{From: recording.Recorder, Text: fmt.Sprintf("exec exit status %d", cmd.ProcessState.ExitCode())})
	}
}

// environment is what the recorded container was given: the linuxserver.io
// base's own, and the case's.
func environment(c recording.Case) []string {
	env := []string{
		"HOME=/root", "TERM=xterm", "VIRTUAL_ENV=/lsiopy", `PS1=$(whoami)@$(hostname):$(pwd)\$ `,
	}
	if _, given := c.Env["PATH"]; !given && c.Label != "PATH unset" {
		env = append(env, "PATH=/lsiopy/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	for name, value := range c.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// files are the case's own, in place of the image's services.
func files(c recording.Case) []sandboxFile {
	list := append([]sandboxFile{{Path: s6rc.Dir}}, tools()...)
	if tree, ok := c.Tree(); ok {
		list = append(list, sandboxFile{Path: s6rc.Dir, Mode: fs.ModeDir | 0o755})
		for name, f := range tree {
			list = append(list, sandboxFile{Path: path.Join(s6rc.Dir, name), Mode: f.Mode, Content: f.Data})
		}
	}
	for _, e := range c.Edits {
		if strings.HasPrefix(e.Path+"/", s6rc.Dir+"/") {
			continue
		}
		f := sandboxFile{Path: e.Path, Mode: e.Mode, Content: []byte(e.Content)}
		switch {
		case e.Op == recording.Remove:
			f = sandboxFile{Path: e.Path}
		case e.Op == recording.Mkdir:
			f.Mode = fs.ModeDir | 0o755
		case e.Mode == 0 && strings.HasPrefix(e.Content, "#!"):
			f.Mode = 0o755
		case e.Mode == 0:
			f.Mode = 0o644
		}
		list = append(list, f)
	}
	slices.SortStableFunc(list[1:], func(a, b sandboxFile) int { return strings.Compare(a.Path, b.Path) })
	return list
}

// tools are what the recorded commands call and the image has not, to the
// extent that they call it.
func tools() []sandboxFile {
	const ps = `#!/bin/bash
# ps -eo stat, or whatever else: pid, parent, state, command
states=; [ "$*" != "-eo stat" ] || states=y
[ $states ] || echo "  PID  PPID STAT COMMAND"
for dir in /proc/[0-9]*; do
	read -r line 2>/dev/null <"$dir/stat" || continue
	args=()
	mapfile -d "" -t args 2>/dev/null <"$dir/cmdline"
	set -- ${line##*) }
	if [ $states ]; then echo "$1"; else echo "${line%% *} $2 $1 ${args[*]}"; fi
done
`
	const python = `#!/bin/bash
# prints what is between the zero bytes of its input, as Python writes it
LC_ALL=C
label=${2#*print(\'} label=${label%%\'*}
while IFS= read -r -d "" entry; do
	if [ ${#entry} -ge 300 ]; then
		echo "$label b'${entry:0:40}' ...(${#entry} bytes)"
		continue
	fi
	entry=${entry//\\/\\\\} entry=${entry//$'\n'/\\n} entry=${entry//$'\t'/\\t}
	case $entry in
	*\'*\"*|*\"*\'*) echo "$label '${entry//\'/\\\'}'" ;;
	*\'*) echo "$label \"$entry\"" ;;
	*) echo "$label '$entry'" ;;
	esac
done
`
	return []sandboxFile{
		{Path: "/usr/bin/ps", Mode: 0o755, Content: []byte(ps)},
		{Path: "/usr/bin/python3", Mode: 0o755, Content: []byte(python)},
		{Path: "/docker-mods"}, // the recorded file system had none
		{Path: "/app", Mode: fs.ModeDir | 0o755},
	}
}
