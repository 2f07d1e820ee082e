package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

// scope says how far a recorded case is replayed. The zero value: in full.
type scope struct {
	out     string // why it is not replayed at all
	why     string // why some of it does not count, which is:
	ignore  string // expression for lines that are not compared
	repeats string // expression for lines that come once or more often: how often is a matter of the moment
	late    string // expression for lines that may be missing: the container may end before they come
	end     bool   // how it ends does not count
	drop    string // expression for commands run beside PID 1 that are left out, with what they cause
}

// scopeOf looks a case up, and then its file.
func scopeOf(c recording.Case) scope {
	s, ok := scopes()[c.Name()]
	if !ok {
		s = scopes()[c.File]
	}
	lists := func(text string) bool { return strings.Contains(text, "s6-rc -a list") }
	if slices.ContainsFunc(c.Command, lists) || slices.ContainsFunc(c.Lines, func(l recording.Line) bool { return lists(l.Text) }) {
		s.why = cmp.Or(s.why, "what s6-rc lists, which no image and no mod asks for")
		s.ignore = strings.Trim(s.ignore+`|^(ci|fix|init|legacy|s6rc|svc)-[a-z-]+$|^s6-rc: (usage: |fatal: unable to take locks: Resource busy$)`, "|")
	}
	return s
}

func scopes() map[string]scope {
	const (
		inspection = "s6-rc-db, s6-rc, and the inner files of s6-rc and s6-linux-init: no image and no mod asks for them"
		version    = "another version of s6-overlay: this one plays 3.1.6.2, on s6 2.13"
		linuxserv  = "linuxserver.io's own scripts: what ours do instead is tested in pipeline/base"
		logging    = "S6_LOGGING: logs in files inside the container, which no image of ours asks for"
		chatter    = "what s6-rc-compile and s6-rc's helpers say of their own work from verbosity 3 on"
		processes  = "the processes of init and of s6 are others here"
		descriptor = "the descriptors and the parent are others here"
		unheeded   = "S6_CMD_RECEIVE_SIGNALS and S6_RUNTIME_PROFILE, which no image and no document of ours sets"
		flapping   = "how often a service restarts before the end is a matter of the moment"
	)
	// Lines of ls -l and of ps.
	const listed = `^[dlps-][rwxsStT-]{9} |^total `
	const process = `^root |^UID |^ *(\d|NN) +(\d|NN) +|^ *PID `
	flaps := scope{why: flapping, repeats: `^(svc-netbox run at|run$|dying$|svc-netbox (finish|ran)|finish |@TIME )`, ignore: `^down \(|^up \(|finish.* NN NN`}
	chatty := scope{why: chatter, ignore: `^s6-(rc-compile|rc|ipcclient|sudoc|ipcserverd|svlisten1|svc|ftrigrd)[^:]*: (info: (parsing|[^ ]+ has type|making|resolving|converting|checking|writing|s6-ipcclient|connected)|tracing)`}
	version2 := scope{why: "/etc/fix-attrs.d and /etc/services.d, which no image and no mod has, are left out", ignore: `^(fix-attrs|services-up): |^legn? |`, drop: `s6-svstat /run/service/leg`}
	rebooted := scope{why: "the real one tries reboot(2) and exits 111 where it may not, this one ends as for SIGTERM", end: true}
	return map[string]scope{
		"02-verbosity/3": chatty,
		"02-verbosity/4": chatty,
		"02-verbosity/5": chatty,

		"03-cmd-exit/12": {why: processes, ignore: process + `|^pid |rc\.init top|^/init |` + listed},

		"04-signals/21": {out: unheeded},
		"04-signals/3":  rebooted,
		"04-signals/6":  rebooted,
		"04-signals/8":  rebooted,
		"04-signals/14": {why: "s6-supervise of s6 2.13 sends one SIGTERM less when it is itself asked to end", repeats: `got TERM, ignoring$`},

		"05-oneshot-fails/8": {why: "nsenter may find no container any more", ignore: `^nsenter: `, late: `^$`},

		"06-oneshot-up-broken/17": {why: descriptor, ignore: listed + `|^pid |s6-sudod|^/init |^NN$`},

		"07-never-ready/1": {why: processes, ignore: process},
		"07-never-ready/9": {why: flapping, repeats: `^svc-netbox ran$`},
		"07-never-ready/8": {why: "the script dies of SIGPIPE in the end, before or after its container", repeats: `^svc-netbox ran$`},

		"08-longrun-flaps":    flaps,
		"08-longrun-flaps/15": {why: processes, ignore: process},

		"09-invalid-trees/35": {out: inspection},
		"09-invalid-trees/59": {out: "a pipeline of services, which this one refuses in other words"},
		"09-invalid-trees/3":  {why: processes + "; the links below /run/service and the files of s6-linux-init too", ignore: process + `|` + listed, late: `^s6-rc: fatal: unable to take locks`},

		"10-not-pid1/1": {why: "/run is empty in our image", ignore: listed},

		"11-environment/1": {why: "od and a longrun write into the same line", ignore: `^(\w+|\*) = |^  |^[N\\0-9 ]+$|^longrun-without-contenv`},
		"11-environment/2": {why: "the script lists the directory of s6rc-oneshot-runner, no process here, and writes half a line before another writes", ignore: `^\S+ = |^  |^head: cannot open|^longrun-without-contenv: (NN|\d+) variables`},
		"11-environment/3": {why: "init-envfile may see what its neighbour does to the directory", ignore: `init-envfile`, repeats: `^s6-envdir: `},
		"11-environment/6": {why: "nsenter passes PWD to its command, runc does not", ignore: `^PWD=/$`},

		"12-inspection/1": {out: inspection},

		"14-legacy/1": version2,
		"14-legacy/2": version2,
		"14-legacy/3": version2,
		"14-legacy/4": version2,
		"14-legacy/5": {out: linuxserv},
		"14-legacy/6": {out: linuxserv},
		"14-legacy/7": {out: linuxserv},
		"14-legacy/8": {out: unheeded},

		"15-maxtime/5": {why: processes, ignore: process},

		// Whatever is no zombie does not count.
		"16-reaping": {why: processes, ignore: `^ *(\d|NN) +(\d|NN) +[RSDIT]\S* |^ +PID |^PID |^$`},

		"17-read-only-root":   {why: "S6_READ_ONLY_ROOT changes nothing: a /run that is noexec is named without it", ignore: `^/package/admin/`},
		"17-read-only-root/5": {why: "without a /run that can be written, /init ends as it does without S6_READ_ONLY_ROOT", ignore: `^/package/admin/|^s6-(rmrf|overlay-suexec): fatal`, end: true},

		"18-streams/4": {out: logging},
		"18-streams/5": {out: logging},

		"20-more-signals":    {late: `^rc=0$`},
		"20-more-signals/1":  {why: rebooted.why, end: true, late: `^rc=0$`},
		"20-more-signals/2":  {why: rebooted.why, end: true, late: `^rc=0$`},
		"20-more-signals/6":  {why: rebooted.why, end: true, late: `^rc=0$`},
		"20-more-signals/7":  {why: rebooted.why, end: true, late: `^rc=0$`},
		"20-more-signals/12": {out: "a race in the real one: the service restarts once more before the shutdown reaches it, and its second finish overwrites the exit code (9 by 256, that is 0)"},

		"21-other-version-3.2.1.0": {out: version},
		"22-other-version-3.2.3.0": {out: version},
		"23-environment-newer/2":   {out: version},
		"23-environment-newer/3":   {out: version},
	}
}

// matches reports whether one of the scope's expressions fits.
func (s scope) matches(expression, text string) bool {
	return expression != "" && regexp.MustCompile(expression).MatchString(text)
}
