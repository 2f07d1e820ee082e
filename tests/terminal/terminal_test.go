// Package terminal tests the command line in tmux, a real terminal emulator, and its
// completion in the supported shells.
package terminal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/tests/need"
)

// patience limits the wait for a screen.
const patience = time.Minute

// program is the path of the command line built from the repository. shows is a
// shell command that runs the test binary as a program that shows a made-up run.
var program, shows string

const role = "DOCKER_NETBOX_TEST_SHOW"

func TestMain(m *testing.M) {
	if os.Getenv(role) != "" {
		show()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "docker-netbox-terminal-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "ci")
		build := exec.Command("go", "build", "-o", program, "../../ci")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the command line: %v: %s\n", err, out)
			return 1
		}
		self, err := os.Executable()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		shows = role + "=1 " + self
		return m.Run()
	}())
}

// show shows a run with steps in every state until it is killed, or twice as long
// as tests wait.
func show() {
	p := progress.New(os.Stderr, progress.Options{Terminal: progress.Detect(os.Stderr, os.Getenv), Now: time.Now})
	p.Step("readme", "").End(nil)
	amd, arm := p.Step("build", "linux/amd64"), p.Step("build", "linux/arm64")
	fmt.Fprintln(arm, "first")
	amd.End(nil)
	boot := p.Step("boot", "linux/amd64")
	boot.WorkDone()
	p.Step("graph", "linux/amd64").End(errors.New("readme-vars.yml:99: the edge init-a -> init-b is not in the image: take it out of init_diagram, or add the file init-b/dependencies.d/init-a"))
	fmt.Fprintln(arm, "#12 構築中 "+strings.Repeat("0123456789", 30))
	time.Sleep(2 * patience)
}

// tmux is a terminal that runs a shell.
type tmux struct {
	t      *testing.T
	socket string
}

// terminal starts a shell in a terminal of the given size. env lists assignments of
// environment variables.
func terminal(t *testing.T, columns, rows int, shell string, env ...string) *tmux {
	t.Helper()
	need.Debian(t, "tmux")
	// t.TempDir may be too long: a socket's path is limited to some hundred bytes.
	dir, err := os.MkdirTemp("", "tmux")
	if err != nil {
		t.Fatal(err)
	}
	term := &tmux{t: t, socket: filepath.Join(dir, "s")}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the screen:\n%s", term.screen())
		}
		_ = exec.Command("tmux", "-S", term.socket, "kill-server").Run() // it may have exited with its shell
		os.RemoveAll(dir)
	})
	command := strings.Join(append(append([]string{"exec env -u NO_COLOR -u LC_ALL -u LC_CTYPE"}, env...), shell), " ")
	term.run("-f", "/dev/null", "new-session", "-d", "-x", fmt.Sprint(columns), "-y", fmt.Sprint(rows), command)
	return term
}

// bash starts a shell with a short prompt and without any settings of the machine.
const bash = "PS1='$ ' bash --norc --noprofile"

func (term *tmux) run(args ...string) string {
	term.t.Helper()
	out, err := exec.Command("tmux", append([]string{"-S", term.socket}, args...)...).CombinedOutput()
	if err != nil {
		term.t.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// enter types a line and presses Enter.
func (term *tmux) enter(line string) {
	term.t.Helper()
	term.run("send-keys", "-l", line)
	term.run("send-keys", "Enter")
}

func (term *tmux) screen() string { return trimmed(term.run("capture-pane", "-p")) }

// trimmed removes trailing blanks of lines and trailing empty lines.
func trimmed(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimRight(line, " \n"))
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// until waits until the screen meets a condition and returns the screen.
func (term *tmux) until(what string, is func(screen string) bool) string {
	term.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		screen := term.screen()
		if is(screen) {
			return screen
		}
		if time.Now().After(deadline) {
			term.t.Fatalf("%s: it never came, in %s", what, patience)
		}
	}
}

func (term *tmux) untilIt(shows string) string {
	term.t.Helper()
	return term.until(fmt.Sprintf("wait for %q", shows), func(screen string) bool { return strings.Contains(screen, shows) })
}

// sane reports whether the cursor is visible and lines wrap.
func (term *tmux) sane() bool {
	return strings.TrimSpace(term.run("display-message", "-p", "#{cursor_flag} #{wrap_flag}")) == "1 1"
}
