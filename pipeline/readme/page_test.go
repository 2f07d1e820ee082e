package readme_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
)

func parse(t *testing.T, file string) *readme.Vars {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	v, err := readme.Parse(filepath.Base(file), data)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func render(t *testing.T, file string) string {
	t.Helper()
	text, err := parse(t, file).README(readme.Extra{})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func site(t *testing.T, file string) string {
	t.Helper()
	text, err := parse(t, file).Docs(readme.Extra{})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The pages of made-up images. `go test ./pipeline/readme -update` updates them;
// review the diff before you commit it.
func TestPagesOfMadeUpImages(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil || len(files) < 12 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			checkMarkdown(t, render(t, file), root, anchorGitHub)
			checkSite(t, site(t, file))
			for suffix, page := range map[string]func(*testing.T, string) string{".md": render, ".docs.md": site} {
				got := page(t, file)
				for range 5 {
					if again := page(t, file); again != got {
						t.Fatalf("the page differs from one time to the next:\n%s", readme.Diff(suffix, []byte(got), []byte(again)))
					}
				}
				golden := strings.TrimSuffix(file, ".yml") + suffix
				if *update {
					if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := readme.Diff(golden, want, []byte(got)); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestSectionsComeInTheKnownOrder(t *testing.T) {
	head := []string{
		"<!-- This page is generated", "## Deprecation notice", "# [linuxserver/everything]",
	}
	for name, c := range map[string]struct {
		page  string
		marks []string
	}{
		"README.md": {render(t, "testdata/everything.yml"), []string{
			"https://example.com/logo.png", "[Everything](https://example.com/everything) shows", "* first extra", "https://example.com/sponsor",
			"[Start it](#start-it)", "## Start it", "### docker-compose", "### docker cli", "## Parameters", "## Optional Parameters",
			"## Application Setup", "## One more block", "## Environment variables from files", "## Umask", "## User / Group Identifiers",
			"## Docker Mods", "## Support Info", "## Updating Info", "### Via Docker Compose", "### Via Docker Run",
			"### Image Update Notifications - Diun", "## Supported Architectures", "## Version Tags", "## Building locally", "```d2", "## Versions",
			"## LinuxServer.io", "team makes container images", "scarf.sh",
		}},
		"the site's page": {site(t, "testdata/everything.yml"), []string{
			"scarf.sh", "[Everything](https://example.com/everything) shows", "* first extra", "https://example.com/sponsor",
			"https://example.com/logo.png", "## Supported Architectures", "## Version Tags", "## Application Setup",
			"## One more block", "## Usage", "### docker-compose", "### docker cli", "## Parameters", "## Optional Parameters",
			"## Environment variables from files", "## Umask", "## User / Group Identifiers",
			"## Docker Mods", "## Support Info", "## Updating Info", "### Via Docker Compose", "### Via Docker Run",
			"### Image Update Notifications - Diun", "## Building locally", "```d2", "## Versions",
		}},
	} {
		at := 0
		for _, mark := range append(slices.Clone(head), c.marks...) {
			next := strings.Index(c.page[at:], mark)
			if next < 0 {
				t.Fatalf("%s: %q is missing, or comes too early", name, mark)
			}
			at += next
		}
	}
}

// Pasted commands must have the values of the variables, whatever they contain.
func TestOddValuesSurviveComposeAndShell(t *testing.T) {
	for _, value := range []string{
		"", "plain", "a b", `"quoted"`, `'quoted'`, `both " and '`, `back\slash`, "$HOME", "`id`", "#comment", "a #comment",
		"key: value", `["a", "b"]`, `{"a": null}`, "*", "!", "a|b&c;d<e>f", "tab\there", "ünï ✅", "~", "colon:", "a=b=c", "two\nlines",
	} {
		vars, err := yaml.Marshal(map[string]any{
			"project_name": "odd", "project_url": "https://example.com", "project_blurb": "Odd.",
			"common_param_env_vars_enabled": false, "opt_param_usage_include_env": true,
			"opt_param_env_vars": []map[string]string{{"env_var": "ODD", "env_value": value, "desc": "Odd."}},
		})
		if err != nil {
			t.Fatal(err)
		}
		v, err := readme.Parse("odd.yml", vars)
		if err != nil {
			t.Fatal(err)
		}
		var compose struct {
			Services map[string]struct{ Environment []string }
		}
		if err := yaml.Unmarshal([]byte(v.Compose()), &compose); err != nil {
			t.Errorf("%q: %v\n%s", value, err, v.Compose())
			continue
		}
		want := []string{"ODD=" + strings.ReplaceAll(value, "$", "$$")}
		if got := compose.Services["odd"].Environment; !slices.Equal(got, want) {
			t.Errorf("compose reads %q, want %q", got, want)
		}
		// No shell stays interactive here, so ! is taken literally.
		script := "docker() { printf '%s\\0' \"$@\"; }\n" + v.CommandLine() + "\n"
		out, err := exec.Command("bash", "-c", script).Output()
		if err != nil {
			t.Errorf("%q: %v\n%s", value, err, script)
			continue
		}
		words := strings.Split(string(out), "\x00")
		if i := slices.Index(words, "-e"); i < 0 || words[i+1] != "ODD="+value {
			t.Errorf("the shell reads %q, want ODD=%q", words, value)
		}
		if words[len(words)-2] != v.Image() {
			t.Errorf("the command ends with %q, want the image", words)
		}
	}
}

// Where compose expects text, a value that YAML would parse as another type is
// quoted; where any type is allowed, it is not.
func TestTextStaysTextInCompose(t *testing.T) {
	for _, value := range []string{"123", "1.5", "0x1f", "1e3", "yes", "Off", "null", "~", "true", "2026-01-01", "22:22", "02:42:11:11:11:11", "plain"} {
		text := fmt.Sprintf("project_name: typed\nproject_url: https://example.com\nproject_blurb: Typed.\n"+
			"param_usage_include_hostname: true\nparam_hostname: %q\nparam_usage_include_mac_address: true\nparam_mac_address: %[1]q\n"+
			"param_usage_include_ports: true\nparam_ports: [{ external_port: %[1]q, internal_port: %[1]q }]\n"+
			"cap_add_param: true\ncap_add_param_vars: [{ cap_add_var: %[1]q }]\n"+
			"custom_params: [{ name: a, value: %[1]q }, { name: b, value: %[1]q, array: true }]\n", value)
		v, err := readme.Parse("typed.yml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		var compose struct {
			Services map[string]map[string]yaml.Node
		}
		if err := yaml.Unmarshal([]byte(v.Compose()), &compose); err != nil {
			t.Fatalf("%q: %v\n%s", value, err, v.Compose())
		}
		service := compose.Services["typed"]
		b, ports, caps := service["b"], service["ports"], service["cap_add"]
		for key, node := range map[string]yaml.Node{
			"hostname": service["hostname"], "mac_address": service["mac_address"], "b": *b.Content[0], "cap_add": *caps.Content[0],
		} {
			if node.ShortTag() != "!!str" || node.Value != value || strings.Contains(value, ":") && node.Style != yaml.DoubleQuotedStyle {
				t.Errorf("%s: %q is read as %s %q", key, value, node.ShortTag(), node.Value)
			}
		}
		if ports.Content[0].ShortTag() != "!!str" || ports.Content[0].Value != value+":"+value {
			t.Errorf("ports: %q is read as %s %q", value, ports.Content[0].ShortTag(), ports.Content[0].Value)
		}
		if a := service["a"]; a.Value != value || a.Style != 0 {
			t.Errorf("a: %q got quotes", value)
		}
	}
}

func TestMissingFilesAreWrongUse(t *testing.T) {
	_, _, err := readme.Load(t.TempDir())
	if failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "readme-vars.yml") {
		t.Errorf("got %v", err)
	}
}

func TestDiffShowsWhatWouldChange(t *testing.T) {
	same := []byte("a\nb\n")
	if diff := readme.Diff(readme.Page, same, same); diff != "" {
		t.Errorf("same text: %q", diff)
	}
	const want = "--- README.md\n+++ README.md (rendered)\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"
	if diff := readme.Diff(readme.Page, same, []byte("a\nc\n")); diff != want {
		t.Errorf("got\n%s\nwant\n%s", diff, want)
	}
	if diff := readme.Diff(readme.Page, []byte("a"), []byte("a\n")); !strings.Contains(diff, "No newline at end of file") {
		t.Errorf("a missing newline goes unseen: %q", diff)
	}
}
