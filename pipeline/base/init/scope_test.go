package main

import (
	"regexp"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

// scope says how far a recorded case is replayed. The zero value: in full.
type scope struct {
	out     string         // why it is not replayed at all
	output  string         // why the output of services is not compared
	exec    string         // why the output of commands run beside PID 1 is not compared
	ignore  *regexp.Regexp // lines that do not count
	repeats *regexp.Regexp // lines that come once or more: how often is a matter of the moment
}

func scopeOf(c recording.Case) scope {
	table := map[string]scope{}
	if s, ok := table[c.Name()]; ok {
		return s
	}
	return table[c.File]
}
