package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
)

// settings are what S6_* variables of the container ask for.
type settings struct {
	verbosity int           // 0 to 5
	keepEnv   bool          // services inherit the container's environment
	hook      []string      // run before the services are compiled
	onFailure int           // 0 goes on, 1 warns, 2 stops the container
	bootLimit time.Duration // for all services to come up; 0: none
	killGrace time.Duration // between the final SIGTERM and SIGKILL
}

func readSettings(env []string) settings {
	number := func(name string, missing int) int {
		n, err := strconv.Atoi(variable(env, name))
		if err != nil || n < 0 {
			return missing
		}
		return n
	}
	ms := func(name string, missing int) time.Duration {
		return time.Duration(number(name, missing)) * time.Millisecond
	}
	return settings{
		verbosity: number("S6_VERBOSITY", 2),
		keepEnv:   number("S6_KEEP_ENV", 0) != 0,
		hook:      strings.Fields(variable(env, "S6_STAGE2_HOOK")),
		onFailure: number("S6_BEHAVIOUR_IF_STAGE2_FAILS", 0),
		bootLimit: ms("S6_CMD_WAIT_FOR_SERVICES_MAXTIME", 5000),
		killGrace: ms("S6_KILL_GRACETIME", 3000),
	}
}

// searchPath puts the overlay's commands in front of PATH, and the places
// that every program counts on when they are missing.
func searchPath(path string, set bool) string {
	switch {
	case !set:
		path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	case path == "":
		path = "/bin"
	}
	for _, dir := range []string{"/bin", "/usr/bin", "/command"} {
		if !slices.Contains(strings.Split(path, ":"), dir) {
			path = dir + ":" + path
		}
	}
	return path
}

// identifier reports whether a shell could hold a variable of that name.
func identifier(name string) bool {
	const letters, digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", "0123456789"
	return name != "" && strings.Trim(name, letters+digits) == "" && !strings.Contains(digits, name[:1])
}

// containerEnvironment is the environment that services may ask for: what the
// container was given, less the names no shell could hold, with the PATH that
// finds the overlay's commands.
func containerEnvironment(given []string, cwd string) []string {
	path, set := "", false
	var env []string
	for _, entry := range given {
		name, value, _ := strings.Cut(entry, "=")
		switch {
		case name == "PATH":
			path, set = value, true
		case name != "PWD" && identifier(name):
			env = append(env, entry)
		}
	}
	return append(env, "PATH="+searchPath(path, set), "PWD="+cwd)
}

// storeEnvironment writes one file a variable.
func storeEnvironment(env []string) error {
	if err := os.MkdirAll(environmentDir, 0o755); err != nil {
		return err
	}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		if err := os.WriteFile(filepath.Join(environmentDir, name), []byte(value), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// loadEnvironment reads them back; an empty file means an unset variable.
func loadEnvironment() ([]string, error) {
	entries, err := os.ReadDir(environmentDir)
	if err != nil {
		return nil, err
	}
	var env []string
	for _, e := range entries {
		name := e.Name()
		if name[0] == '.' || strings.Contains(name, "=") {
			continue
		}
		value, err := os.ReadFile(filepath.Join(environmentDir, name))
		if err != nil {
			return nil, err
		}
		value = bytes.ReplaceAll(value, []byte{0}, []byte{'\n'}) // as s6-envdir does: no variable can hold a NUL byte
		if len(value) > 0 {
			env = append(env, name+"="+string(value))
		}
	}
	return env, nil
}

// withContenv replaces itself with a program that sees the container's
// environment and nothing else.
func withContenv(args []string) int {
	env := os.Environ()
	if keep, _ := strconv.Atoi(variable(env, "S6_KEEP_ENV")); keep == 0 {
		stored, err := loadEnvironment()
		if err != nil {
			fmt.Fprintf(os.Stderr, "s6-envdir: fatal: unable to envdir %s: %s\n", environmentDir, s6rc.Errno(err))
			return 111
		}
		if variable(stored, "PATH") == "" {
			stored = append(stored, "PATH="+variable(env, "PATH"))
		}
		env = stored
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "exec: usage: exec [ -c ] [ -l ] [ -a argv0 ] prog...")
		return 100
	}
	if mask, err := strconv.ParseUint(variable(env, "UMASK"), 8, 9); err == nil && isService() {
		syscall.Umask(int(mask))
	}
	path, err := lookPath(args[0], env)
	if err == nil {
		err = syscall.Exec(path, args, env)
	}
	fmt.Fprintf(os.Stderr, "exec: fatal: unable to exec %s: %s\n", args[0], s6rc.Errno(err))
	return execStatus(err)
}

// isService reports by the working directory whether this is a supervised
// service. UMASK is for those alone: what the oneshots prepare must stay
// readable for all of them.
func isService() bool {
	dir, err := os.Getwd()
	if err != nil {
		return false
	}
	parent, name := filepath.Base(filepath.Dir(dir)), filepath.Base(dir)
	return parent == "servicedirs" && !strings.HasPrefix(name, "s6rc-")
}

// printContenv prints one variable of the container's environment.
func printContenv(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "printcontenv: fatal: too few arguments")
		return 100
	}
	value, err := os.ReadFile(filepath.Join(environmentDir, filepath.Base(args[0])))
	if err != nil {
		return 2
	}
	fmt.Printf("%s\n", value)
	return 0
}
