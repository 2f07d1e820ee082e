package readme_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func TestCommunityFilesAreSound(t *testing.T) {
	for _, file := range []string{".github/CONTRIBUTING.md", ".github/PULL_REQUEST_TEMPLATE.md"} {
		text, err := os.ReadFile(root + file)
		if err != nil {
			t.Fatal(err)
		}
		checkMarkdown(t, string(text), root+".github", anchorGitHub)
	}
	contributing, err := os.ReadFile(root + ".github/CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, m := range regexp.MustCompile("`((?:[A-Za-z_.0-9-]+/)+[A-Za-z_.0-9*-]*|[A-Za-z]+\\.[a-z]+)`").FindAllStringSubmatch(string(contributing), -1) {
		path := m[1]
		if path == "user/contents.d" || strings.HasSuffix(path, "/NAME") {
			continue
		}
		named++
		if found, err := filepath.Glob(root + path); err != nil || len(found) == 0 {
			t.Errorf("CONTRIBUTING.md names %s, which is not there", path)
		}
	}
	if named < 30 {
		t.Errorf("only %d files were found in CONTRIBUTING.md", named)
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
