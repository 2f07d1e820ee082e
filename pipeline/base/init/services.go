package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// services is what s6-rc knows: the compiled services and which are up.
type services struct {
	*container
	tree *s6rc.Tree
	up   map[*s6rc.Service]bool
	dir  string // servicedirs, the real path
}

// outcome is what became of an attempt to start or stop a service.
type outcome struct {
	service *s6rc.Service
	status  int // as of a shell
}

// newServices does the part of s6-rc-compile and s6-rc-init that s6 sees: a
// service directory for each longrun, each kept down, linked where s6-svscan will
// look.
func (c *container) newServices(tree *s6rc.Tree) (*services, error) {
	s := &services{container: c, tree: tree, up: map[*s6rc.Service]bool{}}
	live := fmt.Sprintf("%s:s6-rc-init:%06x", liveDir, rand.N(1<<24))
	s.dir = live + "/servicedirs"
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(filepath.Base(live), liveDir); err != nil {
		return nil, err
	}
	for _, service := range tree.Services {
		if service.Type != s6rc.Longrun {
			continue
		}
		dir := filepath.Join(s.dir, service.Name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, err
		}
		if service.Path == "" {
			continue // the internal ones: no process stands behind them here
		}
		if err := copyServiceDir(service.Path, dir); err != nil {
			return nil, err
		}
		if err := os.WriteFile(dir+"/down", nil, 0o644); err != nil {
			return nil, err
		}
		if err := os.Symlink(liveDir+"/servicedirs/"+service.Name, filepath.Join(scanDir, service.Name)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// copyServiceDir copies what s6-supervise reads from a longrun's source.
func copyServiceDir(from, to string) error {
	for name, mode := range map[string]fs.FileMode{
		"run": 0o755, "finish": 0o755, // whatever their source says
		"notification-fd": 0o644, "lock-fd": 0o644, "timeout-kill": 0o644, "timeout-finish": 0o644,
		"max-death-tally": 0o644, "down-signal": 0o644, "flag-newpidns": 0o644,
	} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), text, mode)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range []string{"data", "env"} {
		err := os.CopyFS(filepath.Join(to, name), os.DirFS(filepath.Join(from, name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// change brings all of "top" up within limit (0: no limit), or everything
// down. The result is what s6-rc would exit with: 0, 1 when a service failed,
// 2 when time ran out. Only one change happens at a time, see servicesMu.
func (s *services) change(up bool, limit time.Duration) int {
	t := &transition{
		services: s,
		toUp:     up,
		words:    words{"down", "stop", "stopping", "stopped"},
		selected: s.tree.Services,
		pending:  map[*s6rc.Service]int{},
		outcomes: make(chan outcome, len(s.tree.Services)),
		expired:  make(chan struct{}),
	}
	if up {
		t.words = words{"up", "start", "starting", "started"}
		t.selected = s.tree.Closure("top")
	}
	if limit > 0 {
		t.deadline = time.Now().Add(limit)
	}
	return t.run()
}

// transition is one walk of the graph, as s6-rc walks it: a service is looked
// at when nothing it waits for is left, which is its dependencies on the way
// up and its dependents on the way down.
type transition struct {
	*services
	toUp     bool
	words    words
	selected []*s6rc.Service
	pending  map[*s6rc.Service]int // how many it still waits for; -1 once it was looked at
	running  int
	outcomes chan outcome
	failed   bool
	deadline time.Time     // zero: none
	expired  chan struct{} // closed when it has passed
}

// words are what s6-rc calls a direction and the steps in it.
type words struct{ direction, do, doing, done string }

// around are the services that one waits for, and those that wait for it.
func (t *transition) around(s *s6rc.Service) (before, after []*s6rc.Service) {
	if t.toUp {
		return s.Deps, s.Dependents
	}
	return s.Dependents, s.Deps
}

func (t *transition) run() int {
	t.say(3, "s6-rc: info: bringing selected services %s", t.words.direction)
	for _, service := range t.tree.Services {
		before, _ := t.around(service)
		t.pending[service] = len(before)
	}
	for _, service := range slices.Backward(t.tree.Services) {
		t.examine(service)
	}
	var tooLate <-chan time.Time
	if !t.deadline.IsZero() {
		tooLate = time.After(time.Until(t.deadline))
	}
	for t.running > 0 {
		select {
		case o := <-t.outcomes:
			t.running--
			t.conclude(o)
		case <-tooLate:
			t.say(0, "s6-rc: fatal: timed out")
			close(t.expired)
			for ; t.running > 0; t.running-- {
				<-t.outcomes
			}
			return 2
		}
	}
	if t.failed {
		return 1
	}
	return 0
}

// examine starts the way of a service that waits for nothing more.
func (t *transition) examine(service *s6rc.Service) {
	if t.pending[service] != 0 {
		return
	}
	t.pending[service] = -1
	switch {
	case t.up[service] == t.toUp:
		t.pass(service)
	case !slices.Contains(t.selected, service):
	case !t.toUp && service.Essential && service.Path != "":
		t.say(1, "s6-rc: warning: service %s is marked as essential, not stopping it", service.Name)
	default:
		t.say(2, "s6-rc: info: service %s: %s", service.Name, t.words.doing)
		t.running++
		if service.Path == "" { // internal: nothing to do but to say so
			t.outcomes <- outcome{service, 0}
			return
		}
		go func() { t.outcomes <- outcome{service, t.attempt(service)} }()
	}
}

// pass lets those go on that waited for a service.
func (t *transition) pass(service *s6rc.Service) {
	_, after := t.around(service)
	for _, next := range after {
		t.pending[next]--
		t.examine(next)
	}
}

func (t *transition) conclude(o outcome) {
	if o.status != 0 {
		t.failed = true
		t.say(1, "s6-rc: warning: unable to %s service %s: command exited %d", t.words.do, o.service.Name, o.status)
		return
	}
	t.up[o.service] = t.toUp
	t.say(2, "s6-rc: info: service %s successfully %s", o.service.Name, t.words.done)
	t.pass(o.service)
}

// attempt does what it takes to start or stop one service.
func (t *transition) attempt(service *s6rc.Service) int {
	limit, argv := service.TimeoutDown, service.Down
	if t.toUp {
		limit, argv = service.TimeoutUp, service.Up
	}
	if service.Type == s6rc.Longrun {
		return t.longrun(service, limit)
	}
	if filepath.Dir(service.Path) == s6rc.BuiltinDir {
		return t.legacy(service.Name)
	}
	if len(argv) == 0 {
		return 0
	}
	p, err := t.children.start(command{argv: argv, env: t.env, dir: filepath.Join(t.dir, s6rc.OneshotRunner)})
	if err != nil {
		t.say(0, "s6-rc-oneshot-run: fatal: unable to exec %s: %s", argv[0], s6rc.Errno(err))
		return execStatus(err)
	}
	status, ok := within(p, limit, t.expired, syscall.SIGTERM, syscall.SIGCONT)
	if !ok {
		t.say(0, "s6-sudoc: fatal: unable to get exit status from server: Operation timed out")
		return 111
	}
	return oneshotStatus(status)
}

// oneshotStatus is what the programs of s6 that hand on a oneshot's end make
// of it: an exit code that could be taken for a signal is 128.
func oneshotStatus(status syscall.WaitStatus) int {
	if status.Exited() {
		return min(status.ExitStatus(), 128)
	}
	return exitCode(status)
}

// longrun has s6 bring a service up or down and waits until s6 says it is:
// ready if it can say so, or else spawned; down once its finish script is done.
func (t *transition) longrun(service *s6rc.Service, limit time.Duration) int {
	dir := liveDir + "/servicedirs/" + service.Name
	event, order := "-D", "-d"
	switch {
	case !t.toUp:
		if err := os.WriteFile(dir+"/down", nil, 0o644); err != nil {
			t.say(1, "s6-rc: warning: unable to write %s/down: %s", dir, s6rc.Errno(err))
		}
	case service.NotificationFD >= 0:
		event, order = "-U", "-u"
	default:
		event, order = "-u", "-u"
	}
	t.awaitSupervisor(dir)
	argv := []string{"s6-svlisten1", event}
	if !t.deadline.IsZero() {
		// Never 0, which means no limit.
		left := max(time.Until(t.deadline), time.Millisecond)
		if limit == 0 || left < limit {
			limit = left
		}
	}
	if limit > 0 {
		argv = append(argv, "-t", strconv.FormatInt(limit.Milliseconds(), 10))
	}
	p, err := t.children.start(command{argv: append(argv, "--", dir, "s6-svc", order, "--", dir), env: t.env, dir: "/"})
	if err != nil {
		t.say(0, "s6-rc: fatal: unable to exec s6-svlisten1: %s", s6rc.Errno(err))
		return execStatus(err)
	}
	status, ok := within(p, 0, t.expired)
	if !ok {
		return 111
	}
	switch {
	case t.toUp && status == 0:
		os.Remove(dir + "/down") // a restarted supervisor is to start it
	case t.toUp: // what did not come up in time does not stay half up
		down, err := t.children.start(command{argv: []string{"s6-svc", "-d", "--", dir}, env: t.env, dir: "/"})
		if err != nil {
			t.say(0, "init: warning: unable to exec s6-svc: %s", s6rc.Errno(err))
			break
		}
		<-down.done
	}
	return exitCode(status)
}

// awaitSupervisor waits until s6-svscan has started the supervisor of a
// service that was just added. Past that, the programs that find none say
// what is wrong.
func (t *transition) awaitSupervisor(dir string) {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		fd, err := syscall.Open(dir+"/supervise/control", syscall.O_WRONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err == nil {
			syscall.Close(fd)
			return
		}
	}
}
