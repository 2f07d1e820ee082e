package main

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// ending is how a container is to end.
type ending int

const (
	halt     ending = iota // with the exit code in its file
	powerOff               // by reboot(2), if the container may
	reboot
)

// The signals by which the commands halt, poweroff and reboot reach PID 1, in
// that order: SIGRTMIN+3 to +5, which mean the same to systemd. They are never
// diverted to the command.
const firstRequest = syscall.Signal(37)

// request asks PID 1 to end the container.
func request(how ending) int {
	if err := syscall.Kill(1, firstRequest+syscall.Signal(how)); err != nil {
		fmt.Fprintf(os.Stderr, "%s: fatal: unable to signal pid 1: %s\n", os.Args[0], errnoText(err))
		return 111
	}
	return 0
}

// shutdownCommand is shutdown -h, -p or -r; when is always now.
func shutdownCommand(args []string) int {
	how := halt
	for _, arg := range args {
		switch {
		case strings.HasPrefix(arg, "-p"):
			how = powerOff
		case strings.HasPrefix(arg, "-r"):
			how = reboot
		}
	}
	return request(how)
}

func (c *container) request(how ending) {
	select {
	case c.stop <- how:
	default: // one is enough
	}
}

// signals are those PID 1 answers to and those it must survive: Go would end
// the program for some of them.
func (c *container) signals() <-chan os.Signal {
	arrived := make(chan os.Signal, 16)
	signal.Notify(arrived,
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPWR,
		syscall.SIGQUIT, syscall.SIGHUP, syscall.SIGWINCH, syscall.SIGALRM, syscall.SIGPIPE,
		firstRequest, firstRequest+1, firstRequest+2)
	return arrived
}

func (c *container) handle(sig os.Signal) {
	number := sig.(syscall.Signal)
	if number >= firstRequest {
		c.request(ending(number - firstRequest))
		return
	}
	if c.cmdGetsSignals && number != syscall.SIGPIPE {
		c.commandMu.Lock()
		defer c.commandMu.Unlock()
		if c.command > 0 {
			syscall.Kill(c.command, number)
			return
		}
	}
	switch number {
	case syscall.SIGTERM, syscall.SIGUSR2:
		c.request(halt)
	case syscall.SIGUSR1, syscall.SIGPWR:
		c.request(powerOff)
	case syscall.SIGINT:
		c.request(reboot)
	}
}

// shutDown brings the services down, then ends every process, then the
// container.
func (c *container) shutDown(how ending) {
	if status := c.bringDown(); status != 0 {
		c.say(0, "s6-linux-init-shutdownd: warning: %s exited %d", rcShutdown, status)
	}
	// None of these reaches PID 1 itself. The grace passes in full, with
	// nothing left to wait for too, as in the real one.
	syscall.Kill(-1, syscall.SIGTERM)
	syscall.Kill(-1, syscall.SIGCONT)
	time.Sleep(c.killGrace)
	syscall.Kill(-1, syscall.SIGKILL)
	code := c.result()
	if how != halt {
		magic := syscall.LINUX_REBOOT_CMD_POWER_OFF
		if how == reboot {
			magic = syscall.LINUX_REBOOT_CMD_RESTART
		}
		syscall.Sync()
		// This ends a privileged container; any other may not do it.
		if err := syscall.Reboot(magic); err != nil {
			code = 111
		}
	}
	c.ended <- code
}

func (c *container) bringDown() int {
	// It waits beside us, and does nothing else: by it a script of a boot that
	// takes long can see that the container ends, as in the real one.
	waiting := command{argv: []string{"s6-rc", fmt.Sprintf("-v%d", c.verbosity), "-bda", "change"}, env: c.env, dir: "/"}
	if _, err := c.children.start(waiting); err != nil {
		c.say(1, "%s: warning: unable to exec s6-rc: %s", rcShutdown, errnoText(err))
	}
	c.servicesMu.Lock()
	defer c.servicesMu.Unlock()
	if c.services == nil {
		c.say(0, "s6-rc: fatal: unable to take locks: No such file or directory")
		return 111
	}
	return c.services.change(false, 0)
}
