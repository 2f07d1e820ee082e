package base

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// keyring holds the keys of the Debian archive. Package debian-archive-keyring
// installs it at the same path on the host and in the image.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt describes how to fetch packages: from the host's mirrors, for another suite.
type apt struct {
	sources  string   // one-line sources with the host's URIs
	settings string   // the host's network settings, in the syntax of apt.conf
	secrets  []string // masked in the log
}

// hostApt reads the mirrors of the Debian archive from the host's apt configuration
// and replaces the host's suite.
func hostApt(ctx context.Context, suite string) (apt, error) {
	host, err := codename("/etc/os-release")
	if err != nil {
		return apt{}, err
	}
	// ORIGIN and CODENAME come from the mirrors' Release files, which only exist
	// after apt-get update. A fresh machine has just the configuration.
	targets, err := aptOutput(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN)\t$(REPO_URI)\t$(CODENAME)\t$(COMPONENT)", "Created-By: Packages")
	if err == nil && !strings.Contains(targets, "Debian\t") {
		targets, err = aptOutput(ctx, "apt-get", "indextargets", "--no-release-info", "--format", "Debian\t$(REPO_URI)\t$(RELEASE)\t$(COMPONENT)", "Created-By: Packages")
	}
	if err != nil {
		return apt{}, err
	}
	a, err := translate(targets, host, suite)
	if err != nil {
		return apt{}, err
	}
	dump, err := aptOutput(ctx, "apt-config", "dump")
	if err != nil {
		return apt{}, err
	}
	a.settings = networkSettings(dump)
	return a, nil
}

// translate converts the host's index targets into sources of another suite. Each
// line of targets has origin, URI, suite and component.
func translate(targets, from, to string) (apt, error) {
	var lines []string
	var a apt
	for line := range strings.Lines(targets) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 4 || f[0] != "Debian" || f[3] != "main" {
			continue
		}
		pocket, ok := strings.CutPrefix(f[2], from)
		if !ok || !slices.Contains([]string{"", "-updates", "-security"}, pocket) {
			continue
		}
		if to == "sid" && pocket != "" {
			continue // sid has no -updates or -security
		}
		u, err := url.Parse(f[1])
		if err != nil {
			return apt{}, failure.Usagef("reading the host's apt sources: a URI for %s is malformed: correct it in /etc/apt/sources.list.d", f[2])
		}
		if u.User != nil {
			a.secrets = append(a.secrets, u.User.String())
			if p, ok := u.User.Password(); ok {
				a.secrets = append(a.secrets, p)
			}
		}
		if source := fmt.Sprintf("deb %s %s%s main\n", f[1], to, pocket); !slices.Contains(lines, source) {
			lines = append(lines, source)
		}
	}
	if len(lines) == 0 {
		return apt{}, failure.Usagef("making the local base image: apt on this machine has no mirror of the Debian archive for %s main: add one to /etc/apt/sources.list.d", from)
	}
	a.sources = strings.Join(lines, "")
	return a, nil
}

// networkSettings extracts proxies, certificates and retries from the output of
// apt-config dump. It limits retries and timeouts unless the host sets them.
func networkSettings(dump string) string {
	var b strings.Builder
	b.WriteString("Acquire::Retries \"3\";\nAcquire::http::Timeout \"20\";\nAcquire::https::Timeout \"20\";\n")
	for line := range strings.Lines(dump) {
		if hasAnyPrefix(line, "Acquire::http", "Acquire::Retries", "Acquire::Check-", "Acquire::ForceIPv") && !strings.HasSuffix(line, " \"\";\n") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Sources returns the mirrors of this machine's apt for b's suite, one per line and
// without credentials. Images contain the same sources.
func (b *Builder) Sources(ctx context.Context) (string, error) {
	a, err := hostApt(ctx, b.Suite)
	if err != nil {
		return "", err
	}
	return a.imageSources(), nil
}

// imageSources returns the sources for the image: the same mirrors without the host's
// credentials.
func (a apt) imageSources() string {
	return sourcePrefix.ReplaceAllString(a.sources, "deb [signed-by="+keyring+"] $1")
}

var sourcePrefix = regexp.MustCompile(`(?m)^deb ([^:/ ]*://)?(?:[^/ ]*@)?`)

var failedFetch = regexp.MustCompile(`(?:Failed to fetch|^Err:\d+) (\S+)(.*)`)

// fetchError returns an error message with the mirror if apt's output shows that
// one could not be reached, or an empty string.
func (a apt) fetchError(output []string) string {
	for i, line := range output {
		m := failedFetch.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		reason := strings.TrimSpace(m[2])
		if strings.Contains(line, "Err:") && i+1 < len(output) {
			reason = strings.TrimSpace(output[i+1])
		}
		mirror := m[1]
		for source := range strings.Lines(a.imageSources()) {
			if uri := strings.Fields(source)[2]; strings.HasPrefix(mirror, strings.TrimSuffix(uri, "/")) {
				mirror = uri
			}
		}
		return fmt.Sprintf("fetching packages from the Debian mirror %s: %s: check the network, the proxy and /etc/apt/sources.list.d of this machine", mirror, reason)
	}
	return ""
}

// errorLines returns the last three error lines of output, or else its last three.
func errorLines(output []string) []string {
	c := slices.DeleteFunc(slices.Clone(output), func(line string) bool { return !hasAnyPrefix(line, "E:", "dpkg: error") })
	if len(c) == 0 {
		c = output
	}
	return c[max(0, len(c)-3):]
}

// codename returns the codename of the host's Debian release.
func codename(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", failure.Usagef("making the local base image needs a Debian machine: %v", err)
	}
	for line := range strings.Lines(string(data)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`), nil
		}
	}
	return "", failure.Usagef("making the local base image needs a Debian machine: %s names no release", file)
}

// aptOutput runs a command of apt and returns its output.
func aptOutput(ctx context.Context, name string, args ...string) (string, error) {
	out, err := output(ctx, exec.CommandContext(ctx, name, args...))
	if errors.Is(err, exec.ErrNotFound) {
		return "", failure.Usagef("making the local base image needs a Debian machine: there is no %s here", name)
	}
	return string(out), err
}

// output runs a short command and returns its standard output.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := proc.Run(ctx, cmd); err != nil {
		return nil, fmt.Errorf("running %s: %w", strings.Join(cmd.Args, " "), err)
	}
	return out.Bytes(), nil
}
