// Package workflows checks the workflows and actions under .github against rules.
// Each rule is a function of a text. A test shows that the rule finds violations.
package workflows

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// workflow holds the parts of a workflow that the rules check.
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
	Needs       any            `yaml:"needs"` // a name or a list
	Container   map[string]any `yaml:"container"`
	Env         map[string]any `yaml:"env"`
	Steps       []step         `yaml:"steps"`
}

type step struct {
	Name  string         `yaml:"name"`
	Uses  string         `yaml:"uses"`
	Run   string         `yaml:"run"`
	Shell string         `yaml:"shell"`
	If    string         `yaml:"if"`
	Env   map[string]any `yaml:"env"`
	With  map[string]any `yaml:"with"`
}

func (s step) String() string {
	if s.Name != "" {
		return s.Name
	}
	return s.Uses
}

// action is a composite action of this repository.
type action struct {
	Runs struct {
		Using string `yaml:"using"`
		Steps []step `yaml:"steps"`
	} `yaml:"runs"`
}

// setup is the action that installs Go.
const setup = "./.github/actions/setup"

// parse reads a workflow. Anchors are resolved.
func parse(text []byte) (workflow, error) {
	var w workflow
	err := yaml.Unmarshal(text, &w)
	return w, err
}

var (
	pinned     = regexp.MustCompile(`^[A-Za-z0-9._-]+/[A-Za-z0-9._/-]+@[0-9a-f]{40}$`)
	own        = regexp.MustCompile(`^\./\.github/actions/[a-z-]+$`)
	usesLine   = regexp.MustCompile(`(?m)^\s*(?:- )?uses: *(\S+)(.*)$`)
	versionIs  = regexp.MustCompile(`^ # v[0-9]+\.[0-9]+\.[0-9]+$`)
	wideGrants = []string{"write-all", "read-all"}
)

// problems lists the problems of a workflow, one per line.
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
	list = append(list, unpinned(text)...)
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
			if strings.HasPrefix(s.Uses, "actions/setup-go@") {
				add("job %s, step %s: Go is not installed by %s", name, s, setup)
			}
			if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
				add("job %s, step %s: it leaves the token in .git/config", name, s)
			}
			if strings.Contains(s.If, "cancelled()") && s.With["if-no-files-found"] == "error" {
				add("job %s, step %s: it fails a second time when a step before it has failed", name, s)
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

// unpinned lists the external actions that are not pinned.
func unpinned(text []byte) []string {
	var list []string
	for _, m := range usesLine.FindAllSubmatch(text, -1) {
		switch {
		case own.Match(m[1]): // always of the same commit
		case !pinned.Match(m[1]):
			list = append(list, fmt.Sprintf("uses %s: not pinned by a commit", m[1]))
		case !versionIs.Match(m[2]):
			list = append(list, fmt.Sprintf("uses %s: no comment with the version", m[1]))
		}
	}
	return list
}

// actionProblems lists the problems of a composite action, one per line.
func actionProblems(text []byte) []string {
	var a action
	if err := yaml.Unmarshal(text, &a); err != nil {
		return []string{err.Error()}
	}
	list := unpinned(text)
	if a.Runs.Using != "composite" || len(a.Runs.Steps) == 0 {
		list = append(list, "it is no composite action with steps")
	}
	for _, s := range a.Runs.Steps {
		if strings.Contains(s.Run, "${{") {
			list = append(list, fmt.Sprintf("step %s: an expression inside run", s))
		}
		if s.Run != "" && s.Shell != "bash" {
			list = append(list, fmt.Sprintf("step %s: the shell is not bash, so a pipe hides failures", s))
		}
	}
	return list
}

// cached lists the steps that read a cache that other runs can write.
func cached(w workflow) []string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(w.Jobs)) {
		for _, s := range w.Jobs[name].Steps {
			if strings.HasPrefix(s.Uses, "actions/cache") || s.Uses == setup && s.With["cache"] == true {
				list = append(list, fmt.Sprintf("job %s, step %s", name, s))
			}
		}
	}
	return list
}

// grants returns the permissions of a job.
func (j job) grants() map[string]string {
	m := map[string]string{}
	_ = j.Permissions.Decode(&m) // problems reports all other types
	return m
}
