// Command shim runs in the containers of a run on Dagger, for what Dagger's API does not
// support: reading lines as they are written, with their time and stream, and checking
// whether a service is ready.
//
//	shim record DIR ADDR NAME...   the recorder: reads what containers write and serves it over HTTP
//	shim run DIR NAME -- CMD...    replaces itself with CMD, whose output goes to the recorder
//	shim ready -- CMD...           runs CMD with the environment that shim run saved
//	shim trusted DIR               succeeds if DIR, for certificates, is not empty
//
// The recorder and the containers share DIR, which contains a named pipe for each
// stream. shim run opens its pipes and replaces itself with the command, so that the
// command is PID 1 and the container has no process of the shim.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/record"
	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

// environmentFile is the file that contains the environment for ready. It is on a file
// system in memory, because it contains secrets.
const environmentFile = record.EnvironmentDir + "/environ"

func main() {
	if len(os.Args) < 2 {
		fail("shim: no command: pass record, run, ready or trusted")
	}
	var err error
	switch args := os.Args[2:]; os.Args[1] {
	case "record":
		err = recordAll(args[0], args[1], args[2:])
	case "run":
		err = run(args[0], args[1], args[3:])
	case "ready":
		err = ready(args[1:])
	case "trusted":
		err = trusted(args[0])
	default:
		err = fmt.Errorf("%q: no such command", os.Args[1])
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fail("shim: " + err.Error())
	}
}

func fail(text string) {
	fmt.Fprintln(os.Stderr, text)
	os.Exit(127)
}

func pipe(dir, name, stream string) string { return filepath.Join(dir, name+"."+stream) }

// run replaces itself with the command, as soon as the recorder reads its pipes.
func run(dir, name string, cmd []string) error {
	if info, err := os.Stat(record.EnvironmentDir); err == nil && info.IsDir() {
		if err := os.WriteFile(environmentFile, []byte(strings.Join(os.Environ(), "\x00")), 0o600); err != nil {
			return err
		}
	}
	var files []*os.File
	for fd, stream := range map[int]string{1: "stdout", 2: "stderr"} {
		f, err := os.OpenFile(pipe(dir, name, stream), os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("open the way to the recorder: %w", err)
		}
		files = append(files, f)
		// Go opens pipes in non-blocking mode, which programs do not expect.
		if err := unix.SetNonblock(int(f.Fd()), false); err != nil {
			return err
		}
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("put the output into the recorder's pipe: %w", err)
		}
	}
	for _, f := range files {
		f.Close()
	}
	// In one write, so that no other output comes in between.
	os.Stderr.WriteString(record.Mark + record.Started + "\n")
	path, err := exec.LookPath(cmd[0])
	if err == nil {
		err = syscall.Exec(path, cmd, os.Environ())
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner // without the path, which is printed below
	}
	fmt.Fprintf(os.Stderr, "%s%s%s: %v\n", record.Mark, record.Failed, cmd[0], err)
	os.Exit(127)
	return nil
}

func ready(cmd []string) error {
	environ, err := os.ReadFile(environmentFile)
	if err != nil {
		return err
	}
	c := exec.Command(cmd[0], cmd[1:]...)
	c.Env = strings.Split(string(environ), "\x00")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}

// trusted returns an error if a directory is empty or does not exist.
func trusted(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("%s is empty", dir)
	}
	return err
}

// recorder stores the records in order of arrival.
type recorder struct {
	mu      sync.Mutex
	records []record.Record
	added   chan struct{} // closed and replaced at each record
}

func (r *recorder) add(rec record.Record) {
	rec.Time = time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	close(r.added)
	r.added = make(chan struct{})
}

func (r *recorder) from(n int) ([]record.Record, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records[min(n, len(r.records)):]), r.added
}

func recordAll(dir, addr string, names []string) error {
	r := &recorder{added: make(chan struct{})}
	for _, name := range names {
		for _, stream := range []string{"stdout", "stderr"} {
			path := pipe(dir, name, stream)
			if err := unix.Mkfifo(path, 0o666); err != nil {
				return fmt.Errorf("make the pipe %s: %w", path, err)
			}
			if err := os.Chmod(path, 0o666); err != nil { // whatever the umask
				return err
			}
			go r.read(path, record.Record{Container: name, Stream: stream})
		}
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return http.Serve(l, r)
}

// read records a stream until its last writer closes it, and then waits for the next
// writer, since the stream may be opened again.
func (r *recorder) read(path string, from record.Record) {
	for {
		f, err := os.Open(path) // waits until a process opens it for writing
		if err != nil {
			from.Text = "the recorder lost it: " + err.Error()
			r.add(from)
			return
		}
		r.lines(f, from)
		f.Close()
		closed := from
		closed.Kind = record.Closed
		r.add(closed)
	}
}

func (r *recorder) lines(f io.Reader, from record.Record) {
	w := linebuf.Writer{Line: func(text string) {
		rec := from
		rec.Text = text
		if after, ours := strings.CutPrefix(text, record.Mark); ours && from.Stream == "stderr" && after != "" {
			rec.Kind, rec.Text = after[:1], after[1:]
		}
		r.add(rec)
	}}
	_, _ = io.Copy(&w, f) // until the last writer closes it
	w.Flush()
}

// ServeHTTP returns the records from a number on. If there are none, it waits for the
// first, for as long as the request allows.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	n, err := strconv.Atoi(req.FormValue("from"))
	wait, waitErr := time.ParseDuration(req.FormValue("wait"))
	if err := errors.Join(err, waitErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	records, added := r.from(n)
	if len(records) == 0 {
		select {
		case <-added:
			records, _ = r.from(n)
		case <-time.After(wait):
		case <-req.Context().Done():
			return
		}
	}
	json.NewEncoder(w).Encode(records)
}
