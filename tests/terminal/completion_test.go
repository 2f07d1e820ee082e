package terminal

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/need"
)

// Each shell is set up as the help of the verb describes.
func TestShellsCompleteVerbsFlagsAndValues(t *testing.T) {
	need.Debian(t, "bash", "bash-completion", "zsh", "fish")
	for shell, setup := range map[string]struct {
		start string
		lines []string // setup commands
	}{
		"bash": {bash, []string{
			". /usr/share/bash-completion/bash_completion", "source <(ci completion bash)"}},
		"zsh": {"PS1='$ ' zsh -f", []string{
			"autoload -U compinit; compinit -u -d $ZDOTDIR/dump", "source <(ci completion zsh)"}},
		"fish": {"fish --no-config", []string{
			"function fish_prompt; echo '$ '; end", "ci completion fish | source"}},
	} {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			term := terminal(t, 100, 30, setup.start, "LANG=C.UTF-8", "HOME="+home, "ZDOTDIR="+home,
				"XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home, "PATH="+filepath.Dir(program)+":$PATH")
			repo, err := filepath.Abs("../..")
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range append(setup.lines, "cd "+repo) {
				term.enter(line)
			}
			term.enter("echo rea''dy")
			term.untilIt("\nready\n")
			for _, c := range []struct{ typed, want string }{
				{"ci chec", "ci check "},
				{"ci comp", "ci completion "},
				{"ci completion z", "ci completion zsh "},
				{"ci check --plat", "ci check --platform "},
				{"ci check --platform linux/ar", "ci check --platform linux/arm64 "},
				{"ci build --engine d", "ci build --engine dagger "},
				{"ci build --netbox 4.7.3", "ci build --netbox 4.7.3 "},
				{"ci check --base lo", "ci check --base local "},
				{"ci check --base ghcr.io/linuxserver/baseimage-alpine:3", "ci check --base ghcr.io/linuxserver/baseimage-alpine:3.20 "},
				{"ci check --base oci:pipel", "ci check --base oci:pipeline/"},
				{"ci publish --to quay.io/linuxserver.io/n", "ci publish --to quay.io/linuxserver.io/netbox "},
				{"ci readme --rep", "ci readme --repo "},
				{"ci readme --repo pipel", "ci readme --repo pipeline/"},
				{"ci merge --plan versions.y", "ci merge --plan versions.yml "},
			} {
				term.run("send-keys", "C-u")
				term.run("send-keys", "C-l")
				term.until("an empty screen", func(screen string) bool { return strings.TrimSpace(screen) == "$" })
				term.run("send-keys", "-l", c.typed)
				term.untilIt("$ " + c.typed)
				term.run("send-keys", "Tab")
				// Text typed after the completion shows whether that ends with a blank.
				term.run("send-keys", "-l", "!")
				term.until(c.typed+" and the tab key to show "+c.want, func(screen string) bool {
					return strings.Contains(screen, "$ "+c.want+"!")
				})
			}
		})
	}
}
