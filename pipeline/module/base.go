package module

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/layers"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// Check returns a one-line error for a call that cannot work.
func (c Call) Check() error {
	for _, file := range []string{versions.File, "Dockerfile", "go.mod"} {
		if _, err := os.Stat(filepath.Join(c.Repo, file)); err != nil {
			return failure.Usagef("read the repository: it has no %s, so it is not the one of this image: as a toolchain the module gets the repository it is installed in: install it as a dependency, call it with -m, or pass --source", file)
		}
	}
	if c.Base == provider.LocalBase || strings.HasPrefix(c.Base, "oci:") {
		return failure.Usagef("read the base image %q: Dagger's engine pulls a base by its name: pass --base REFERENCE, or --base-layout DIRECTORY before the function for an OCI layout", c.Base)
	}
	if len(c.Platforms) == 0 {
		return nil
	}
	_, err := platform.Parse(c.Platforms)
	return c.rewriteError(err)
}

// base returns the base image in the form that a session accepts.
func (c Call) base() (string, error) {
	switch {
	case c.Base != "":
		return c.Base, nil
	case c.Layout != "":
		return "oci:" + c.Layout, nil
	case c.Archive == "":
		return "", nil
	}
	dir := c.Archive + ".layout"
	if _, err := layers.ReadArchive(c.Archive, dir); err != nil {
		return "", failure.Usagef("read the base image: %w: pass a container that has an image", err)
	}
	return "oci:" + dir, nil
}

// logIn matches the ways to log in on the command line, which a module does not have.
var logIn = regexp.MustCompile(`\(docker login, or the variables REGISTRY_USERNAME_\S+ and REGISTRY_PASSWORD_[^\s)]+\)`)

// rewriteError returns err with the module's flags in place of the command line's, and
// with paths relative to the repository.
func (c Call) rewriteError(err error) error {
	if err == nil {
		return nil
	}
	text := strings.NewReplacer(
		c.Repo+string(filepath.Separator), "",
		"--platform ", "--platforms ",
		"--base oci:", "--base-layout ",
	).Replace(logIn.ReplaceAllString(err.Error(), "(--username and --password, or --config)"))
	return rewrittenError{text, err}
}

type rewrittenError struct {
	text string
	error
}

func (e rewrittenError) Error() string { return e.text }
func (e rewrittenError) Unwrap() error { return e.error }
