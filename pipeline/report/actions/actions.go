// Package actions reports a run to GitHub Actions: outputs for later steps, a
// summary for the job's page, annotations on the lines at fault, and masks for
// secrets. Outside Actions, a Sink does nothing.
package actions

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

	githubactions "github.com/sethvargo/go-githubactions"
)

// Sink writes to Actions. Nil is a sink that does nothing.
type Sink struct {
	getenv func(string) string
	exists func(file string) bool // whether the repository has a file
	hide   func(string) string    // takes secrets out

	mu sync.Mutex // of the writer below
	to *githubactions.Action
}

// New makes the sink for a process with that environment, nil when it does not
// run in Actions. Commands to the runner go to w, which must be a stream of
// the step. Annotations are put on files for which exists says true. hide takes
// secrets out of everything that is written: the runner masks logs only.
func New(getenv func(string) string, w io.Writer, exists func(file string) bool, hide func(string) string) *Sink {
	if getenv("GITHUB_ACTIONS") != "true" {
		return nil
	}
	return &Sink{getenv: getenv, exists: exists, hide: hide, to: githubactions.New(githubactions.WithGetenv(getenv), githubactions.WithWriter(w))}
}

// do lets one caller at a time write, and turns the library's panics into
// errors.
func (s *Sink) do(what string, f func(*githubactions.Action)) (err error) {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write %s for GitHub Actions: %v: look at the step's environment", what, r)
		}
	}()
	f(s.to)
	return nil
}

// Mask has the runner hide a secret in everything the job writes from now on.
func (s *Sink) Mask(secret string) {
	if secret == "" {
		return
	}
	_ = s.do("a mask", func(a *githubactions.Action) {
		a.AddMask(secret)
		// The runner looks at one line at a time.
		if lines := strings.Split(secret, "\n"); len(lines) > 1 {
			for _, line := range lines {
				if line = strings.TrimSpace(line); len(line) > 3 {
					a.AddMask(line)
				}
			}
		}
	})
}

// Group folds what is written until end under a title. Groups do not nest.
func (s *Sink) Group(title string) (end func()) {
	_ = s.do("a group", func(a *githubactions.Action) { a.Group(title) })
	return sync.OnceFunc(func() { _ = s.do("a group's end", func(a *githubactions.Action) { a.EndGroup() }) })
}

// delimiter ends a value in the runner's files; the library always uses this.
const delimiter = "_GitHubActionsFileCommandDelimeter_"

// Output sets an output of the step, as it is: other jobs use names and digests,
// and a short secret would spoil them. Free text passes through hide before.
func (s *Sink) Output(name, value string) error {
	return s.file("GITHUB_OUTPUT", "the output "+name, value, func(a *githubactions.Action) { a.SetOutput(name, value) })
}

// summaryLimit is how much of a summary the runner takes: 1 MiB a step.
const summaryLimit = 1 << 20

// Summary adds Markdown to the summary of the step.
func (s *Sink) Summary(markdown string) error {
	if s == nil {
		return nil
	}
	markdown = s.hide(markdown)
	if len(markdown) > summaryLimit {
		const cut = "\n\n…cut: the whole is in the report.\n"
		markdown = strings.ToValidUTF8(markdown[:summaryLimit-len(cut)], "") + cut
	}
	return s.file("GITHUB_STEP_SUMMARY", "the step summary", markdown, func(a *githubactions.Action) { a.AddStepSummary(markdown) })
}

// file writes text to a file that the runner names in a variable.
func (s *Sink) file(variable, what, text string, f func(*githubactions.Action)) error {
	if s == nil {
		return nil
	}
	if strings.Contains(text, delimiter) {
		return fmt.Errorf("write %s for GitHub Actions: it holds %s, which would end it: change the text", what, delimiter)
	}
	if s.getenv(variable) == "" {
		return fmt.Errorf("write %s for GitHub Actions: %s is not set: run it as a step, or unset GITHUB_ACTIONS", what, variable)
	}
	return s.do(what, f)
}

// place matches FILE:LINE in an error.
var place = regexp.MustCompile(`(?:^|\s)([A-Za-z0-9._][A-Za-z0-9._/-]*):([1-9][0-9]*)(?::|$)`)

// Error annotates the run with an error, on the file and line that it names.
func (s *Sink) Error(text string) { s.annotate(text, (*githubactions.Action).Errorf) }

// Notice annotates the run with something to know.
func (s *Sink) Notice(text string) { s.annotate(text, (*githubactions.Action).Noticef) }

// Warning annotates the run with something that fails nothing.
func (s *Sink) Warning(text string) { s.annotate(text, (*githubactions.Action).Warningf) }

// annotate writes text without secrets. They are taken out before anybody else
// has to wait: whoever learns a secret meanwhile has it masked.
func (s *Sink) annotate(text string, write func(*githubactions.Action, string, ...any)) {
	if s == nil {
		return
	}
	text = s.hide(text)
	fields := map[string]string{}
	for _, m := range place.FindAllStringSubmatch(text, -1) {
		if s.exists(m[1]) {
			fields["file"], fields["line"] = m[1], m[2]
			break
		}
	}
	_ = s.do("an annotation", func(a *githubactions.Action) { write(a.WithFieldsMap(fields), "%s", text) })
}

// RunURL is the page of the run; "" outside Actions.
func (s *Sink) RunURL() string {
	if s == nil {
		return ""
	}
	return s.repository() + "/actions/runs/" + s.getenv("GITHUB_RUN_ID")
}

func (s *Sink) repository() string {
	return s.getenv("GITHUB_SERVER_URL") + "/" + s.getenv("GITHUB_REPOSITORY")
}
