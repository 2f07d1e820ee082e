package readme_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// fenced is a code block of a page.
type fenced struct{ language, text string }

// split separates a page into its code blocks and the prose around them.
func split(t *testing.T, page string) (blocks []fenced, prose []string) {
	t.Helper()
	var open *fenced
	pad := ""
	for line := range strings.SplitSeq(page, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			pad = line[:len(line)-len(trimmed)]
			open = &fenced{language: strings.TrimPrefix(trimmed, "```")}
		case open != nil && trimmed == "```":
			blocks = append(blocks, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, pad) + "\n"
		default:
			prose = append(prose, line)
		}
	}
	if open != nil {
		t.Fatalf("a code block is never closed:\n%s", open.text)
	}
	return blocks, prose
}

// block gives the first code block of a language that holds all of the words.
func block(t *testing.T, page, language string, words ...string) string {
	t.Helper()
	blocks, _ := split(t, page)
search:
	for _, b := range blocks {
		if b.language != language {
			continue
		}
		for _, word := range words {
			if !strings.Contains(b.text, word) {
				continue search
			}
		}
		return b.text
	}
	t.Fatalf("there is no %s block with %q", language, words)
	return ""
}

var (
	codeSpan = regexp.MustCompile("(`+)[^`].*?(`+)")
	link     = regexp.MustCompile(`\]\(([^)\s]+)(?: "[^"]*")?\)`)
	slugDrop = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	textOf   = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	unsplit  = regexp.MustCompile(`\\\|`)
)

// checkMarkdown reports what GitHub would not render as meant.
func checkMarkdown(t *testing.T, page, dir string) {
	t.Helper()
	blocks, prose := split(t, page)
	for _, b := range blocks {
		switch b.language {
		case "yaml":
			var any map[string]any
			if err := yaml.Unmarshal([]byte(b.text), &any); err != nil || len(any) == 0 {
				t.Errorf("a YAML block does not parse: %v\n%s", err, b.text)
			}
		case "bash":
			cmd := exec.Command("bash", "-n")
			cmd.Stdin = strings.NewReader(b.text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("a shell block does not parse: %v\n%s%s", err, out, b.text)
			}
		case "":
			t.Errorf("a code block names no language:\n%s", b.text)
		}
	}
	anchors := map[string]bool{}
	for _, line := range prose {
		if level := len(line) - len(strings.TrimLeft(line, "#")); level > 0 && strings.HasPrefix(line[level:], " ") {
			text := textOf.ReplaceAllString(strings.TrimSpace(line[level:]), "$1")
			slug := strings.ReplaceAll(slugDrop.ReplaceAllString(strings.ToLower(text), ""), " ", "-")
			if anchors[slug] {
				t.Errorf("two headings have the anchor #%s", slug)
			}
			anchors[slug] = true
		}
	}
	for i, line := range prose {
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			target := m[1]
			if anchor, ok := strings.CutPrefix(target, "#"); ok {
				if !anchors[anchor] {
					t.Errorf("%s leads nowhere: %s", target, line)
				}
			} else if !strings.HasPrefix(target, "https://") {
				if _, err := os.Stat(filepath.Join(dir, target)); err != nil {
					t.Errorf("link to a file that is not there: %v", err)
				}
			}
		}
		// A table is a header, a ruler of the same width, rows of that width.
		if strings.HasPrefix(line, "|") {
			if !strings.HasSuffix(line, "|") {
				t.Errorf("table row is not closed: %s", line)
			}
			above := prose[i-1]
			if strings.HasPrefix(above, "|") && columns(above) != columns(line) {
				t.Errorf("table row has %d columns, the one above %d: %s", columns(line), columns(above), line)
			}
			if !strings.HasPrefix(above, "|") && (above != "" || !regexp.MustCompile(`^\|( :?-+:? \|)+$`).MatchString(prose[i+1])) {
				t.Errorf("table does not begin with a header and a ruler: %s", line)
			}
		}
	}
}

func columns(row string) int {
	return strings.Count(unsplit.ReplaceAllString(row, ""), "|") - 1
}

func TestREADMEIsSoundMarkdown(t *testing.T) {
	checkMarkdown(t, page(t), root)
}

func TestCommunityFilesAreSound(t *testing.T) {
	for _, file := range []string{".github/CONTRIBUTING.md", ".github/PULL_REQUEST_TEMPLATE.md"} {
		text, err := os.ReadFile(root + file)
		if err != nil {
			t.Fatal(err)
		}
		checkMarkdown(t, string(text), root+".github")
	}
	forms, err := filepath.Glob(root + ".github/ISSUE_TEMPLATE/*.yml")
	if err != nil || len(forms) < 3 {
		t.Fatalf("got the issue forms %v, %v", forms, err)
	}
	for _, file := range forms {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var form struct {
			Name, Description string
			Blank             *bool `yaml:"blank_issues_enabled"`
			Body              []struct {
				Type, ID   string
				Attributes map[string]any
			}
		}
		if err := yaml.Unmarshal(text, &form); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if form.Blank == nil && (form.Name == "" || form.Description == "" || len(form.Body) == 0) {
			t.Errorf("%s: an issue form needs name, description and body", file)
		}
		ids := map[string]bool{}
		for _, field := range form.Body {
			if field.Type != "markdown" && (field.ID == "" || ids[field.ID] || field.Attributes["label"] == nil) {
				t.Errorf("%s: field %q needs an id of its own and a label", file, field.ID)
			}
			ids[field.ID] = true
		}
	}
	text, err := os.ReadFile(root + ".github/dependabot.yml")
	if err != nil {
		t.Fatal(err)
	}
	var bot struct {
		Version int
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directory   string
			Directories []string
			Cooldown    map[string]int
		}
	}
	if err := yaml.Unmarshal(text, &bot); err != nil || bot.Version != 2 || len(bot.Updates) < 2 {
		t.Fatalf("dependabot.yml: %v, %+v", err, bot)
	}
	for _, u := range bot.Updates {
		if u.Cooldown["default-days"] < 1 {
			t.Errorf("dependabot.yml: %s has no cooldown", u.Ecosystem)
		}
		for _, dir := range append(u.Directories, u.Directory) {
			if u.Ecosystem == "gomod" && dir != "" {
				if _, err := os.Stat(filepath.Join(root, dir, "go.mod")); err != nil {
					t.Errorf("dependabot.yml: %v", err)
				}
			}
		}
	}
}
