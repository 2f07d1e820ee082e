package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func command(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

// checkout replaces actions/checkout. It empties the workspace, fetches the one
// commit or all branches and tags, and checks out the branch or a detached HEAD.
// REHEARSAL_OWNER sets the owner: in a container the workspace is the runner's.
func checkout() error {
	in, err := inputs()
	if err != nil {
		return err
	}
	if err := may("contents:read"); err != nil {
		return err
	}
	dir, ref, sha := os.Getenv("GITHUB_WORKSPACE"), os.Getenv("GITHUB_REF"), os.Getenv("GITHUB_SHA")
	old, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range old {
		if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	// The branch of the run, or the merge commit of a pull request.
	at := "refs/remotes/" + strings.TrimPrefix(ref, "refs/")
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		at = "refs/remotes/origin/" + branch
	} else if strings.HasPrefix(ref, "refs/tags/") {
		at = ref
	}
	fetch := []string{"fetch", "--quiet", "--prune", "--no-recurse-submodules"}
	depth, err := strconv.Atoi(in["fetch-depth"])
	if err != nil {
		return fmt.Errorf("read fetch-depth: %w", err)
	}
	if depth > 0 {
		fetch = append(fetch, "--no-tags", "--depth="+in["fetch-depth"], "origin", "+"+sha+":"+at)
	} else {
		fetch = append(fetch, "origin", "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
		if strings.HasPrefix(ref, "refs/pull/") {
			fetch = append(fetch, "+"+sha+":"+at)
		}
	}
	out := []string{"checkout", "--quiet", "--force", at}
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		out = []string{"checkout", "--quiet", "--force", "-B", branch, at}
	}
	for _, args := range [][]string{
		{"init", "--quiet"}, {"remote", "add", "origin", "file://" + state("origin.git")}, {"config", "gc.auto", "0"}, fetch, out,
	} {
		if err := command(dir, "git", append([]string{"-c", "safe.directory=*", "-c", "advice.detachedHead=false", "-c", "init.defaultBranch=main"}, args...)...); err != nil {
			return err
		}
	}
	owner := os.Getenv("REHEARSAL_OWNER")
	if owner == "" {
		return nil
	}
	id, err := strconv.Atoi(owner)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, id, id)
	})
}

// goVersion matches the Go version in go.mod. The toolchain line comes last and
// overrides the go line.
var goVersion = regexp.MustCompile(`(?m)^(?:toolchain go|go )(\S+)`)

// setupGo replaces actions/setup-go. It puts the Go version of the file first on
// PATH. GOTOOLCHAIN=local keeps that Go from switching to another version.
func setupGo() error {
	in, err := inputs()
	if err != nil {
		return err
	}
	file := in["go-version-file"]
	text, err := os.ReadFile(filepath.Join(os.Getenv("GITHUB_WORKSPACE"), file))
	if err != nil {
		return fmt.Errorf("the go version file %s: %w", file, err)
	}
	version := ""
	for _, m := range goVersion.FindAllSubmatch(text, -1) {
		version = string(m[1])
	}
	if !regexp.MustCompile(`^1\.\d+\.\d+$`).MatchString(version) {
		return fmt.Errorf("setup-go: %q is no version of Go that is stood in for", version)
	}
	cmd := exec.Command(os.Getenv("REHEARSAL_GO"), "env", "GOROOT", "GOVERSION")
	cmd.Dir, cmd.Stderr = "/", os.Stderr
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=go"+version)
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("get Go %s through the module proxy: %w", version, err)
	}
	found := strings.Fields(string(out))
	if len(found) != 2 || found[1] != "go"+version {
		return fmt.Errorf("get Go %s: found %q", version, found)
	}
	fmt.Printf("Go %s in %s\n", version, found[0])
	return errors.Join(
		appendLine(os.Getenv("GITHUB_PATH"), filepath.Join(found[0], "bin")),
		appendLine(os.Getenv("GITHUB_ENV"), "GOTOOLCHAIN=local"),
		appendLine(os.Getenv("GITHUB_OUTPUT"), "go-version="+version))
}

// artifacts returns a path in the directory of the run's artifacts.
func artifacts(name ...string) string {
	return state(append([]string{"artifacts", os.Getenv("GITHUB_RUN_ID") + "-" + os.Getenv("GITHUB_RUN_ATTEMPT")}, name...)...)
}

// upload replaces actions/upload-artifact. It stores the files under the paths
// relative to their common directory, without hidden files.
func upload() error {
	in, err := inputs()
	if err != nil {
		return err
	}
	var files, roots []string
	for path := range strings.FieldsSeq(in["path"]) {
		path = filepath.Join(os.Getenv("GITHUB_WORKSPACE"), path)
		roots = append(roots, path)
		err := filepath.WalkDir(path, func(path string, d fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case strings.HasPrefix(d.Name(), ".") && d.IsDir():
				return filepath.SkipDir
			case !strings.HasPrefix(d.Name(), ".") && !d.IsDir():
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if len(files) == 0 {
		text := fmt.Sprintf("No files were found with the provided path: %s. No artifacts will be uploaded.", strings.TrimSpace(in["path"]))
		switch in["if-no-files-found"] {
		case "error":
			return errors.New(text)
		case "warn":
			fmt.Printf("::warning::%s\n", text)
		}
		return nil
	}
	to := artifacts(in["name"])
	if in["overwrite"] == "true" {
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o755); errors.Is(err, fs.ErrExist) {
		//lint:ignore ST1005 the words of the action
		return fmt.Errorf("Failed to CreateArtifact: Received non-retryable error: Failed request: (409) Conflict: an artifact with this name already exists on the workflow run: %s", in["name"])
	} else if err != nil {
		return err
	}
	root := common(roots)
	if len(files) == 1 && files[0] == root {
		root = filepath.Dir(root)
	}
	for _, file := range files {
		path, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		if err := copyFile(file, filepath.Join(to, path)); err != nil {
			return err
		}
	}
	fmt.Printf("artifact %s: %d files\n", in["name"], len(files))
	return nil
}

// common returns the deepest directory that contains all paths, or the path
// itself when there is only one.
func common(paths []string) string {
	root := paths[0]
	for _, path := range paths[1:] {
		for root != "/" && root != path && !strings.HasPrefix(path, root+"/") {
			root = filepath.Dir(root)
		}
	}
	return root
}

// copyFile copies a file. It follows links and drops the mode, as artifacts do.
func copyFile(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o644)
}

// download replaces actions/download-artifact. It copies one artifact to the
// path, or each artifact that matches to its own directory.
func download() error {
	in, err := inputs()
	if err != nil {
		return err
	}
	to, name := filepath.Join(os.Getenv("GITHUB_WORKSPACE"), in["path"]), in["name"]
	found, err := filepath.Glob(artifacts(cmp.Or(name, in["pattern"])))
	if err != nil {
		return err
	}
	if name != "" && len(found) == 0 {
		//lint:ignore ST1005 the words of the action
		return fmt.Errorf("Unable to download artifact(s): Artifact not found for name: %s", name)
	}
	for _, dir := range found {
		at := to
		if name == "" {
			at = filepath.Join(to, filepath.Base(dir))
		}
		if err := os.CopyFS(at, os.DirFS(dir)); err != nil {
			return err
		}
		fmt.Printf("artifact %s\n", filepath.Base(dir))
	}
	return nil
}
