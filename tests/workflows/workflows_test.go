package workflows

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

const root = "../.."

var names = []string{"dagger", "pull-request", "release", "upstream"}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, ".github", "workflows", name+".yml"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func load(t *testing.T, name string) workflow {
	t.Helper()
	w, err := parse(read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEveryWorkflowIsHeldToTheRules(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*"))
	if err != nil || len(files) != len(names) {
		t.Fatalf("workflows: %v, %v; want %v", files, err, names)
	}
	for _, name := range names {
		for _, problem := range problems(read(t, name)) {
			t.Errorf("%s.yml: %s", name, problem)
		}
	}
}

// actions returns the files of the composite actions.
func actions(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, ".github", "actions", "*", "action.yml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("actions: %v, %v", files, err)
	}
	return files
}

func TestEveryActionIsHeldToTheRules(t *testing.T) {
	for _, file := range actions(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range actionProblems(text) {
			t.Errorf("%s: %s", file, problem)
		}
	}
	for bad, says := range map[string]string{
		"runs: {using: node24, main: index.js}":                                            "no composite action",
		"runs: {using: composite, steps: [{run: 'a | b', shell: sh}]}":                     "the shell is not bash",
		"runs: {using: composite, steps: [{run: 'echo ${{ inputs.a }}', shell: bash}]}":    "an expression inside run",
		"runs:\n  using: composite\n  steps:\n    - uses: actions/setup-go@v7\n":           "not pinned by a commit",
		"runs:\n  using: composite\n  steps:\n    - uses: ./.github/workflows/other.yml\n": "not pinned by a commit",
	} {
		if list := actionProblems([]byte(bad)); !slices.ContainsFunc(list, func(p string) bool { return strings.Contains(p, says) }) {
			t.Errorf("%q: found %q", bad, list)
		}
	}
}

func TestEachRuleFindsItsMistake(t *testing.T) {
	good := string(read(t, "release"))
	const checkout = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"
	for _, test := range []struct{ name, from, to, says string }{
		{"a tag for a pin", checkout + " # v7.0.1", "actions/checkout@v7", "not pinned by a commit"},
		{"a short commit", checkout + " # v7.0.1", "actions/checkout@3d3c42e5aac5 # v7.0.1", "not pinned by a commit"},
		{"a pin without its version", checkout + " # v7.0.1", checkout, "no comment with the version"},
		{"all rights at the top", "permissions: {}\n", "permissions: write-all\n", "top level: permissions is not {}"},
		{"a right at the top", "permissions: {}\n", "permissions: {contents: read}\n", "top level: permissions is not {}"},
		{"all rights for a job", "    permissions:\n      contents: read\n      packages: read\n", "    permissions: write-all\n", "not given one by one"},
		{"rights left open", "    permissions:\n      contents: read\n      packages: read\n", "", "job plan: no permissions of its own"},
		{"no timeout", "    timeout-minutes: 15\n", "", "job plan: no timeout"},
		{"six hours", "    timeout-minutes: 15\n", "    timeout-minutes: 360\n", "job plan: no timeout"},
		{"an expression in a script", "mkdir -p dist\n", "mkdir -p ${{ inputs.reason }}\n", "an expression inside run"},
		{"a token left behind", "          persist-credentials: false\n", "", "leaves the token"},
		{"Go of its own", setup, "actions/setup-go@b7ad1dad31e06c5925ef5d2fc7ad053ef454303e # v7.0.0", "Go is not installed by"},
		{"a red step more", "if-no-files-found: ${{ job.status == 'success' && 'error' || 'warn' }}", "if-no-files-found: error", "it fails a second time"},
		{"no concurrency", "  group: release\n", "  group: \"\"\n", "no concurrency group"},
		{"another shell", "    shell: bash", "    shell: sh", "the shell is not bash"},
		{"a secret for all steps", "      PLATFORM: ${{ matrix.platform }}\n", "      PLATFORM: ${{ secrets.TOKEN }}\n", "hands a secret to every step"},
		{"a secret outside an environment", "    environment: release\n", "", "takes a secret outside an environment"},
		{"rights on what others wrote", "  workflow_dispatch:\n", "  pull_request_target:\n  workflow_dispatch:\n", "what others wrote"},
	} {
		bad := strings.Replace(good, test.from, test.to, 1)
		if bad == good {
			t.Errorf("%s: %q is not in release.yml", test.name, test.from)
			continue
		}
		if list := problems([]byte(bad)); !slices.ContainsFunc(list, func(p string) bool { return strings.Contains(p, test.says) }) {
			t.Errorf("%s: found %q", test.name, list)
		}
	}
}

// GitHub queues one run per concurrency group: a newer run replaces the queued run,
// but not the running one.
func TestAPullRequestCancelsItsOlderRunAndARunningReleaseIsNeverCancelled(t *testing.T) {
	for _, name := range []string{"dagger", "pull-request"} {
		if c := load(t, name).Concurrency; c.Cancel != "true" || !strings.Contains(c.Group, "github.event.pull_request.number") {
			t.Errorf("%s.yml: %+v", name, c)
		}
	}
	for _, name := range []string{"release", "upstream"} {
		if c := load(t, name).Concurrency; c.Cancel != "false" || strings.Contains(c.Group, "${{") {
			t.Errorf("%s.yml: %+v", name, c)
		}
	}
}

func TestAReleaseTakesNothingFromASharedCache(t *testing.T) {
	if list := cached(load(t, "release")); len(list) != 0 {
		t.Errorf("cached: %v", list)
	}
	if list := cached(load(t, "pull-request")); len(list) == 0 {
		t.Error("the check finds no cache where there is one")
	}
}

// The permissions of all jobs are repeated here, so that a reviewer sees each
// additional one.
func TestJobsHaveJustTheRightsTheyNeed(t *testing.T) {
	want := map[string]string{
		"dagger check":      "contents:read",
		"pull-request lint": "contents:read", "pull-request pins": "contents:read", "upstream pins": "contents:read",
		"pull-request test": "contents:read", "pull-request image": "contents:read",
		"release plan": "contents:read packages:read", "release image": "contents:read packages:write",
		"release merge":   "contents:read id-token:write packages:write",
		"release verify":  "contents:read packages:read",
		"release git-tag": "contents:write",
		"release list":    "actions:write contents:write pull-requests:write",
		"upstream paused": "", "upstream look": "actions:read contents:read packages:read", "upstream packages": "contents:read packages:read",
		"upstream start": "actions:write", "upstream propose": "actions:write contents:write pull-requests:write",
	}
	got := map[string]string{}
	for _, name := range names {
		for job, j := range load(t, name).Jobs {
			var grants []string
			for right, level := range j.grants() {
				grants = append(grants, right+":"+level)
			}
			slices.Sort(grants)
			got[name+" "+job] = strings.Join(grants, " ")
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// One step signs and then moves the tags. The signatures are verified against the
// workflow's own identity. Between moving the tags and the commit's Git tag, release
// page and package list, the workflow only uploads the files that these need.
func TestAReleaseIsSignedThenVerifiedAndTaggedWhateverVerifyFinds(t *testing.T) {
	jobs := load(t, "release").Jobs
	var merges, verifies, after []string
	for _, s := range jobs["merge"].Steps {
		switch {
		case strings.Contains(s.Run, "ci merge"):
			merges = append(merges, s.Run)
		case len(merges) > 0:
			after = append(after, s.Uses+s.Run)
		}
	}
	for _, s := range jobs["verify"].Steps {
		if strings.Contains(s.Run, "ci verify") {
			verifies = append(verifies, s.Run)
		}
	}
	if len(merges) != 1 || !strings.Contains(merges[0], "--sign-keyless") {
		t.Errorf("merges: %q", merges)
	}
	if len(verifies) != 1 || !strings.Contains(verifies[0], `--require all --identity "$GITHUB_SERVER_URL/$GITHUB_WORKFLOW_REF"`) {
		t.Errorf("verifies: %q", verifies)
	}
	if len(after) != 1 || !strings.HasPrefix(after[0], "actions/upload-artifact@") {
		t.Errorf("after the tags have moved: %q", after)
	}
	for _, name := range []string{"verify", "git-tag", "list"} {
		if got := fmt.Sprint(jobs[name].Needs); got != "[plan merge]" {
			t.Errorf("job %s needs %s", name, got)
		}
	}
}

// scripts returns all run scripts, keyed by workflow, job and step.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range names {
		for job, j := range load(t, name).Jobs {
			for i, s := range j.Steps {
				if s.Run != "" {
					found[fmt.Sprintf("%s.yml %s %d %s", name, job, i+1, s.Name)] = s.Run
				}
			}
		}
	}
	for _, name := range actions(t) {
		var a action
		text, err := os.ReadFile(name)
		if err == nil {
			err = yaml.Unmarshal(text, &a)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range a.Runs.Steps {
			if s.Run != "" {
				found[fmt.Sprintf("%s %d %s", name, i+1, s.Name)] = s.Run
			}
		}
	}
	propose, err := os.ReadFile(filepath.Join(root, ".github", "propose"))
	if err != nil {
		t.Fatal(err)
	}
	found["propose"] = string(propose)
	return found
}

func TestEveryScriptIsWellFormed(t *testing.T) {
	all := scripts(t)
	if len(all) < 15 {
		t.Fatalf("only %d scripts found", len(all))
	}
	for where, script := range all {
		cmd := exec.CommandContext(t.Context(), "bash", "-n")
		cmd.Stdin = strings.NewReader(script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", where, err, out)
		}
	}
	t.Run("shellcheck", func(t *testing.T) {
		if _, err := exec.LookPath("shellcheck"); err != nil {
			t.Skip("shellcheck is not installed; GitHub's runners have it")
		}
		for where, script := range all {
			cmd := exec.CommandContext(t.Context(), "shellcheck", "--shell=bash", "--severity=style", "-")
			cmd.Stdin = strings.NewReader(script)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", where, err, out)
			}
		}
	})
}

// runScript runs the script of a step with the given programs first on the PATH.
func runScript(t *testing.T, script, dir string, programs, env map[string]string) (output string, err error) {
	t.Helper()
	bin := t.TempDir()
	for name, text := range programs {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/bash\n"+text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GIT_CONFIG_GLOBAL="+filepath.Join(bin, "gitconfig"))
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func script(t *testing.T, workflow, job, step string) string {
	t.Helper()
	for _, s := range load(t, workflow).Jobs[job].Steps {
		if s.Name == step {
			return s.Run
		}
	}
	t.Fatalf("%s.yml: job %s has no step %q", workflow, job, step)
	return ""
}

// Jobs with secrets build in the container that versions.yml pins.
func TestContainersAreThePinnedOne(t *testing.T) {
	pins, err := versions.Load(root)
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]string{"pull-request": "pins", "release": "plan", "upstream": "pins"}
	for _, name := range names {
		w := load(t, name)
		if from[name] == "" {
			for job, j := range w.Jobs {
				if j.Container != nil {
					t.Errorf("%s.yml: job %s runs in %v, which nothing pins", name, job, j.Container["image"])
				}
			}
			continue
		}
		output := filepath.Join(t.TempDir(), "output")
		if out, err := runScript(t, script(t, name, from[name], "Read the pinned container"), root, nil, map[string]string{"GITHUB_OUTPUT": output}); err != nil {
			t.Errorf("%s.yml: %v: %s", name, err, out)
		}
		if text, err := os.ReadFile(output); err != nil || string(text) != "container="+pins.Container+"\n" {
			t.Errorf("%s.yml: %v, %q, want the container %s", name, err, text, pins.Container)
		}
		containers := 0
		for job, j := range w.Jobs {
			if j.Container == nil {
				continue
			}
			containers++
			if want := "${{ needs." + from[name] + ".outputs.container }}"; j.Container["image"] != want {
				t.Errorf("%s.yml: job %s runs in %v, want %s", name, job, j.Container["image"], want)
			}
		}
		if containers == 0 {
			t.Errorf("%s.yml has no job in a container", name)
		}
	}
}

func TestWhatIsTypedIntoTheFormReachesTheCommandAsOneWord(t *testing.T) {
	show := map[string]string{"go": `printf '<%s>' "$@" >&2; echo '{}'`}
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"BASE": "local", "NETBOX": "", "FORCE": "false"}, "<run><./ci><release><--dry-run><--json><--base><local>{}"},
		{map[string]string{"BASE": "local", "NETBOX": "4.7.4; reboot", "FORCE": "true"}, "<--base><local><--netbox><4.7.4; reboot><--force>{}"},
		{map[string]string{"BASE": "local", "NETBOX": "", "FORCE": "", "PUBLISHED": "none", "NUMBER": "1 2"}, "<--base><local><--published><none><--number><1 2>{}"},
	} {
		out, err := runScript(t, script(t, "release", "plan", "Plan"), t.TempDir(), show, test.env)
		if err != nil || !strings.HasSuffix(strings.TrimSpace(out), test.want) {
			t.Errorf("%v: %v, %q", test.env, err, out)
		}
	}
}

func TestAReleaseThatRunsIsNotStartedASecondTime(t *testing.T) {
	env := map[string]string{"REF": "main", "REASON": "base: it has changed", "FORCE": "false"}
	for running, want := range map[string]string{
		"1": "::notice::Nothing is started - a release is running already.\n",
		"0": "<workflow><run><release.yml><--ref><main><-f><force=false><-f><reason=base: it has changed>::notice::Release started - base: it has changed\n",
	} {
		gh := map[string]string{"gh": `if [ "$1" = run ]; then echo ` + running + `; else printf '<%s>' "$@"; fi`}
		out, err := runScript(t, script(t, "upstream", "start", "Start release.yml, unless it runs"), t.TempDir(), gh, env)
		if err != nil || out != want {
			t.Errorf("%s running: %v, %q", running, err, out)
		}
	}
}

// gh only lists runs of this commit, with the fields that the plan reads.
func TestAReleaseThatFailedIsNotStartedEveryHour(t *testing.T) {
	programs := map[string]string{"gh": `printf '%s ' "$@"`, "go": `cat dist/attempts.json; printf '<%s>' "$@"`}
	out, err := runScript(t, script(t, "upstream", "look", "Is a release due?"), t.TempDir(), programs, map[string]string{"GITHUB_SHA": "abc", "BASE": "local"})
	want := "run list --workflow release.yml --commit abc --limit 50 --json headSha,event,displayTitle,conclusion,createdAt,url " +
		"<run><./ci><release><--dry-run><--attempts><dist/attempts.json><--base><local>"
	if err != nil || out != want {
		t.Errorf("%v, %q", err, out)
	}
	if !strings.Contains(string(read(t, "release")), "\nrun-name: Release (${{ inputs.reason || github.ref_name }})\n") {
		t.Error("release.yml: the plan does not know its own run by that name")
	}
}

func TestACommitIsTaggedOnce(t *testing.T) {
	env := map[string]string{"GITHUB_REPOSITORY": "o/r", "GITHUB_SHA": "abc", "VERSION": "v4.7.3-ls2"}
	for have, want := range map[string]string{
		"":    "<api><repos/o/r/git/refs><-f><ref=refs/tags/v4.7.3-ls2><-f><sha=abc>",
		"abc": "v4.7.3-ls2 is at abc already\n",
	} {
		gh := map[string]string{"gh": `case $2 in */matching-refs/*) echo ` + have + ` ;; *) printf '<%s>' "$@" ;; esac`}
		out, err := runScript(t, script(t, "release", "git-tag", "Tag the commit with the version"), t.TempDir(), gh, env)
		if err != nil || out != want {
			t.Errorf("the tag is at %q: %v, %q", have, err, out)
		}
	}
}

func TestThePageOfAReleaseIsWrittenOnceAndBroughtUpToDate(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "dist", "release"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"tag": "v4.7.3-ls2\n", "title": "v4.7.3-ls2 $(reboot)\n", "body.md": "text\n"} {
		if err := os.WriteFile(filepath.Join(dir, "dist", "release", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for there, want := range map[string]string{
		"false": "<release><create><v4.7.3-ls2><--verify-tag><--title><v4.7.3-ls2 $(reboot)><--notes-file><dist/release/body.md>",
		"true":  "<release><edit><v4.7.3-ls2><--title><v4.7.3-ls2 $(reboot)><--notes-file><dist/release/body.md>",
	} {
		gh := map[string]string{"gh": `case $2 in view) ` + there + ` ;; *) printf '<%s>' "$@" ;; esac`}
		out, err := runScript(t, script(t, "release", "git-tag", "Write the release page"), dir, gh, nil)
		if err != nil || out != want {
			t.Errorf("the page is there: %s: %v, %q", there, err, out)
		}
	}
}
