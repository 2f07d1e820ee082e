package workflows

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// proposals holds a repository on a server, a shallow clone like that of
// actions/checkout, and the responses of gh.
type proposals struct {
	t                 *testing.T
	dir               string
	open, all, merged string // numbers of pull requests, and the head of a merged one
}

func newProposals(t *testing.T) *proposals {
	p := &proposals{t: t, dir: t.TempDir(), open: "0", all: "0"}
	p.git(".", "init", "-q", "--bare", "-b", "main", p.path("remote"))
	p.git(".", "init", "-q", "-b", "main", p.path("maintainer"))
	p.write("maintainer", "LICENSE", "text\n")
	p.commit("maintainer", "zero")
	p.write("maintainer", "versions.yml", "release: 4.7.3\nepoch: \"2026-11-01\"\n")
	p.commit("maintainer", "one")
	p.git("maintainer", "remote", "add", "origin", "file://"+p.path("remote"))
	p.git("maintainer", "push", "-q", "origin", "main")
	return p
}

func (p *proposals) path(dir string) string { return filepath.Join(p.dir, dir) }

func (p *proposals) git(dir string, args ...string) string {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "git", append([]string{"-C", p.path(dir), "-c", "user.name=Ann", "-c", "user.email=ann@example.com"}, args...)...)
	if dir == "." {
		cmd.Args[2] = "."
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (p *proposals) write(dir, name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.path(dir), name), []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *proposals) commit(dir, message string) {
	p.t.Helper()
	p.git(dir, "add", "-A")
	p.git(dir, "commit", "-q", "-m", message)
}

// tip returns the commit of the proposal's branch.
func (p *proposals) tip() string { return p.git("remote", "rev-parse", "netbox-4.7.4") }

func (p *proposals) day() string {
	_, day, _ := strings.Cut(p.git("remote", "show", "netbox-4.7.4:versions.yml"), "epoch: ")
	return strings.Trim(day, `"`)
}

// propose writes versions.yml in a new clone and proposes it, as the job does.
func (p *proposals) propose(text string) string {
	p.t.Helper()
	if err := os.RemoveAll(p.path("clone")); err != nil {
		p.t.Fatal(err)
	}
	p.git(".", "clone", "-q", "--depth", "1", "file://"+p.path("remote"), p.path("clone"))
	if text != "" {
		p.write("clone", "versions.yml", text)
	}
	tool, err := filepath.Abs(filepath.Join(root, ".github", "propose"))
	if err != nil {
		p.t.Fatal(err)
	}
	gh := map[string]string{"gh": `case "$1 $2 $*" in
		"auth setup-git "*) ;;
		"pr list "*"--head netbox-4.7.4 --base main --state open "*) echo "$OPEN" ;;
		"pr list "*"--head netbox-4.7.4 --base main --state all "*) echo "$ALL" ;;
		"pr list "*"--head netbox-4.7.4 --base main --state merged "*"$MERGED"*) echo "$MERGED" ;;
		"pr list "*) ;;
		*) printf '<%s>' "$1" "$2"; echo ;;
		esac`}
	env := map[string]string{"OPEN": p.open, "ALL": p.all, "MERGED": p.merged}
	out, err := runScript(p.t, tool+` netbox-4.7.4 "NetBox 4.7.4" main`, p.path("clone"), gh, env)
	if err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	if got := p.git("remote", "log", "-1", "--format=%an", "main"); got != "Ann" {
		p.t.Errorf("main was touched: its last commit is of %s", got)
	}
	return out
}

const proposed = "release: 4.7.4\nepoch: \"2026-11-02\"\n"

func TestAProposalIsMadeOnceAndBroughtUpToDate(t *testing.T) {
	p := newProposals(t)
	if out := p.propose(""); !strings.Contains(out, "Nothing is proposed") {
		t.Errorf("nothing has changed: %s", out)
	}
	if out := p.propose(proposed); out != "<workflow><run>\n<pr><create>\n" {
		t.Errorf("the first time: %s", out)
	}
	first := p.tip()
	if got := p.git("remote", "log", "-1", "--format=%s %an", "netbox-4.7.4"); got != "NetBox 4.7.4 github-actions[bot]" {
		t.Errorf("commit %q", got)
	}
	p.open, p.all = "1", "1"
	if out := p.propose(proposed); !strings.Contains(out, "Nothing new is proposed") || strings.Contains(out, "<") || p.tip() != first {
		t.Errorf("the second time: %s", out)
	}
	if out := p.propose(proposed + "more: 1\n"); !strings.HasPrefix(out, "<workflow><run>\n") || strings.Contains(out, "create") || p.tip() == first {
		t.Errorf("brought up to date: %s", out)
	}
}

// A day later pin writes another date and changes nothing else.
func TestAnOpenProposalKeepsItsDay(t *testing.T) {
	p := newProposals(t)
	p.propose(proposed)
	first := p.tip()
	p.open, p.all = "1", "1"
	if out := p.propose(strings.Replace(proposed, "-02", "-03", 1)); !strings.Contains(out, "Nothing new is proposed") || p.tip() != first {
		t.Errorf("a day later: %s", out)
	}
	if p.propose(strings.Replace(proposed, "-02", "-04", 1) + "more: 1\n"); p.tip() == first || !strings.HasPrefix(p.day(), "2026-11-02") {
		t.Errorf("with something new it is of %s", p.day())
	}
}

// main has new commits, so the shallow clone lacks the start of the branch.
func TestAProposalKeepsWhatAMaintainerWrote(t *testing.T) {
	p := newProposals(t)
	p.propose(proposed)
	p.open, p.all = "1", "1"
	p.write("maintainer", "LICENSE", "another text\n")
	p.commit("maintainer", "two")
	p.git("maintainer", "push", "-q", "origin", "main")
	bots := p.tip()
	if out := p.propose(proposed); !strings.HasPrefix(out, "<workflow><run>\n") || p.tip() == bots {
		t.Errorf("of the bot alone, and main has moved on: %s", out)
	}

	p.git("maintainer", "fetch", "-q", "origin", "netbox-4.7.4")
	p.git("maintainer", "checkout", "-q", "-b", "fix", "FETCH_HEAD")
	p.write("maintainer", "fix", "of the build\n")
	p.commit("maintainer", "Mend the build")
	p.git("maintainer", "push", "-q", "origin", "fix:netbox-4.7.4")
	theirs := p.tip()
	for _, text := range []string{proposed, proposed + "more: 1\n"} {
		if out := p.propose(text); !strings.Contains(out, "::notice::Nothing is pushed - NetBox 4.7.4: branch netbox-4.7.4 has commits of Ann.") || strings.Contains(out, "<") || p.tip() != theirs {
			t.Errorf("with a maintainer's commit: %s", out)
		}
	}
	// After a squash merge the commits are not on main, but are no longer needed.
	p.open, p.merged = "0", theirs
	if out := p.propose(proposed); out != "<workflow><run>\n<pr><create>\n" || p.tip() == theirs {
		t.Errorf("after it was merged: %s", out)
	}
}

func TestAClosedProposalStaysClosedUntilThereIsSomethingNew(t *testing.T) {
	p := newProposals(t)
	p.propose(proposed)
	p.all = "1"
	if out := p.propose(proposed); strings.Contains(out, "<") {
		t.Errorf("closed: %s", out)
	}
	if out := p.propose(proposed + "more: 1\n"); out != "<workflow><run>\n<pr><create>\n" {
		t.Errorf("closed, and something new: %s", out)
	}
	// The run that pushed the branch stopped before it opened the pull request.
	p.all = "0"
	if out := p.propose(proposed + "more: 1\n"); !strings.HasSuffix(out, "<pr><create>\n") {
		t.Errorf("pushed, never opened: %s", out)
	}
}
