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

// Sink writes to Actions. A nil Sink does nothing.
type Sink struct {
	getenv func(string) string
	exists func(file string) bool // whether the repository has a file
	hide   func(string) string    // removes secrets

	mu     sync.Mutex // guards action
	action *githubactions.Action
}

// New returns the Sink for a process with the given environment, nil when it does
// not run in Actions. It writes commands for the runner to w, which must be an
// output stream of the step. It annotates only files for which exists returns
// true. hide removes secrets from all output, because the runner masks only logs.
func New(getenv func(string) string, w io.Writer, exists func(file string) bool, hide func(string) string) *Sink {
	if getenv("GITHUB_ACTIONS") != "true" {
		return nil
	}
	return &Sink{getenv: getenv, exists: exists, hide: hide, action: githubactions.New(githubactions.WithGetenv(getenv), githubactions.WithWriter(w))}
}

// do serializes writes and converts the library's panics to errors.
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
	f(s.action)
	return nil
}

// Mask makes the runner mask a secret in everything that the job logs afterwards.
func (s *Sink) Mask(secret string) {
	if secret == "" {
		return
	}
	_ = s.do("a mask", func(a *githubactions.Action) {
		a.AddMask(secret)
		// The runner masks each line separately.
		if lines := strings.Split(secret, "\n"); len(lines) > 1 {
			for _, line := range lines {
				if line = strings.TrimSpace(line); len(line) > 3 {
					a.AddMask(line)
				}
			}
		}
	})
}

// Group folds the output until end is called. Groups do not nest.
func (s *Sink) Group(title string) (end func()) {
	_ = s.do("a group", func(a *githubactions.Action) { a.Group(title) })
	return sync.OnceFunc(func() { _ = s.do("a group's end", func(a *githubactions.Action) { a.EndGroup() }) })
}

// delimiter terminates a value in the runner's files; the library always uses it.
const delimiter = "_GitHubActionsFileCommandDelimeter_"

// Output sets an output of the step without applying hide, because a short secret
// would corrupt names and digests. The caller applies hide to free text.
func (s *Sink) Output(name, value string) error {
	return s.file("GITHUB_OUTPUT", "the output "+name, value, func(a *githubactions.Action) { a.SetOutput(name, value) })
}

// summaryLimit is the runner's limit for the summary of a step: 1 MiB.
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

// file writes text to the file that the runner names in an environment variable.
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

// location matches FILE:LINE in an error.
var location = regexp.MustCompile(`(?:^|\s)([A-Za-z0-9._][A-Za-z0-9._/-]*):([1-9][0-9]*)(?::|$)`)

// Error annotates the run with an error, at the file and line that it names.
func (s *Sink) Error(text string) { s.annotate(text, (*githubactions.Action).Errorf) }

// Notice annotates the run with a notice.
func (s *Sink) Notice(text string) { s.annotate(text, (*githubactions.Action).Noticef) }

// Warning annotates the run with a warning.
func (s *Sink) Warning(text string) { s.annotate(text, (*githubactions.Action).Warningf) }

// annotate writes text without secrets. It calls hide before it takes the lock, so
// that another goroutine can mask a new secret meanwhile.
func (s *Sink) annotate(text string, write func(*githubactions.Action, string, ...any)) {
	if s == nil {
		return
	}
	text = s.hide(text)
	fields := map[string]string{}
	for _, m := range location.FindAllStringSubmatch(text, -1) {
		if s.exists(m[1]) {
			fields["file"], fields["line"] = m[1], m[2]
			break
		}
	}
	_ = s.do("an annotation", func(a *githubactions.Action) { write(a.WithFieldsMap(fields), "%s", text) })
}

// RunURL returns the URL of the run's page; "" outside Actions.
func (s *Sink) RunURL() string {
	if s == nil {
		return ""
	}
	return s.repository() + "/actions/runs/" + s.getenv("GITHUB_RUN_ID")
}

func (s *Sink) repository() string {
	return s.getenv("GITHUB_SERVER_URL") + "/" + s.getenv("GITHUB_REPOSITORY")
}
