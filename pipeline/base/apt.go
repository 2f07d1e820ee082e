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

// keyring holds the keys of the Debian archive; package debian-archive-keyring
// puts it at the same place on the host and in the image.
const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// apt is how packages are fetched: the host's own way, for another suite.
type apt struct {
	sources  string   // one-line sources, as the host has them
	settings string   // how the host reaches a mirror, in apt.conf's syntax
	secrets  []string // what must be shown nowhere
}

// hostApt reads the mirrors of the Debian archive from the host's apt, with
// the host's own suite replaced.
func hostApt(ctx context.Context, suite string) (apt, error) {
	host, err := codename("/etc/os-release")
	if err != nil {
		return apt{}, err
	}
	// What the mirrors say of themselves is known after apt-get update only;
	// on a fresh machine the configuration must do.
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
	a.settings = reach(dump)
	return a, nil
}

// translate turns the host's index targets, a line each of origin, URI, suite
// and component, into sources of another suite.
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
			continue // what is never released is never updated
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

// reach keeps the settings that decide how a mirror is reached: proxies,
// certificates, retries. Retries and time-outs are bounded unless the host
// says otherwise.
func reach(dump string) string {
	var b strings.Builder
	b.WriteString("Acquire::Retries \"3\";\nAcquire::http::Timeout \"20\";\nAcquire::https::Timeout \"20\";\n")
	for line := range strings.Lines(dump) {
		if beginsWith(line, "Acquire::http", "Acquire::Retries", "Acquire::Check-", "Acquire::ForceIPv") && !strings.HasSuffix(line, " \"\";\n") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// Sources are the mirrors of this machine's apt as an image of b's suite gets
// them, one line each and without credentials.
func (b *Builder) Sources(ctx context.Context) (string, error) {
	a, err := hostApt(ctx, b.Suite)
	if err != nil {
		return "", err
	}
	return a.shipped(), nil
}

// shipped are the sources that the image gets: the same mirrors without the
// host's credentials.
func (a apt) shipped() string {
	return sourceBegin.ReplaceAllString(a.sources, "deb [signed-by="+keyring+"] $1")
}

var sourceBegin = regexp.MustCompile(`(?m)^deb ([^:/ ]*://)?(?:[^/ ]*@)?`)

var failedFetch = regexp.MustCompile(`(?:Failed to fetch|^Err:\d+) (\S+)(.*)`)

// unanswered finds in the output of apt that a mirror did not answer, and says
// which one.
func (a apt) unanswered(output []string) string {
	for i, line := range output {
		m := failedFetch.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		why := strings.TrimSpace(m[2])
		if strings.Contains(line, "Err:") && i+1 < len(output) {
			why = strings.TrimSpace(output[i+1])
		}
		mirror := m[1]
		for source := range strings.Lines(a.shipped()) {
			if uri := strings.Fields(source)[2]; strings.HasPrefix(mirror, strings.TrimSuffix(uri, "/")) {
				mirror = uri
			}
		}
		return fmt.Sprintf("fetching packages from the Debian mirror %s: %s: check the network, the proxy and /etc/apt/sources.list.d of this machine", mirror, why)
	}
	return ""
}

// complaints are the lines of mmdebstrap's output that say what went wrong.
func complaints(output []string) []string {
	c := slices.DeleteFunc(slices.Clone(output), func(line string) bool { return !beginsWith(line, "E:", "dpkg: error") })
	if len(c) == 0 {
		c = output
	}
	return c[max(0, len(c)-3):]
}

// codename reads which Debian release the host is.
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

// aptOutput is what a command of apt prints.
func aptOutput(ctx context.Context, name string, args ...string) (string, error) {
	out, err := output(ctx, exec.CommandContext(ctx, name, args...))
	if errors.Is(err, exec.ErrNotFound) {
		return "", failure.Usagef("making the local base image needs a Debian machine: there is no %s here", name)
	}
	return string(out), err
}

// output runs a short command and returns what it prints.
func output(ctx context.Context, cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := proc.Run(ctx, cmd); err != nil {
		return nil, fmt.Errorf("running %s: %w", strings.Join(cmd.Args, " "), err)
	}
	return out.Bytes(), nil
}
