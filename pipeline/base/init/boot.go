package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// container is PID 1 at work.
type container struct {
	settings
	cwd      string   // where the command runs
	env      []string // of every program that is started
	children *children

	ended   chan int    // exit codes; the first one ends the container
	closing atomic.Bool // the services are coming down, or about to

	// services belongs to one bring-up or bring-down at a time; nil until the
	// sources are compiled. What waits for it waits for ever: a boot that
	// cannot end makes the container deaf to SIGTERM, as in the real one.
	servicesMu sync.Mutex
	services   *services
}

// say writes one line to standard error, if the container is that talkative.
func (c *container) say(verbosity int, format string, args ...any) {
	if c.verbosity >= verbosity {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

// boot is /init. It returns when the container ends.
func boot(args []string) int {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "s6-overlay-suexec: fatal: can only run as pid 1")
		return 100
	}
	cwd, err := os.Getwd()
	if err != nil {
		cwd = "/"
	}
	given := containerEnvironment(os.Environ(), cwd)
	c := &container{
		settings: readSettings(given),
		cwd:      cwd,
		ended:    make(chan int, 1),
		env:      []string{"PATH=" + variable(given, "PATH")},
	}
	if c.keepEnv {
		c.env = given
	}
	for _, name := range []string{"S6_CMD_RECEIVE_SIGNALS", "S6_KILL_FINISH_MAXTIME", "S6_LOGGING", "S6_RUNTIME_PROFILE"} {
		if value := variable(given, name); value != "" && value != "0" {
			c.say(1, "init: warning: %s=%s changes nothing, this base image has no such thing", name, value)
		}
	}
	syscall.Umask(0o022)
	if code := c.prepare(given); code != 0 {
		return code
	}
	if err := os.Chdir("/"); err != nil {
		fmt.Fprintln(os.Stderr, "init: fatal: unable to chdir to /:", s6rc.Errno(err))
		return 111
	}
	c.children = newChildren()
	stop := stopSignals()
	go c.bringUp(args)
	for {
		select {
		case <-stop:
			c.end()
		case code := <-c.ended:
			return code
		}
	}
}

// prepare makes /run ready. The result is an exit code when it cannot.
func (c *container) prepare(env []string) int {
	const preinit = "/package/admin/s6-overlay/libexec/preinit"
	// The image has /run open to all, so that any user can be the supervisor;
	// where that is root, as mostly, nobody else has to write there.
	if user := os.Geteuid(); user == 0 {
		os.Chmod("/run", 0o755) // a root that is read-only stays as it is
	} else if err := unix.Access("/run", unix.W_OK|unix.X_OK); err != nil {
		c.say(0, "%s: fatal: /run cannot be written by user %d (%s): start the container without a user, set PUID and PGID instead", preinit, user, s6rc.Errno(err))
		return 100
	}
	var mounted unix.Statfs_t
	if err := unix.Statfs("/run", &mounted); err == nil && mounted.Flags&unix.MS_NOEXEC != 0 {
		c.say(0, "%s: fatal: /run is mounted noexec, and services are started from there: mount it with exec, such as by --tmpfs /run:exec", preinit)
		return 126
	}
	if err := c.layOut(env); err != nil {
		c.say(0, "s6-rmrf: fatal: unable to remove /run/s6: %s", s6rc.Errno(err))
		c.say(0, "s6-overlay-suexec: fatal: child failed with exit code 111")
		return 111
	}
	return 0
}

// layOut makes the directories that scripts know, from nothing: a restarted container
// still has those of its last life.
func (c *container) layOut(env []string) error {
	old, _ := filepath.Glob(liveDir + ":*") // fails on malformed patterns only
	for _, path := range append(old, "/run/s6", scanDir, liveDir) {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	for _, path := range []string{baseDir + "/bin", scanDir, filepath.Dir(exitCodeFile)} {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"halt", "poweroff", "reboot", "shutdown"} {
		if err := os.Symlink("/init", baseDir+"/bin/"+name); err != nil {
			return err
		}
	}
	for path, text := range map[string]string{"/run/s6/workdir": c.cwd, exitCodeFile: "0"} {
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			return err
		}
	}
	if c.keepEnv {
		return nil
	}
	return storeEnvironment(env)
}

// bringUp is what rc.init does: hook, compile, services, command.
func (c *container) bringUp(args []string) {
	if len(c.hook) > 0 {
		status := c.foreground(command{argv: c.hook, env: c.env, dir: "/", stdin: os.Stdin})
		if status != 0 {
			c.say(1, "%s: warning: hook %s exited %d", rcInit, strings.Join(c.hook, " "), status)
		}
	}
	if status := c.start(); status != 0 && c.onFailure > 0 {
		c.say(0, "%s: warning: s6-rc failed to properly bring all the services up! Check your logs (in /run/uncaught-logs/current if you have in-container logging) for more information.", rcInit)
		if c.onFailure > 1 {
			c.say(0, "%s: fatal: stopping the container.", rcInit)
			c.endWith(status)
			return
		}
	}
	// An invalid tree leaves nothing to go on with, and nobody to end the
	// container: it stays, as the real one does.
	if c.services == nil || len(args) == 0 || c.closing.Load() {
		return
	}
	status := c.foreground(command{argv: args, env: append(c.env, "OLDPWD=/", "PWD="+c.cwd), dir: c.cwd, stdin: os.Stdin})
	if !c.closing.Load() {
		c.endWith(status)
	}
}

// start compiles the sources and brings "top" up. The result is what s6-rc
// would exit with.
func (c *container) start() int {
	c.servicesMu.Lock()
	defer c.servicesMu.Unlock()
	if c.closing.Load() {
		return 0
	}
	tree, err := s6rc.Load(os.DirFS(s6rc.Dir))
	for _, warning := range tree.Warnings {
		c.say(2, "s6-rc-compile: warning: %s", warning)
	}
	if err == nil {
		c.services, err = c.newServices(tree)
	}
	if err != nil {
		c.say(0, "s6-rc-compile: fatal: %s", err)
	}
	if scan := c.supervise(); c.services == nil || scan != nil {
		return 0
	}
	return c.services.change(true, c.bootLimit)
}

// supervise starts s6-svscan, which takes up what lies in scanDir.
func (c *container) supervise() error {
	p, err := c.children.start(command{argv: []string{"s6-svscan", "--", scanDir}, env: c.env, dir: "/"})
	if err != nil {
		c.say(0, "init: fatal: unable to exec s6-svscan: %s", s6rc.Errno(err))
		c.endWith(111)
		return err
	}
	go func() {
		<-p.done
		if !c.closing.Swap(true) { // s6-svscanctl -t
			c.ended <- c.result()
		}
	}()
	return nil
}

// foreground runs a program for rc.init.
func (c *container) foreground(cmd command) int {
	p, err := c.children.start(cmd)
	if err != nil {
		c.say(0, "%s: fatal: unable to exec %s: %s", rcInit, cmd.argv[0], s6rc.Errno(err))
		return execStatus(err)
	}
	status := <-p.done
	if sig := status.Signal(); status.Signaled() && sig != syscall.SIGINT && sig != syscall.SIGPIPE && !c.closing.Load() {
		c.say(0, "%s", strings.ToUpper(sig.String()[:1])+sig.String()[1:]) // the shell's remark
	}
	return exitCode(status)
}

// endWith stops the container with a status.
func (c *container) endWith(status int) {
	if err := os.WriteFile(exitCodeFile, []byte(strconv.Itoa(status)+"\n"), 0o644); err != nil {
		c.say(0, "%s: warning: unable to write %s: %s", rcInit, exitCodeFile, s6rc.Errno(err))
	}
	c.end()
}

// result is the container's exit code as it stands in its file, where services
// may have written another.
func (c *container) result() int {
	text, err := os.ReadFile(exitCodeFile)
	if err != nil {
		return 111
	}
	code, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return code & 0xff
}

// within waits for a process for at most limit (0: for ever), then ends it
// with the signals and reports false.
func within(p process, limit time.Duration, giveUp <-chan struct{}, signals ...syscall.Signal) (syscall.WaitStatus, bool) {
	var expired <-chan time.Time
	if limit > 0 {
		expired = time.After(limit)
	}
	select {
	case status := <-p.done:
		return status, true
	case <-expired:
	case <-giveUp:
	}
	for _, sig := range signals {
		syscall.Kill(p.pid, sig)
	}
	return 0, false
}
