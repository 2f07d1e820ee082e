package s6rc

import (
	"regexp"
	"sync"
	"time"
)

// Kind is the meaning of a log line.
type Kind string

// The kinds. s6-rc writes the lines about a service at S6_VERBOSITY 2.
const (
	KindOutput   Kind = "output"   // not s6's own: what a service or the command printed
	KindStarting Kind = "starting" // of a Service, as the next three
	KindStarted  Kind = "started"
	KindStopping Kind = "stopping"
	KindStopped  Kind = "stopped"
	KindOther    Kind = "other" // any further line of s6's programs and s6-overlay's scripts
	// KindReady is the base image's own "[ls.io-init] done.": everything of the
	// bundle user is up.
	KindReady Kind = "ready"
)

// Event is a log line understood.
type Event struct {
	Kind    Kind
	At      time.Duration // since the container's start, where the log says
	Line    int           // in the log, from 1
	Service string
	Text    string // the line as it came
}

// forms are how the lines look. Service names may hold blanks and any letters.
type forms struct{ step, own, bad *regexp.Regexp }

// Compiled on first use: the stand-in init, which only loads trees, starts
// without.
var lineForms = sync.OnceValue(func() forms {
	const script = `(/run/s6/basedir/scripts/[^:]+|/package/admin/s6-overlay[^:]*): `
	const program = `(s6-[a-z0-9-]+( [^:]+)?|cont-init|cont-finish|fix-attrs|services-up): `
	return forms{
		step: regexp.MustCompile(`^s6-rc: info: service (.+?)(: | successfully )(starting|started|stopping|stopped)$`),
		own:  regexp.MustCompile(`^(` + program + `(info|notice|warning|fatal|tracing|usage): |` + script + `)`),
		bad: regexp.MustCompile(`^(` +
			`(` + program + `|` + script + `)fatal: ` +
			`|` + script + `(line )?\d+: ` + // a shell's complaint, such as a command that does not exist
			`|s6-rc: warning: unable to (start|stop) service .+: command (exited|crashed with signal) \d+$` +
			`|s6-supervise .+: warning: (unable to spawn \./run|finish script lifetime reached maximum value)` +
			`|/run/s6/basedir/scripts/rc\.init: warning: (s6-rc failed to properly bring all the services up!|hook .+ exited \d+$)` +
			`|s6-linux-init-shutdownd: warning: /run/s6/basedir/scripts/rc\.shutdown exited \d+$` +
			`|cont-(init|finish): info: .+ exited 0*[1-9]\d*$)`),
	}
})

// Bad reports whether the line by itself means that the boot or the stop went
// wrong.
func (e Event) Bad() bool {
	return e.Kind == KindOther && lineForms().bad.MatchString(e.Text)
}

// ParseLine understands one line, without its newline. It never fails: what
// is not s6's is KindOutput.
func ParseLine(line string) Event {
	e := Event{Kind: KindOutput, Text: line}
	if step := lineForms().step.FindStringSubmatch(line); step != nil {
		e.Service, e.Kind = step[1], Kind(step[3])
	} else if line == "[ls.io-init] done." {
		e.Kind = KindReady
	} else if lineForms().own.MatchString(line) {
		e.Kind = KindOther
	}
	return e
}
