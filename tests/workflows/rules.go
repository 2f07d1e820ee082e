// Package workflows holds the workflows under .github to what makes them
// trustworthy. The rules are functions of a workflow's text, so that the tests
// see each of them find its own mistake.
package workflows

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// workflow is what the rules look at.
type workflow struct {
	On          yaml.Node      `yaml:"on"`
	Permissions yaml.Node      `yaml:"permissions"`
	Concurrency concurrency    `yaml:"concurrency"`
	Jobs        map[string]job `yaml:"jobs"`
	Env         map[string]any `yaml:"env"`
	Defaults    struct {
		Run struct {
			Shell string `yaml:"shell"`
		} `yaml:"run"`
	} `yaml:"defaults"`
}

type concurrency struct {
	Group  string `yaml:"group"`
	Cancel string `yaml:"cancel-in-progress"`
}

type job struct {
	Permissions yaml.Node      `yaml:"permissions"`
	Timeout     int            `yaml:"timeout-minutes"`
	Environment string         `yaml:"environment"`
	Env         map[string]any `yaml:"env"`
	Steps       []step         `yaml:"steps"`
}

type step struct {
	Name string         `yaml:"name"`
	Uses string         `yaml:"uses"`
	Run  string         `yaml:"run"`
	If   string         `yaml:"if"`
	Env  map[string]any `yaml:"env"`
	With map[string]any `yaml:"with"`
}

func (s step) String() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Uses
}

// parse reads a workflow. Anchors are resolved.
func parse(text []byte) (workflow, error) {
	var w workflow
	err := yaml.Unmarshal(text, &w)
	return w, err
}

var (
	pinned     = regexp.MustCompile(`^[A-Za-z0-9._-]+/[A-Za-z0-9._/-]+@[0-9a-f]{40}$`)
	usesLine   = regexp.MustCompile(`(?m)^\s*(?:- )?uses: *(\S+)(.*)$`)
	versionIs  = regexp.MustCompile(`^ # v[0-9]+\.[0-9]+\.[0-9]+$`)
	wideGrants = []string{"write-all", "read-all"}
)

// problems lists what is wrong with a workflow, a line each.
func problems(text []byte) []string {
	w, err := parse(text)
	if err != nil {
		return []string{err.Error()}
	}
	var list []string
	add := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }

	if w.Permissions.Kind != yaml.MappingNode || len(w.Permissions.Content) != 0 {
		add("top level: permissions is not {}")
	}
	if w.Concurrency.Group == "" {
		add("top level: no concurrency group")
	}
	if w.Defaults.Run.Shell != "bash" {
		add("top level: the shell is not bash, so a pipe hides failures")
	}
	for _, m := range usesLine.FindAllSubmatch(text, -1) {
		if !pinned.Match(m[1]) {
			add("uses %s: not pinned by a commit", m[1])
		} else if !versionIs.Match(m[2]) {
			add("uses %s: no comment with the version", m[1])
		}
	}
	if strings.Contains(string(text), "pull_request_target") || strings.Contains(string(text), "workflow_run:") {
		add("top level: it runs with rights on what others wrote")
	}
	if len(w.Jobs) == 0 {
		add("no jobs")
	}
	for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
		j := w.Jobs[name]
		if j.Timeout < 1 || j.Timeout > 120 {
			add("job %s: no timeout of at most two hours", name)
		}
		switch {
		case j.Permissions.Kind == 0:
			add("job %s: no permissions of its own", name)
		case j.Permissions.Kind != yaml.MappingNode || slices.Contains(wideGrants, j.Permissions.Value):
			add("job %s: permissions are not given one by one", name)
		}
		for where, env := range map[string]map[string]any{"workflow": w.Env, "job " + name: j.Env} {
			for key, value := range env {
				if strings.Contains(fmt.Sprint(value), "secrets.") {
					add("%s: env %s hands a secret to every step", where, key)
				}
			}
		}
		for _, s := range j.Steps {
			if strings.Contains(s.Run, "${{") {
				add("job %s, step %s: an expression inside run", name, s)
			}
			if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
				add("job %s, step %s: it leaves the token in .git/config", name, s)
			}
			for key, value := range s.Env {
				if strings.Contains(fmt.Sprint(value), "secrets.") && j.Environment == "" {
					add("job %s, step %s: env %s takes a secret outside an environment", name, s, key)
				}
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// cached lists the steps that take something from a cache that another run can
// write.
func cached(w workflow) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
		for _, s := range w.Jobs[name].Steps {
			if strings.HasPrefix(s.Uses, "actions/cache") || strings.HasPrefix(s.Uses, "actions/setup-go@") && s.With["cache"] != false {
				list = append(list, fmt.Sprintf("job %s, step %s", name, s))
			}
		}
	}
	return list
}

// grants are the permissions of a job, as written.
func (j job) grants() map[string]string {
	m := map[string]string{}
	_ = j.Permissions.Decode(&m) // problems tells of anything but a mapping
	return m
}
