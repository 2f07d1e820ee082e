package terminal

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/need"
)

// ticking matches the times in a tree, which differ between runs.
var ticking = regexp.MustCompile(` *\b(\d+\.\d s|\d+ s|\dm\d\ds)\b`)

const tree = `
✓ readme T
linux/amd64
├ ✓ build T
├ ○ boot T  done, not judged yet
└ ✗ graph T  `

func TestTheTreeFitsTheTerminal(t *testing.T) {
	for name, test := range map[string]struct {
		columns, rows int
		env           string
		want          string
	}{
		"of 80 columns": {80, 24, "LANG=C.UTF-8", `✗ graph linux/amd64 failed after T` + tree + `readme-vars.yml:99: the edge init-a -> init-b is n…
linux/arm64
└ ● build T  #12 構築中 012345678901234567890123456789012345678…
T  Ctrl-C stops everything that was started`},
		"of 200 columns": {200, 50, "LANG=C.UTF-8", `✗ graph linux/amd64 failed after T` +
			tree + `readme-vars.yml:99: the edge init-a -> init-b is not in the image: take it out of init_diagram, or add the file init-b/dependencies.d/init-a
linux/arm64
└ ● build T  #12 構築中 ` + strings.Repeat("0123456789", 15) + `012345678…
T  Ctrl-C stops everything that was started`},
		"of 80 columns without UTF-8": {80, 24, "LANG=C", `x graph linux/amd64 failed after T` + strings.NewReplacer("✓", "+", "○", "o", "✗", "x", "├", "|", "└", "`").Replace(tree) + "readme-vars.yml:99: the edge init-a -> init-b is n.\nlinux/arm64\n` * build T  #12 ??? 012345678901234567890123456789012345678901.\nT  Ctrl-C stops everything that was started"},
		"of 7 rows": {80, 7, "LANG=C.UTF-8", `✗ graph linux/amd64 failed after T
● build linux/arm64 T  #12 構築中 0123456789012345678901234567890123456…
○ boot linux/amd64 T  done, not judged yet
✗ graph linux/amd64 T  readme-vars.yml:99: the edge init-a -> init-b is…
T  Ctrl-C stops everything that was started, 2 steps passed`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			term := terminal(t, test.columns, test.rows, bash, test.env)
			term.enter("clear; " + shows)
			term.until("a last line of log", func(screen string) bool {
				return strings.Contains(screen, "#12") && strings.Contains(screen, "graph")
			})
			if !term.sane() {
				t.Error("the cursor is hidden, or lines are not wrapped: a process that is killed now leaves it like that")
			}
			got := ticking.ReplaceAllString(term.screen(), " T")
			got = strings.ReplaceAll(got, "\n T", "\nT") // the time at the start of the last line
			if got, want := strings.TrimSpace(got), strings.TrimSpace(test.want); got != want {
				t.Errorf("got\n%s\n\nwant\n%s", got, want)
			}
		})
	}
}

func TestAResizedTerminalShowsOneTree(t *testing.T) {
	t.Parallel()
	term := terminal(t, 160, 40, bash, "LANG=C.UTF-8")
	term.enter("clear; seq 20; " + shows) // so that the tree does not start at the top
	wide := term.untilIt("#12")
	for _, columns := range []int{60, 100, 30, 160} {
		term.run("resize-window", "-x", fmt.Sprint(columns), "-y", "40")
		// The terminal rewraps its lines, then the program redraws the tree.
		painted := regexp.MustCompile(fmt.Sprintf("(?m)^└ ● build.{%d,%d}…$", columns-16, columns-8))
		term.until(fmt.Sprintf("a tree for %d columns", columns), painted.MatchString)
		screen := term.screen()
		for _, part := range []string{"● build", "✓ readme", "linux/amd64\n", "Ctrl-C"} {
			if n := strings.Count(screen, part); n != 1 {
				t.Fatalf("at %d columns %q is there %d times", columns, part, n)
			}
		}
	}
	treeOf := func(screen string) string {
		return ticking.ReplaceAllString(screen[strings.Index(screen, "✓ readme"):], " T")
	}
	term.until("the whole width", func(screen string) bool { return treeOf(screen) == treeOf(wide) })
	if all := term.run("capture-pane", "-p", "-J", "-S", "-"); strings.Count(all, "✗ graph linux/amd64 failed after") != 1 {
		t.Errorf("what failed is not there once:\n%s", all)
	}
}

func TestColoursAreLeftOutWhenNobodyWantsThem(t *testing.T) {
	for env, colour := range map[string]bool{"LANG=C.UTF-8": true, "LANG=C.UTF-8 NO_COLOR=1": false} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			term := terminal(t, 80, 24, bash, strings.Fields(env)...)
			term.enter("clear; " + shows)
			term.untilIt("#12")
			if got := strings.Contains(term.run("capture-pane", "-e", "-p"), "\x1b["); got != colour {
				t.Errorf("colours on the screen: %t, want %t", got, colour)
			}
		})
	}
}

// Without a terminal that can move its cursor, each line starts with the time.
func TestAnythingElseGetsPlainLines(t *testing.T) {
	plain := regexp.MustCompile(`^\d\d:\d\d:\d\d [a-z]+( linux/a[a-z0-9]+)?: .`)
	for name, line := range map[string]string{
		"a file":          shows + " 2>$out",
		"a pipe":          shows + " 2>&1 | cat >$out",
		"a dumb terminal": "TERM=dumb script -qfc '" + shows + "' $out >/dev/null",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if strings.Contains(line, "script") {
				need.Debian(t, "bsdutils")
			}
			out := filepath.Join(t.TempDir(), "out")
			term := terminal(t, 80, 24, bash, "LANG=C.UTF-8", "out="+out)
			term.enter(line)
			var text string
			term.until("lines in the file", func(string) bool {
				data, _ := os.ReadFile(out) // it may not exist yet
				text = string(data)
				return strings.Contains(text, "#12")
			})
			if strings.Contains(text, "\x1b") {
				t.Errorf("escape sequences in\n%s", text)
			}
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if strings.HasPrefix(lines[0], "Script started") {
				lines = lines[1:]
			}
			for _, line := range lines {
				if !plain.MatchString(line) {
					t.Errorf("not a line with the time in front: %q", line)
				}
			}
			if len(lines) < 9 {
				t.Errorf("%d lines:\n%s", len(lines), text)
			}
			term.run("send-keys", "C-c") // otherwise script outlives its terminal
			term.until("the prompt", func(screen string) bool { return strings.HasSuffix(screen, "\n$") })
		})
	}
}

// A user stops a real build with Ctrl-C.
func TestCtrlCLeavesTheTerminalAsItWas(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: a build needs root")
	}
	term := terminal(t, 100, 30, bash, "LANG=C.UTF-8")
	output := t.TempDir()
	before, after := filepath.Join(output, "before"), filepath.Join(output, "after")
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	term.enter("clear; cd " + root + "; stty -a >" + before)
	term.enter("clear; " + program + " build --engine local --platform linux/amd64 --output " + output + "; echo status=$?; stty -a >" + after)
	term.until("a tree of the build", func(screen string) bool {
		return regexp.MustCompile(`(?m)^└ ● build +\d`).MatchString(screen) && strings.Contains(screen, "✓ base")
	})
	term.run("send-keys", "C-c")
	screen := term.untilIt("status=")
	for _, want := range []string{"status=1", "✗ build linux/amd64 stopped after", "interrupted"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the screen does not say %q", want)
		}
	}
	if strings.Contains(screen, "Ctrl-C stops") {
		t.Error("the tree is still there")
	}
	term.enter("echo again")
	term.untilIt("\nagain\n")
	if !term.sane() {
		t.Error("the cursor stays hidden, or lines are not wrapped any more")
	}
	was, err := os.ReadFile(before)
	if err != nil {
		t.Fatal(err)
	}
	is, err := os.ReadFile(after)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) != string(is) {
		t.Errorf("the settings of the terminal were\n%sand are\n%s", was, is)
	}
}
