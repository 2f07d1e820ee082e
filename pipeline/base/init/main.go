// Command init is /init of the local base image: it plays the part that
// s6-overlay 3.1.6.2, s6-rc and s6-linux-init play in the published base.
// Supervision, restart and readiness stay with s6 itself.
//
// As PID 1 it prepares /run, compiles /etc/s6-overlay/s6-rc.d, brings the
// services up in dependency order, runs the container's command, and brings
// everything down again on a signal or when the command ends; it collects
// every orphan meanwhile. Lines and exit codes are those of the real programs,
// as the replay test shows.
//
// It runs as any user who can write to /run, which the image has open to all;
// the real one takes /run for that user by a setuid program.
//
// What it does not do: logging inside the container (S6_LOGGING), signals for the
// command (S6_CMD_RECEIVE_SIGNALS), another place for the configuration
// (S6_RUNTIME_PROFILE), a limit for cont-finish.d (S6_KILL_FINISH_MAXTIME), the
// commands s6-rc and s6-rc-db, pipelines of services, /etc/fix-attrs.d and
// /etc/services.d of s6-overlay v2, reboot(2), and the talk of s6-rc-compile from
// verbosity 3 on. A root file system that is read-only needs no S6_READ_ONLY_ROOT.
// The internal services s6rc-oneshot-runner and s6rc-fdholder are names without a
// process: this program runs the oneshots itself.
//
// The same binary is the small programs that services and operators call; its
// name decides which. See [programs].
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// Where things lie in a running container. Scripts in the wild know all of
// these names.
const (
	environmentDir = "/run/s6/container_environment"
	baseDir        = "/run/s6/basedir"
	scanDir        = "/run/service"
	liveDir        = "/run/s6-rc"
	exitCodeFile   = "/run/s6-linux-init-container-results/exitcode"

	scriptsDir = "/package/admin/s6-overlay-3.1.6.2/etc/s6-rc/scripts"
	rcInit     = baseDir + "/scripts/rc.init"
	rcShutdown = baseDir + "/scripts/rc.shutdown"
)

// programs lists what the binary does under each name, with the arguments
// behind the name; the result is the exit code.
func programs() map[string]func(args []string) int {
	return map[string]func([]string) int{
		"init":         boot,
		"with-contenv": withContenv,
		"printcontenv": printContenv,
		"halt":         halt,
		"poweroff":     halt,
		"reboot":       halt,
		"shutdown":     halt,
		"s6-rc":        showShutdown,
	}
}

func main() {
	name := filepath.Base(os.Args[0])
	run, ok := programs()[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: fatal: this program goes by the names init, with-contenv, printcontenv, halt, poweroff, reboot, shutdown and s6-rc\n", name)
		os.Exit(100)
	}
	os.Exit(run(os.Args[1:]))
}
