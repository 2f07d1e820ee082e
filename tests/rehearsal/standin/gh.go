package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// call holds the parsed arguments of a gh call.
type call struct {
	words []string
	flags map[string]string
	field map[string]string // values of -f
}

func parse(args []string) (call, error) {
	c := call{flags: map[string]string{}, field: map[string]string{}}
	f := pflag.NewFlagSet("gh", pflag.ContinueOnError)
	f.SetOutput(io.Discard)
	for name := range strings.FieldsSeq("workflow branch commit status event head base state title body notes-file json jq ref") {
		f.String(name, "", "")
	}
	f.StringP("limit", "L", "", "")
	f.Bool("verify-tag", false, "")
	fields := f.StringArrayP("raw-field", "f", nil, "")
	if err := f.Parse(args); err != nil {
		return c, fmt.Errorf("gh: no stand-in for %q: %w", args, err)
	}
	f.Visit(func(flag *pflag.Flag) { c.flags[flag.Name] = flag.Value.String() })
	for _, field := range *fields {
		key, value, _ := strings.Cut(field, "=")
		c.field[key] = value
	}
	c.words = f.Args()
	return c, nil
}

// rights lists the permission of the job's token that each command needs.
var rights = map[string]string{
	"run list": "actions:read", "workflow run": "actions:write", "pr list": "pull-requests:read", "pr create": "pull-requests:write",
	"release view": "contents:write", "release create": "contents:write", "release edit": "contents:write",
}

// gh replaces the gh command. It records each call, and answers from the runs,
// pull requests and releases in the state. It refuses what the permissions of the
// job do not allow.
func gh(args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	line, err := json.Marshal(args)
	if err != nil {
		return err
	}
	if err := appendLine(state("gh", "calls"), string(line)); err != nil {
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
	what := c.words[0] + " " + c.words[1]
	if right, ok := rights[what]; ok {
		if err := may(right); err != nil {
			return err
		}
	}
	switch what {
	case "auth setup-git", "workflow run":
		return nil
	case "run list":
		return c.list("runs", map[string]string{"workflow": "workflow", "branch": "headBranch", "commit": "headSha", "status": "status", "event": "event"})
	case "pr list":
		return c.list("pulls", map[string]string{"head": "headRefName", "base": "baseRefName", "state": "state"})
	case "pr create":
		return c.createPull()
	case "release view", "release create", "release edit":
		return c.release()
	}
	return fmt.Errorf("gh: no stand-in for %q", args)
}

// origin runs git on the repository that the jobs fetch from.
func origin(args ...string) (string, error) {
	cmd := exec.Command("git", append([]string{"--git-dir", state("origin.git")}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// objects reads a list of JSON objects from the state.
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

// list prints the objects of a list that match the flags, the newest first.
func (c call) list(name string, filters map[string]string) error {
	all, err := objects(name)
	if err != nil {
		return err
	}
	slices.Reverse(all)
	for flag := range c.flags {
		if _, ok := filters[flag]; !ok && !slices.Contains([]string{"json", "jq", "limit"}, flag) {
			return fmt.Errorf("gh: no stand-in for --%s", flag)
		}
	}
	all = slices.DeleteFunc(all, func(object map[string]any) bool {
		for flag, key := range filters {
			want, ok := c.flags[flag]
			if ok && !strings.EqualFold(fmt.Sprint(object[key]), want) && (flag != "state" || !strings.EqualFold(want, "all")) {
				return true
			}
		}
		return false
	})
	out := []map[string]any{}
	for _, object := range all {
		if branch, ok := object["headRefName"]; ok && object["state"] == "OPEN" {
			if object["headRefOid"], err = origin("rev-parse", fmt.Sprint("refs/heads/", branch)); err != nil {
				return err
			}
		}
		asked := map[string]any{}
		for key := range strings.SplitSeq(c.flags["json"], ",") {
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

// print prints JSON, filtered by --jq as in gh.
func (c call) print(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	filter, ok := c.flags["jq"]
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
	head := c.flags["head"]
	if _, err := origin("rev-parse", "--quiet", "--verify", "refs/heads/"+head); err != nil {
		return fmt.Errorf("pull request create failed: GraphQL: Head sha can't be blank, Head ref must be a branch (%s)", head)
	}
	for _, p := range all {
		if p["headRefName"] == head && p["baseRefName"] == c.flags["base"] && p["state"] == "OPEN" {
			return fmt.Errorf("a pull request for branch %q into branch %q already exists", head, c.flags["base"])
		}
	}
	line, err := json.Marshal(map[string]any{
		"number": len(all) + 1, "state": "OPEN", "headRefName": head, "baseRefName": c.flags["base"], "title": c.flags["title"], "body": c.flags["body"],
	})
	if err != nil {
		return err
	}
	fmt.Printf("https://github.com/%s/pull/%d\n", os.Getenv("GITHUB_REPOSITORY"), len(all)+1)
	return appendLine(state("gh", "pulls"), string(line))
}

// release handles gh release. It stores the page of each release in a directory.
func (c call) release() error {
	if len(c.words) != 3 {
		return fmt.Errorf("gh: release %s: name one release: %q", c.words[1], c.words)
	}
	tag := c.words[2]
	dir := state("gh", "releases", tag)
	_, err := os.Stat(dir)
	there := err == nil
	switch {
	case c.words[1] == "create" && there:
		return fmt.Errorf("a release with the same tag name already exists: %s", tag)
	case c.words[1] != "create" && !there:
		return errors.New("release not found")
	case c.words[1] == "view":
		return nil
	}
	if c.flags["verify-tag"] != "" {
		if _, err := origin("rev-parse", "--quiet", "--verify", "refs/tags/"+tag); err != nil {
			return fmt.Errorf("tag %s doesn't exist in the repo, aborting due to --verify-tag flag", tag)
		}
	}
	body, err := os.ReadFile(c.flags["notes-file"])
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "title"), []byte(c.flags["title"]), 0o644),
		os.WriteFile(filepath.Join(dir, "body"), body, 0o644))
}

// api supports the REST API requests that the workflows make: those for git refs.
func (c call) api() error {
	if len(c.words) != 2 {
		return fmt.Errorf("gh: no stand-in for %q", c.words)
	}
	path, ok := strings.CutPrefix(c.words[1], "repos/"+os.Getenv("GITHUB_REPOSITORY")+"/git/")
	if !ok {
		return fmt.Errorf("gh: no stand-in for %q", c.words)
	}
	if prefix, ok := strings.CutPrefix(path, "matching-refs/"); ok {
		out, err := origin("for-each-ref", "--format=%(refname) %(objectname)", "refs/"+prefix+"*")
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
		if _, err := origin("rev-parse", "--quiet", "--verify", c.field["ref"]); err == nil {
			return errors.New("gh: Reference already exists (HTTP 422)")
		}
		_, err := origin("update-ref", c.field["ref"], c.field["sha"])
		return err
	}
	return fmt.Errorf("gh: no stand-in for %q", c.words)
}
