// Command standin replaces what GitHub provides to a job: the actions that the
// workflows use, the gh command and keyless signing. It behaves like the original
// where a workflow can notice: the depth and owner of a checkout, the Go version
// of a job, the artifacts, the permissions of the job's token. It keeps its state
// in the directory that REHEARSAL names.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "::error::stand-in: %v\n", err)
		os.Exit(1)
	}
}

// run selects the stand-in by the name of the program, or by the first argument.
func run() error {
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if name == "standin" && len(args) > 0 {
		name, args = args[0], args[1:]
	}
	switch name {
	case "checkout":
		return checkout()
	case "setup-go":
		return setupGo()
	case "upload-artifact":
		return upload()
	case "download-artifact":
		return download()
	case "gh":
		return gh(args)
	case "cosign":
		return cosign(args)
	case "prove":
		return prove()
	case "apt-get":
		return nil // the packages are already installed
	case "staticcheck", "unparam", "deadcode", "actionlint":
		return nil // no findings
	case "go", "gofmt":
		return errors.New("the job has no Go: actions/setup-go has to come first")
	}
	return fmt.Errorf("there is no stand-in for %s", name)
}

// state returns a path in the directory that outlives a job.
func state(elements ...string) string {
	return filepath.Join(append([]string{os.Getenv("REHEARSAL")}, elements...)...)
}

// inputs returns the inputs of the action that is replaced.
func inputs() (map[string]string, error) {
	in := map[string]string{}
	if err := json.Unmarshal([]byte(os.Getenv("INPUTS")), &in); err != nil {
		return nil, fmt.Errorf("read the inputs %q: %w", os.Getenv("INPUTS"), err)
	}
	return in, nil
}

// appendLine appends a line to a file, such as one that the runner reads after
// the step.
func appendLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, line)
	return errors.Join(err, f.Close())
}

// may returns an error unless the permissions of the job include a right.
func may(right string) error {
	have := strings.Fields(os.Getenv("REHEARSAL_PERMISSIONS"))
	if slices.Contains(have, right) || slices.Contains(have, strings.TrimSuffix(right, ":read")+":write") {
		return nil
	}
	return fmt.Errorf("HTTP 403: Resource not accessible by integration: the job has %q, not %s", have, right)
}
