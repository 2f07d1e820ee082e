package s6rc

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is the meaning of a log line.
type Kind string

// The kinds. What stands behind each: the fields of Event it fills besides
// Text.
const (
	KindOutput Kind = "output" // not s6's own: what a service or the command printed

	// s6-rc itself. The first four need S6_VERBOSITY 2.
	KindStarting   Kind = "starting"        // Service
	KindStarted    Kind = "started"         // Service
	KindStopping   Kind = "stopping"        // Service
	KindStopped    Kind = "stopped"         // Service
	KindFailedUp   Kind = "failed to start" // Service, Code, Crashed
	KindFailedDown Kind = "failed to stop"  // Service, Code, Crashed
	KindEssential  Kind = "essential"       // Service: asked to stop, kept
	KindTimedOut   Kind = "timed out"       // S6_CMD_WAIT_FOR_SERVICES_MAXTIME is over
	KindPhase      Kind = "phase"           // Detail: up or down; verbosity 3

	// Compiling the tree.
	KindCompileFatal   Kind = "compile fatal"   // Detail: the message
	KindCompileWarning Kind = "compile warning" // Detail
	KindCompileTrace   Kind = "compile trace"   // Detail; verbosity 3 and up

	// Why a service failed; a KindFailedUp follows.
	KindCannotExec       Kind = "cannot exec"       // Program, Detail: the error. A oneshot's
	KindReadinessTimeout Kind = "readiness timeout" // a longrun's timeout-up is over
	KindOneshotTimeout   Kind = "oneshot timeout"   // a oneshot's timeout-up, or the boot's, is over
	KindFailedForGood    Kind = "failed for good"   // Service where the line names it: finish exited 125

	// Supervision.
	KindCannotSpawn   Kind = "cannot spawn"    // Service, Detail: run cannot be executed; tried again after 60 s
	KindFinishTooLong Kind = "finish too long" // Service

	// The container's life.
	KindBootFailed    Kind = "boot failed"    // S6_BEHAVIOUR_IF_STAGE2_FAILS >= 1
	KindGivingUp      Kind = "giving up"      // S6_BEHAVIOUR_IF_STAGE2_FAILS >= 2
	KindHookFailed    Kind = "hook failed"    // Program, Code
	KindShutdownError Kind = "shutdown error" // Code of rc.shutdown
	KindPreinit       Kind = "preinit"        // Severity, Detail
	KindNotPID1       Kind = "not pid 1"      //
	KindInitFailed    Kind = "init failed"    // Detail: /init gave up before any service

	// The older ways to start something.
	KindContInit   Kind = "cont-init"   // Program, and Code once it ended; Detail: other
	KindContFinish Kind = "cont-finish" // likewise
	KindFixAttrs   Kind = "fix-attrs"   // Program: the file applied; Detail: other
	KindServicesUp Kind = "services-up" // Service

	// KindScript is a shell's complaint about a line of one of s6-overlay's
	// scripts, such as a command that does not exist. Program, Detail.
	KindScript Kind = "script"
	// KindTool is any further line of one of s6's programs. Program, Severity,
	// Detail.
	KindTool Kind = "tool"
	// KindReady is the base image's own "[ls.io-init] done.": everything of the
	// bundle user is up.
	KindReady Kind = "ready"
)

// Event is a log line understood.
type Event struct {
	Kind     Kind
	At       time.Duration // since the container's start, where the log says
	Line     int           // in the log, from 1
	Service  string
	Code     int    // exit code, or signal number when Crashed
	Crashed  bool   // "crashed with signal"
	Program  string // what could not be run, or who speaks
	Severity string // info, notice, warning, fatal, tracing
	Detail   string
	Text     string // the line as it came
}

// String is the line.
func (e Event) String() string { return e.Text }

// Bad reports whether the line by itself means that the boot or the stop went
// wrong.
func (e Event) Bad() bool {
	switch e.Kind {
	case KindFailedUp, KindFailedDown, KindTimedOut, KindCompileFatal, KindCannotExec, KindReadinessTimeout,
		KindOneshotTimeout, KindFailedForGood, KindCannotSpawn, KindFinishTooLong, KindBootFailed, KindGivingUp,
		KindHookFailed, KindShutdownError, KindNotPID1, KindInitFailed, KindScript:
		return true
	case KindContInit, KindContFinish:
		return e.Code != 0
	case KindPreinit, KindTool:
		return e.Severity == "fatal"
	}
	return false
}

// rule recognises one form of line; its named groups fill the event.
type rule struct {
	kind Kind
	form *regexp.Regexp
}

// The first that fits wins. Service names may hold blanks and any letters.
// Compiled on first use: the stand-in init, which only loads trees, starts
// without.
var rules = sync.OnceValue(func() []rule {
	var rules []rule
	add := func(kind Kind, form string) {
		rules = append(rules, rule{kind, regexp.MustCompile(`^(?s:` + form + `)$`)})
	}
	const (
		ended  = `command (?P<how>exited|crashed with signal) (?P<code>\d+)`
		rcInit = `/run/s6/basedir/scripts/rc\.init: `
		any    = `(?P<detail>.+)`
	)
	add(KindStarting, `s6-rc: info: service (?P<service>.+): starting`)
	add(KindStarted, `s6-rc: info: service (?P<service>.+) successfully started`)
	add(KindStopping, `s6-rc: info: service (?P<service>.+): stopping`)
	add(KindStopped, `s6-rc: info: service (?P<service>.+) successfully stopped`)
	add(KindFailedUp, `s6-rc: warning: unable to start service (?P<service>.+): `+ended)
	add(KindFailedDown, `s6-rc: warning: unable to stop service (?P<service>.+): `+ended)
	add(KindEssential, `s6-rc: warning: service (?P<service>.+) is marked as essential, not stopping it`)
	add(KindTimedOut, `s6-rc: fatal: timed out`)
	add(KindPhase, `s6-rc: info: bringing selected services (?P<detail>up|down)`)
	add(KindCompileFatal, `s6-rc-compile: fatal: `+any)
	add(KindCompileWarning, `s6-rc-compile: warning: `+any)
	add(KindCompileTrace, `s6-rc-compile: (?P<severity>info|tracing): `+any)
	add(KindCannotExec, `s6-rc-oneshot-run: fatal: unable to exec (?P<program>.+): `+any)
	add(KindReadinessTimeout, `s6-svlisten1?: fatal: timed out`)
	add(KindOneshotTimeout, `s6-sudoc: fatal: unable to get exit status from server: Operation timed out`)
	add(KindFailedForGood, `s6-svlisten1?: fatal: /run/s6-rc/servicedirs/(?P<service>.+) failed permanently or its supervisor died`)
	add(KindFailedForGood, `s6-svlisten1?: fatal: some services reported permanent failure or their supervisor died`)
	add(KindCannotSpawn, `s6-supervise (?P<service>.+): warning: unable to spawn \./run \(waiting 60 seconds\): `+any)
	add(KindFinishTooLong, `s6-supervise (?P<service>.+): warning: finish script lifetime reached maximum value - sending it a SIGKILL`)
	add(KindBootFailed, rcInit+`warning: s6-rc failed to properly bring all the services up! .+`)
	add(KindGivingUp, rcInit+`fatal: stopping the container\.`)
	add(KindHookFailed, rcInit+`(?P<severity>warning|fatal): hook (?P<program>.+) exited (?P<code>\d+)`)
	add(KindShutdownError, `s6-linux-init-shutdownd: warning: /run/s6/basedir/scripts/rc\.shutdown exited (?P<code>\d+)`)
	add(KindPreinit, `/package/admin/s6-overlay[^/]*/libexec/preinit: (?P<severity>info|notice|warning|fatal): `+any)
	add(KindNotPID1, `s6-overlay-suexec: fatal: can only run as pid 1`)
	add(KindInitFailed, `s6-overlay-suexec: fatal: `+any)
	for kind, prefix := range map[Kind]string{KindContInit: "cont-init", KindContFinish: "cont-finish"} {
		add(kind, prefix+`: info: running (?P<program>.+)`)
		add(kind, prefix+`: info: (?P<program>.+) exited (?P<code>\d+)`)
		add(kind, prefix+`: (?P<severity>info|warning|fatal): `+any)
	}
	add(KindFixAttrs, `fix-attrs: info: applying (?P<program>.+)`)
	add(KindFixAttrs, `fix-attrs: (?P<severity>info|warning|fatal): `+any)
	add(KindServicesUp, `services-up: info: copying legacy longrun (?P<service>\S+)( \(no readiness notification\))?`)
	add(KindScript, `(?P<program>/run/s6/basedir/scripts/[^:]+|/package/admin/s6-overlay[^:]*): (line )?\d+: `+any)
	add(KindTool, `(?P<program>s6-[a-z0-9-]+( [^:]+)?): (?P<severity>info|notice|warning|fatal|tracing|usage): `+any)
	add(KindTool, rcInit+`(?P<severity>info|notice|warning|fatal): `+any)
	add(KindReady, `\[ls\.io-init\] done\.`)
	return rules
})

// ParseLine understands one line, without its newline. It never fails: what
// is not s6's is KindOutput.
func ParseLine(line string) Event {
	e := Event{Kind: KindOutput, Text: line}
	for _, r := range rules() {
		m := r.form.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		e.Kind = r.kind
		for i, name := range r.form.SubexpNames() {
			switch name {
			case "service":
				e.Service = m[i]
			case "program":
				e.Program = m[i]
			case "severity":
				e.Severity = m[i]
			case "detail":
				e.Detail = m[i]
			case "code":
				e.Code, _ = strconv.Atoi(m[i]) // digits; one too long is not worth a failure
			case "how":
				e.Crashed = m[i] != "exited"
			}
		}
		return e
	}
	return e
}

// ParseLog understands a whole log, a line an event. stamp, if not nil, takes
// the time off a line: it gives the time since the container's start and the
// rest of the line. The error is that of reading.
func ParseLog(r io.Reader, stamp func(line string) (time.Duration, string)) ([]Event, error) {
	var events []Event
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var at time.Duration
			line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
			if stamp != nil {
				at, line = stamp(line)
			}
			e := ParseLine(line)
			e.At, e.Line = at, len(events)+1
			events = append(events, e)
		}
		if err == io.EOF {
			return events, nil
		}
		if err != nil {
			return events, fmt.Errorf("reading the boot log behind line %d: %w", len(events), err)
		}
	}
}
