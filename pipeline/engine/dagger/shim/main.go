// Command shim stands inside the containers of a run on Dagger for what
// Dagger's API has no words for: lines as they appear, with their time and
// stream, and whether a service answers.
//
//	shim record DIR ADDR NAME...   the recorder: reads what containers write and serves it over HTTP
//	shim run DIR NAME -- CMD...    becomes CMD, whose output goes to the recorder
//	shim ready -- CMD...           runs CMD with the environment that shim run left
//	shim trusted DIR               succeeds when DIR, which holds certificates, is not empty
//
// DIR is a directory that recorder and containers share. A named pipe for each
// stream lies in it: run opens its own and becomes the command, so that the
// command is PID 1 and no process of ours is beside it.
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

// environment is the file that holds what ready has to know, on a file system
// in memory: secrets are in it.
const environment = record.EnvironmentDir + "/environ"

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

// run becomes the command. Its pipes open as soon as the recorder reads them.
func run(dir, name string, cmd []string) error {
	if info, err := os.Stat(record.EnvironmentDir); err == nil && info.IsDir() {
		if err := os.WriteFile(environment, []byte(strings.Join(os.Environ(), "\x00")), 0o600); err != nil {
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
		// Pipes are born non-blocking in Go, and programs expect otherwise.
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
	// In one write: nothing can come in between.
	os.Stderr.WriteString(record.Mark + record.Started + "\n")
	path, err := exec.LookPath(cmd[0])
	if err == nil {
		err = syscall.Exec(path, cmd, os.Environ())
	}
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner // without the path, which is written anyway
	}
	fmt.Fprintf(os.Stderr, "%s%s%s: %v\n", record.Mark, record.Failed, cmd[0], err)
	os.Exit(127)
	return nil
}

func ready(cmd []string) error {
	environ, err := os.ReadFile(environment)
	if err != nil {
		return err
	}
	c := exec.Command(cmd[0], cmd[1:]...)
	c.Env = strings.Split(string(environ), "\x00")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	return c.Run()
}

// trusted fails when a directory holds nothing or is not there.
func trusted(dir string) error {
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) == 0 {
		err = fmt.Errorf("%s is empty", dir)
	}
	return err
}

// recorder holds what was written, in order of arrival.
type recorder struct {
	mu      sync.Mutex
	records []record.Record
	news    chan struct{} // closed and replaced at each record
}

func (r *recorder) add(rec record.Record) {
	rec.Time = time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, rec)
	close(r.news)
	r.news = make(chan struct{})
}

func (r *recorder) from(n int) ([]record.Record, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records[min(n, len(r.records)):]), r.news
}

func recordAll(dir, addr string, names []string) error {
	r := &recorder{news: make(chan struct{})}
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

// read takes a stream until all who write to it have gone, again and again:
// nobody has promised that it is for good.
func (r *recorder) read(path string, from record.Record) {
	for {
		f, err := os.Open(path) // until somebody opens it for writing
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
	_, _ = io.Copy(&w, f) // until nobody holds the other end
	w.Flush()
}

// ServeHTTP answers with the records from a number on. It waits for the first
// for as long as asked.
func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	n, err := strconv.Atoi(req.FormValue("from"))
	wait, waitErr := time.ParseDuration(req.FormValue("wait"))
	if err := errors.Join(err, waitErr); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	records, news := r.from(n)
	if len(records) == 0 {
		select {
		case <-news:
			records, _ = r.from(n)
		case <-time.After(wait):
		case <-req.Context().Done():
			return
		}
	}
	json.NewEncoder(w).Encode(records)
}
