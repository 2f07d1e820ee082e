package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// state is the file by which "s6-rc -a list" knows what is up: a line a
// service, in database order, with a sign in front.
const (
	stateFile = liveDir + "/state"
	isUp      = "+"
	isDown    = "-"
)

// storeState writes it.
func (s *services) storeState() error {
	var text strings.Builder
	for _, service := range s.tree.Services {
		sign := isDown
		if s.up[service] {
			sign = isUp
		}
		text.WriteString(sign + service.Name + "\n")
	}
	return os.WriteFile(stateFile, []byte(text.String()), 0o644)
}

// inspect is s6-rc, as far as it looks without touching: "s6-rc -a list" prints
// what is up, "s6-rc -da list" what is not. Bringing services up and down is
// left to PID 1, whose own "s6-rc -bda change" does no more than wait until
// nothing else does it, see bringDown.
func inspect(args []string) int {
	complain := func(status int, format string, args ...any) int {
		fmt.Fprintf(os.Stderr, "s6-rc: "+format+"\n", args...)
		return status
	}
	sign, how := map[string]string{"-a list": isUp, "-da list": isDown}[strings.Join(args, " ")], syscall.LOCK_SH
	waits := sign == ""
	if !waits {
		how |= syscall.LOCK_NB
	} else if os.Getppid() != 1 {
		return complain(100, "usage: s6-rc -a list | -da list (to stop or restart one service use s6-svc -d, -u or -r %s/NAME)", scanDir)
	}
	lock, err := os.Open(liveDir + "/lock")
	if err == nil {
		defer lock.Close()
		err = syscall.Flock(int(lock.Fd()), how)
	}
	switch {
	case waits && err != nil:
		return 111
	case waits:
		return 0
	case errors.Is(err, syscall.EWOULDBLOCK):
		return complain(111, "fatal: unable to take locks: Resource busy")
	case err != nil:
		return complain(111, "fatal: unable to take locks: %s", s6rc.Errno(err))
	}
	state, err := os.ReadFile(stateFile)
	if err != nil {
		return complain(111, "fatal: unable to read %s: %s", stateFile, s6rc.Errno(err))
	}
	var names []string
	for line := range strings.Lines(string(state)) {
		if name, ok := strings.CutPrefix(line, sign); ok {
			names = append(names, strings.TrimSuffix(name, "\n"))
		}
	}
	fmt.Println(strings.Join(names, "\n")) // an empty line for none
	return 0
}
