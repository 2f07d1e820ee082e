package main

import (
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// haltRequest is the signal by which the commands halt, poweroff, reboot and
// shutdown reach PID 1: SIGRTMIN+3. By the two behind it others ask for a
// power-off or a reboot: to a container all of that is its end, with the exit
// code in its file.
const haltRequest = syscall.Signal(37)

// halt asks PID 1 to end the container.
func halt([]string) int {
	if err := syscall.Kill(1, haltRequest); err != nil {
		fmt.Fprintf(os.Stderr, "%s: fatal: unable to signal pid 1: %s\n", os.Args[0], s6rc.Errno(err))
		return 111
	}
	return 0
}

// end has the container end; once is enough.
func (c *container) end() {
	if !c.closing.Swap(true) {
		go c.shutDown()
	}
}

// stopSignals are those that end the container.
func stopSignals() <-chan os.Signal {
	arrived := make(chan os.Signal, 1)
	signal.Notify(arrived,
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR,
		haltRequest, haltRequest+1, haltRequest+2)
	// PID 1 survives these, by some of which Go would end it. They are not ignored,
	// because then every process that it starts would ignore them too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGWINCH, syscall.SIGALRM, syscall.SIGPIPE)
	return arrived
}

// shutDown brings the services down, then ends every process, then the
// container.
func (c *container) shutDown() {
	if status := c.bringDown(); status != 0 {
		c.say(0, "s6-linux-init-shutdownd: warning: %s exited %d", rcShutdown, status)
	}
	// None of these reaches PID 1 itself. The grace passes in full, with
	// nothing left to wait for too, as in the real one.
	syscall.Kill(-1, syscall.SIGTERM)
	syscall.Kill(-1, syscall.SIGCONT)
	time.Sleep(c.killGrace)
	syscall.Kill(-1, syscall.SIGKILL)
	c.ended <- c.result()
}

func (c *container) bringDown() int {
	shown := command{argv: []string{"s6-rc", fmt.Sprintf("-v%d", c.verbosity), "-bda", "change"}, env: c.env, dir: "/"}
	if _, err := c.children.start(shown); err != nil {
		c.say(1, "%s: warning: unable to exec s6-rc: %s", rcShutdown, s6rc.Errno(err))
	}
	c.servicesMu.Lock()
	defer c.servicesMu.Unlock()
	if c.services == nil {
		c.say(0, "s6-rc: fatal: unable to take locks: No such file or directory")
		return 111
	}
	return c.services.change(false, 0)
}

// showShutdown is s6-rc. It does nothing, until shutDown ends every process: by
// its name and arguments a script of a boot that takes long can see that the
// container is to end, as in the real one. PID 1 itself brings services up and
// down, so nobody else has a use for it.
func showShutdown(args []string) int {
	if os.Getppid() != 1 || !slices.Contains(args, "-bda") {
		fmt.Fprintf(os.Stderr, "s6-rc: usage: to stop or restart a service use s6-svc -d, -u or -r %s/NAME, to look at it s6-svstat\n", scanDir)
		return 100
	}
	for {
		time.Sleep(time.Hour)
	}
}
