package rehearsal

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// run is a workflow to run.
type run struct {
	workflow string            // without .yml
	event    string            // push, workflow_dispatch, schedule, pull_request
	ref      string            // refs/heads/main when empty
	inputs   map[string]string // of workflow_dispatch
	schedule string
	job      string            // run only this job and those it needs; all when empty
	matrix   string            // value of act's --matrix; all legs when empty
	volumes  []string          // of containers; when nil the jobs run without a container
	env      map[string]string // passed to act's --env
	vars     map[string]string
	secrets  map[string]string // those of the environment release when nil
	scripts  map[string]string // by "job/step": replacement of the step's script
	during   func(interrupt func())
}

// jobRun is the result of a job, or of one leg of its matrix.
type jobRun struct {
	result string   // success, failure, skipped or unfinished
	failed []string // names of the failed steps
	log    []string
}

// result is the result of a workflow run.
type result struct {
	jobs     map[string]*jobRun // by ID, or by ID and platform for the legs of a matrix
	notices  []string
	errors   []string
	summary  string
	seconds  float64
	workflow string
}

// entry is a line of act's log.
type entry struct {
	JobID      string         `json:"jobID"`
	Matrix     map[string]any `json:"matrix"`
	Msg        string         `json:"msg"`
	Step       string         `json:"step"`
	Stage      string         `json:"stage"`
	StepResult string         `json:"stepResult"`
	JobResult  string         `json:"jobResult"`
	Command    string         `json:"command"`
	Arg        string         `json:"arg"`
	Content    string         `json:"content"`
	Level      string         `json:"level"`
	Raw        bool           `json:"raw_output"`
}

// run runs the workflow from the commit at r.ref and waits until it ends.
func (w *world) run(t *testing.T, r run) *result {
	t.Helper()
	w.runs++
	if r.ref == "" {
		r.ref = "refs/heads/main"
	}
	sha := w.sha(t, r.ref)
	dir := filepath.Join(t.TempDir(), "run")
	ids := w.translate(t, r, sha, dir)
	event, err := json.Marshal(map[string]any{
		"ref": r.ref, "inputs": r.inputs, "schedule": r.schedule, "number": 7, "repository": map[string]any{"default_branch": "main", "fork": false},
		"pull_request": map[string]any{"number": 7, "base": map[string]any{"ref": "main"}, "head": map[string]any{"ref": "change"}},
	})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "event.json"), event, 0o644))
	args := []string{
		r.event, "--json", "-C", dir, "-W", "workflow.yml", "-e", "event.json", "--actor", "octocat", "--secret", "GITHUB_TOKEN=" + token,
		"--no-cache-server", "--no-skip-checkout", "--action-cache-path", filepath.Join(dir, "act"), "--container-daemon-socket", "-", "--pull=false",
		"-P", "ubuntu-24.04=-self-hosted", "-P", "ubuntu-24.04-arm=-self-hosted",
	}
	if r.job != "" {
		args = append(args, "--job", r.job)
	}
	if r.matrix != "" {
		args = append(args, "--matrix", r.matrix)
	}
	for key, value := range r.env {
		args = append(args, "--env", key+"="+value)
	}
	if r.secrets == nil {
		r.secrets = secrets
	}
	for key, value := range r.secrets {
		args = append(args, "--secret", key+"="+value)
	}
	for key, value := range r.vars {
		args = append(args, "--var", key+"="+value)
	}
	for key, value := range map[string]string{
		"GITHUB_REPOSITORY": repository, "GITHUB_REF": r.ref, "SHA_REF": sha, "GITHUB_RUN_ID": fmt.Sprint(1000 + w.runs), "GITHUB_RUN_ATTEMPT": "1",
		"GITHUB_WORKFLOW_REF": repository + "/.github/workflows/" + r.workflow + ".yml@" + r.ref,
	} {
		args = append(args, "--env", key+"="+value)
	}
	for name := range actions {
		for _, ref := range ids[name] {
			args = append(args, "--local-repository", name+"@"+ref+"="+filepath.Join(w.actions, name))
		}
	}
	return w.start(t, r, args)
}

// start runs act and collects the results of the jobs. act is the first process
// of a PID namespace, so all processes that it started end with it.
func (w *world) start(t *testing.T, r run, args []string) *result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), *limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.act, args...)
	for _, key := range slices.Sorted(maps.Keys(w.environ)) {
		cmd.Env = append(cmd.Env, key+"="+w.environ[key])
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	start := time.Now()
	must(t, begin(cmd))
	done := make(chan struct{})
	if r.during != nil {
		go func() {
			defer close(done)
			r.during(func() { _ = cmd.Process.Signal(syscall.SIGINT) })
		}()
	} else {
		close(done)
	}
	res := &result{jobs: map[string]*jobRun{}, workflow: r.workflow}
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Logf("act: %s", lines.Text())
			continue
		}
		res.add(e)
	}
	err = end(cmd)
	<-done
	res.seconds = time.Since(start).Seconds()
	t.Logf("%s on %s: %.1f s: %s", r.workflow, r.event, res.seconds, res)
	if ctx.Err() != nil {
		res.explain(t)
		t.Fatalf("%s.yml has not ended after %s (-limit)", r.workflow, *limit)
	}
	if len(res.jobs) == 0 && err != nil {
		t.Fatalf("act ran no job of %s.yml: %v: %s", r.workflow, err, &stderr)
	}
	w.network.mu.Lock()
	defer w.network.mu.Unlock()
	if len(w.network.refused) > 0 {
		res.explain(t)
		t.Fatalf("%s.yml asks %v: there is no stand-in for what it wants there", r.workflow, w.network.refused)
	}
	return res
}

func (res *result) add(e entry) {
	if e.JobID == "" {
		return
	}
	key := e.JobID
	if platform, ok := e.Matrix["platform"]; ok {
		key += " " + fmt.Sprint(platform)
	}
	j := res.jobs[key]
	if j == nil {
		j = &jobRun{result: "unfinished"}
		res.jobs[key] = j
	}
	j.log = append(j.log, strings.TrimRight(e.Msg, "\n"))
	if e.StepResult == "failure" && (len(j.failed) == 0 || j.failed[len(j.failed)-1] != e.Step) {
		j.failed = append(j.failed, e.Step)
	}
	if e.JobResult != "" {
		j.result = e.JobResult
		if len(j.failed) == 0 && j.result == "failure" && e.Matrix["platform"] != nil {
			j.result = "success" // act reports failure for every leg after the first that fails
		}
	}
	switch e.Command {
	case "notice":
		res.notices = append(res.notices, e.Arg)
	case "error":
		res.errors = append(res.errors, e.Arg)
	case "summary":
		res.summary += e.Content
	}
}

// String returns the result of each job.
func (res *result) String() string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(res.jobs)) {
		list = append(list, key+" "+res.jobs[key].result)
	}
	return strings.Join(list, ", ")
}

// want checks the results of all jobs; a job that is not in want must not run.
// When one differs it prints the end of the job's log and stops the test.
func (res *result) want(t *testing.T, want map[string]string) {
	t.Helper()
	good := true
	for _, key := range slices.Sorted(maps.Keys(res.jobs)) {
		if got := res.jobs[key].result; got != want[key] {
			good = false
			t.Errorf("%s.yml: job %s: %s, want %s; steps that failed: %q\n%s", res.workflow, key, got, wanted(want[key]), res.jobs[key].failed, res.tail(key))
		}
	}
	for key, result := range want {
		if res.jobs[key] == nil {
			good = false
			t.Errorf("%s.yml: job %s was skipped, want %s", res.workflow, key, result)
		}
	}
	if !good {
		t.FailNow()
	}
}

func wanted(result string) string {
	if result == "" {
		return "skipped"
	}
	return result
}

// tail returns the last 60 lines of a job's log.
func (res *result) tail(key string) string {
	log := res.jobs[key].log
	return "    | " + strings.Join(log[max(0, len(log)-60):], "\n    | ")
}

// explain prints the end of the log of every job that did not succeed.
func (res *result) explain(t *testing.T) {
	t.Helper()
	for _, key := range slices.Sorted(maps.Keys(res.jobs)) {
		if res.jobs[key].result != "success" {
			t.Logf("job %s: %s\n%s", key, res.jobs[key].result, res.tail(key))
		}
	}
}

// says checks that the log of a job contains a text.
func (res *result) says(t *testing.T, key, text string) {
	t.Helper()
	j := res.jobs[key]
	if j == nil {
		t.Errorf("job %s was skipped, want it to say %q", key, text)
		return
	}
	if !strings.Contains(strings.Join(j.log, "\n"), text) {
		t.Errorf("job %s does not say %q:\n%s", key, text, res.tail(key))
	}
}

// outputs matches an expression for an output of another job. For a skipped job
// act evaluates it to its own text, GitHub to an empty string.
var outputs = regexp.MustCompile(`needs\.([\w-]+)\.outputs\.([\w-]+)`)

// translate writes the workflow of a commit in a form for act: without
// containers unless the run has volumes, with the variables that depend on a
// job's permissions, and with some scripts replaced. It returns the refs of each
// action that is used.
func (w *world) translate(t *testing.T, r run, sha, dir string) map[string][]string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	files := strings.Fields(testrepo.Sh(t, w.state, `git --git-dir origin.git ls-tree -r --name-only "$1" .github/actions`, sha))
	uses := map[string][]string{}
	for _, file := range files {
		if filepath.Base(file) == "action.yml" {
			var action struct {
				Runs struct{ Steps []map[string]any }
			}
			must(t, yaml.Unmarshal([]byte(testrepo.Sh(t, w.state, `git --git-dir origin.git show "$1:$2"`, sha, file)), &action))
			w.collect(t, file, action.Runs.Steps, uses)
		}
	}
	var workflow map[string]any
	name := ".github/workflows/" + r.workflow + ".yml"
	must(t, yaml.Unmarshal([]byte(testrepo.Sh(t, w.state, `git --git-dir origin.git show "$1:$2"`, sha, name)), &workflow))
	replaced := map[string]bool{}
	for id, value := range workflow["jobs"].(map[string]any) {
		job := value.(map[string]any)
		if container, ok := job["container"].(map[string]any); ok && r.volumes != nil {
			var volumes []string
			for _, v := range r.volumes {
				volumes = append(volumes, v+":"+v)
			}
			container["volumes"] = volumes
		} else {
			delete(job, "container")
		}
		env, _ := job["env"].(map[string]any)
		if env == nil {
			env = map[string]any{}
		}
		job["env"] = env
		var rights []string
		grants, _ := job["permissions"].(map[string]any)
		for right, level := range grants {
			rights = append(rights, fmt.Sprintf("%s:%s", right, level))
		}
		slices.Sort(rights)
		env["REHEARSAL_PERMISSIONS"] = strings.Join(rights, " ")
		if grants["id-token"] == "write" {
			env["ACTIONS_ID_TOKEN_REQUEST_URL"] = "https://pipelines.actions.githubusercontent.com/token"
			env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "rehearsal"
		}
		var steps []map[string]any
		for _, value := range job["steps"].([]any) {
			step := value.(map[string]any)
			steps = append(steps, step)
			at := fmt.Sprintf("%s/%v", id, step["name"])
			if script, ok := r.scripts[at]; ok {
				step["run"], replaced[at] = script, true
				delete(step, "uses")
				delete(step, "with")
			}
		}
		w.collect(t, name+" "+id, steps, uses)
	}
	for at := range r.scripts {
		if !replaced[at] {
			t.Fatalf("%s has no step %q to replace", name, at)
		}
	}
	text, err := yaml.Marshal(workflow)
	must(t, err)
	text = outputs.ReplaceAll(text, []byte("(needs.$1.result != 'skipped' && needs.$1.outputs.$2 || '')"))
	must(t, os.WriteFile(filepath.Join(dir, "workflow.yml"), text, 0o644))
	return uses
}

// collect adds the actions that steps use to uses. It fails when an action has
// no stand-in or an input that the stand-in does not support.
func (w *world) collect(t *testing.T, where string, steps []map[string]any, uses map[string][]string) {
	t.Helper()
	for _, step := range steps {
		use, ok := step["uses"].(string)
		if !ok || strings.HasPrefix(use, "./") {
			continue
		}
		name, ref, _ := strings.Cut(use, "@")
		known, ok := actions[name]
		if !ok {
			t.Fatalf("%s uses %s: there is no stand-in for it: write one", where, use)
		}
		with, _ := step["with"].(map[string]any)
		for input := range with {
			if _, ok := known[input]; !ok {
				t.Fatalf("%s uses %s with %s: its stand-in does not know that", where, use, input)
			}
		}
		if !slices.Contains(uses[name], ref) {
			uses[name] = append(uses[name], ref)
		}
	}
}
