// Package lint runs linters on the repository's Go code, workflows and shell scripts.
// tools/ pins the linters that are part of neither Go nor Debian.
package lint

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// Repo is a repository to check.
type Repo struct {
	Dir  string
	Tool func(name string) gotool.Module // a directory of tools/
}

// linter is a program with its arguments.
type linter struct {
	name string
	args []string
	path string // the program's name on the PATH, when it is not name
	pkg  string // the program's Go package, when it is not on the PATH
	of   string // the directory of tools/ that pins the package
}

// Check returns an error for each finding, and the names of the linters that are not
// installed. log receives a line for each linter.
func (r Repo) Check(ctx context.Context, log io.Writer) (missing []string, err error) {
	linters, err := r.linters()
	if err != nil {
		return nil, fmt.Errorf("look for files to check: %w", err)
	}
	var errs []error
	for _, l := range linters {
		began := time.Now()
		findings, err := r.run(ctx, log, l)
		switch {
		case ctx.Err() != nil:
			return missing, context.Cause(ctx)
		case l.name == "shellcheck" && errors.Is(err, exec.ErrNotFound):
			if !slices.Contains(missing, l.name) {
				missing = append(missing, l.name)
			}
			continue
		case err != nil:
			errs = append(errs, err)
			continue
		}
		fmt.Fprintf(log, "%s: %d findings in %.1f s\n", l.name, len(findings), time.Since(began).Seconds())
		for _, f := range findings {
			errs = append(errs, fmt.Errorf("%s (%s)", f, l.name))
		}
	}
	return missing, errors.Join(errs...)
}

func (r Repo) linters() ([]linter, error) {
	linters := []linter{
		{name: "vet", path: "go", args: []string{"vet", "./..."}},
		{name: "staticcheck", args: []string{"./..."}, pkg: "honnef.co/go/tools/cmd/staticcheck", of: "lint"},
		{name: "unparam", args: []string{"./..."}, pkg: "mvdan.cc/unparam", of: "lint"},
		{name: "deadcode", args: []string{"-test", "./..."}, pkg: "golang.org/x/tools/cmd/deadcode", of: "lint"},
	}
	commands, err := r.commands()
	for _, command := range slices.Sorted(maps.Keys(commands)) {
		words := strings.Fields(command)
		l := linter{name: words[0], args: append(words[1:], commands[command]...)}
		if l.name == "actionlint" {
			l.pkg = "github.com/rhysd/actionlint/cmd/actionlint"
		}
		linters = append(linters, l)
	}
	return linters, err
}

// commands returns the commands of the linters that check single files, and the files.
func (r Repo) commands() (map[string][]string, error) {
	files := map[string][]string{}
	repo := os.DirFS(r.Dir)
	err := fs.WalkDir(repo, ".", func(file string, entry fs.DirEntry, err error) error {
		command := ""
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (file == ".git" || file == "dist"):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		case path.Ext(file) == ".go":
			command = "gofmt -l"
		case path.Ext(file) == ".yml" && path.Dir(file) == ".github/workflows":
			command = "actionlint -no-color -oneline" // without file names it needs a git clone
		default:
			shell, err := shellOf(repo, file)
			if shell == "" {
				return err
			}
			command = "shellcheck --norc --format=gcc --shell=" + shell
			if strings.HasPrefix(file, "build/") { // an error that the shell ignores would break the image
				command += " --enable=check-extra-masked-returns,check-set-e-suppressed"
			}
		}
		files[command] = append(files[command], file)
		return nil
	})
	return files, err
}

// shellOf returns the shell in the first line of a script, or "".
func shellOf(repo fs.FS, file string) (string, error) {
	data, err := fs.ReadFile(repo, file)
	first, _, _ := strings.Cut(string(data[:min(len(data), 100)]), "\n")
	if line, script := strings.CutPrefix(first, "#!"); script {
		for word := range strings.FieldsSeq(line) {
			if name := path.Base(word); name == "sh" || name == "bash" {
				return name, err
			}
		}
	}
	return "", err
}

// run runs a linter and returns its findings, each as one line.
func (r Repo) run(ctx context.Context, log io.Writer, l linter) ([]string, error) {
	file, environ := cmp.Or(l.path, l.name), os.Environ()
	if l.pkg != "" {
		module := r.Tool(l.of)
		var err error
		if file, err = module.Program(ctx, log, l.pkg); err != nil {
			return nil, err
		}
		environ = append(environ, "STATICCHECK_CACHE="+filepath.Join(filepath.Dir(module.Cache), "staticcheck"))
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, file, l.args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = r.Dir, environ, &out, &out
	proc.Group(cmd)
	err := cmd.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, failure.Usagef("run %s: %w: install it", l.name, err)
	}
	var findings []string
	for line := range strings.Lines(out.String()) {
		line = strings.TrimPrefix(strings.TrimPrefix(strings.TrimSpace(line), "vet: "), "./")
		switch name, _, _ := strings.Cut(line, ":"); {
		case l.name == "gofmt" && err == nil:
			line += ": it is not as gofmt writes it: run gofmt -w " + line
		case line == name || filepath.Ext(name) == "" && l.name != "shellcheck":
			continue // a heading, or progress of the go command
		case l.name == "deadcode" && strings.HasPrefix(line, "pipeline/module/"):
			continue // called by ci/dagger, which only compiles with Dagger's generated code
		}
		findings = append(findings, line)
	}
	if err != nil && len(findings) == 0 {
		return nil, fmt.Errorf("run %s: %w: %s", l.name, err, strings.Join(proc.LastLines(out.String(), 3), "; "))
	}
	return findings, nil
}
