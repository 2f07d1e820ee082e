package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// call is one call of gh, taken apart.
type call struct {
	words []string
	flags map[string]string
	field map[string]string // of -f
}

// bare are the flags that take no value.
var bare = []string{"--verify-tag", "--draft", "--force"}

func parse(args []string) (call, error) {
	c := call{flags: map[string]string{}, field: map[string]string{}}
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(args[i], "-"):
			c.words = append(c.words, args[i])
			continue
		case slices.Contains(bare, args[i]):
			c.flags[args[i]] = "true"
			continue
		case !has || !strings.HasPrefix(name, "--"):
			if i++; i == len(args) {
				return c, fmt.Errorf("gh: flag %s needs a value", args[i-1])
			}
			name, value = args[i-1], args[i]
		}
		if name == "-f" || name == "-F" || name == "--field" || name == "--raw-field" {
			key, value, _ := strings.Cut(value, "=")
			c.field[key] = value
			continue
		}
		c.flags[name] = value
	}
	return c, nil
}

// gh stands in for the command of that name: it writes down each call, and
// answers from the runs, pull requests and releases that the state has. What a
// job has no right to, it may not do here either.
func gh(args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	line, err := json.Marshal(args)
	if err != nil {
		return err
	}
	if err := write(state("gh", "calls"), line); err != nil {
		return err
	}
	if os.Getenv("GH_TOKEN") == "" {
		return errors.New("gh: To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable")
	}
	if len(c.words) > 0 && c.words[0] == "api" {
		return c.api()
	}
	if os.Getenv("GH_REPO") == "" {
		if _, err := os.Stat(".git"); err != nil {
			return errors.New("failed to run git: fatal: not a git repository: set GH_REPO")
		}
	}
	if len(c.words) < 2 {
		return fmt.Errorf("gh: no stand-in for %q", args)
	}
	switch c.words[0] + " " + c.words[1] {
	case "auth setup-git":
		return nil
	case "run list":
		if err := may("actions:read"); err != nil {
			return err
		}
		return c.list("runs", map[string]string{"--workflow": "workflow", "--branch": "headBranch", "--commit": "headSha", "--status": "status", "--event": "event"})
	case "pr list":
		if err := may("pull-requests:read"); err != nil {
			return err
		}
		return c.list("pulls", map[string]string{"--head": "headRefName", "--base": "baseRefName", "--state": "state"})
	case "workflow run":
		return may("actions:write")
	case "pr create":
		if err := may("pull-requests:write"); err != nil {
			return err
		}
		return c.createPull()
	case "release view", "release create", "release edit":
		return c.release()
	}
	return fmt.Errorf("gh: no stand-in for %q", args)
}

func write(file string, line []byte) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// objects reads a list of the state.
func objects(name string) (list []map[string]any, err error) {
	text, err := os.ReadFile(state("gh", name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for line := range bytes.Lines(text) {
		object := map[string]any{}
		if err := json.Unmarshal(line, &object); err != nil {
			return nil, err
		}
		list = append(list, object)
	}
	return list, err
}

// list answers a query for a list, the newest first.
func (c call) list(name string, filters map[string]string) error {
	all, err := objects(name)
	if err != nil {
		return err
	}
	slices.Reverse(all)
	for flag := range c.flags {
		if _, ok := filters[flag]; !ok && !slices.Contains([]string{"--json", "--jq", "--limit", "-L", "--repo"}, flag) {
			return fmt.Errorf("gh: no stand-in for %s", flag)
		}
	}
	all = slices.DeleteFunc(all, func(object map[string]any) bool {
		for flag, key := range filters {
			want, ok := c.flags[flag]
			if ok && !strings.EqualFold(fmt.Sprint(object[key]), want) && (flag != "--state" || !strings.EqualFold(want, "all")) {
				return true
			}
		}
		return false
	})
	out := []map[string]any{}
	for _, object := range all {
		if branch, ok := object["headRefName"]; ok && object["state"] == "OPEN" {
			sha, err := exec.Command("git", "--git-dir", state("origin.git"), "rev-parse", fmt.Sprint("refs/heads/", branch)).Output()
			if err != nil {
				return err
			}
			object["headRefOid"] = strings.TrimSpace(string(sha))
		}
		asked := map[string]any{}
		for key := range strings.SplitSeq(c.flags["--json"], ",") {
			value, ok := object[key]
			if !ok {
				return fmt.Errorf("gh: Unknown JSON field: %q", key)
			}
			asked[key] = value
		}
		out = append(out, asked)
	}
	return c.print(out)
}

// print prints JSON as gh does, through its --jq.
func (c call) print(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	filter, ok := c.flags["--jq"]
	if !ok {
		fmt.Println(string(text))
		return nil
	}
	cmd := exec.Command(os.Getenv("REHEARSAL_JQ"), "--raw-output", "--compact-output", filter)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), os.Stdout, os.Stderr
	return cmd.Run()
}

func (c call) createPull() error {
	all, err := objects("pulls")
	if err != nil {
		return err
	}
	head := c.flags["--head"]
	if err := exec.Command("git", "--git-dir", state("origin.git"), "rev-parse", "--quiet", "--verify", "refs/heads/"+head).Run(); err != nil {
		return fmt.Errorf("pull request create failed: GraphQL: Head sha can't be blank, Head ref must be a branch (%s)", head)
	}
	for _, p := range all {
		if p["headRefName"] == head && p["baseRefName"] == c.flags["--base"] && p["state"] == "OPEN" {
			return fmt.Errorf("a pull request for branch %q into branch %q already exists", head, c.flags["--base"])
		}
	}
	line, err := json.Marshal(map[string]any{
		"number": len(all) + 1, "state": "OPEN", "headRefName": head, "baseRefName": c.flags["--base"], "title": c.flags["--title"], "body": c.flags["--body"],
	})
	if err != nil {
		return err
	}
	fmt.Printf("https://github.com/%s/pull/%d\n", os.Getenv("GITHUB_REPOSITORY"), len(all)+1)
	return write(state("gh", "pulls"), line)
}

// release keeps the page of each release as a directory.
func (c call) release() error {
	if len(c.words) != 3 {
		return fmt.Errorf("gh: release %s: name one release: %q", c.words[1], c.words)
	}
	tag := c.words[2]
	dir := state("gh", "releases", tag)
	_, err := os.Stat(dir)
	there := err == nil
	if err := may("contents:write"); err != nil {
		return err
	}
	switch {
	case c.words[1] == "create" && there:
		return fmt.Errorf("a release with the same tag name already exists: %s", tag)
	case c.words[1] != "create" && !there:
		return errors.New("release not found")
	case c.words[1] == "view":
		return nil
	}
	if c.flags["--verify-tag"] != "" {
		if err := exec.Command("git", "--git-dir", state("origin.git"), "rev-parse", "--quiet", "--verify", "refs/tags/"+tag).Run(); err != nil {
			return fmt.Errorf("tag %s doesn't exist in the repo, aborting due to --verify-tag flag", tag)
		}
	}
	body, err := os.ReadFile(c.flags["--notes-file"])
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "title"), []byte(c.flags["--title"]), 0o644),
		os.WriteFile(filepath.Join(dir, "body"), body, 0o644))
}

// api answers the few questions of the REST API that are asked: of git tags.
func (c call) api() error {
	if len(c.words) != 2 {
		return fmt.Errorf("gh: no stand-in for %q", c.words)
	}
	path, ok := strings.CutPrefix(c.words[1], "repos/"+os.Getenv("GITHUB_REPOSITORY")+"/git/")
	if !ok {
		return fmt.Errorf("gh: no stand-in for %q", c.words)
	}
	git := func(args ...string) (string, error) {
		cmd := exec.Command("git", append([]string{"--git-dir", state("origin.git")}, args...)...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		return string(out), err
	}
	if prefix, ok := strings.CutPrefix(path, "matching-refs/"); ok {
		out, err := git("for-each-ref", "--format=%(refname) %(objectname)", "refs/"+prefix+"*")
		if err != nil {
			return err
		}
		refs := []map[string]any{}
		for line := range strings.Lines(out) {
			name, sha, _ := strings.Cut(strings.TrimSpace(line), " ")
			refs = append(refs, map[string]any{"ref": name, "object": map[string]any{"sha": sha, "type": "commit"}})
		}
		return c.print(refs)
	}
	if path == "refs" && c.field["ref"] != "" && c.field["sha"] != "" {
		if err := may("contents:write"); err != nil {
			return err
		}
		if _, err := git("rev-parse", "--quiet", "--verify", c.field["ref"]); err == nil {
			return errors.New("gh: Reference already exists (HTTP 422)")
		}
		_, err := git("update-ref", c.field["ref"], c.field["sha"])
		return err
	}
	return fmt.Errorf("gh: no stand-in for %q", c.words)
}
