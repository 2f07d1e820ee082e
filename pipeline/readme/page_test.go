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

// The pages of made-up images. `go test ./pipeline/readme -update` writes them
// anew; read the difference before you commit it.
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
				for range 20 {
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

// What people paste has to mean what the variables say, whatever is in them.
func TestOddValuesSurviveComposeAndShell(t *testing.T) {
	for _, value := range []string{
		"", "plain", "a b", `"quoted"`, `'quoted'`, `both " and '`, `back\slash`, "$HOME", "`id`", "#comment", "a #comment",
		"key: value", `["a", "b"]`, `{"a": null}`, "*", "!", "a|b&c;d<e>f", "tab\there", "ünï ✅", "~", "colon:", "a=b=c", "two\nlines",
	} {
		vars, err := yaml.Marshal(map[string]any{
			"project_name": "odd", "project_url": "https://example.com", "project_blurb": "Odd.",
			"opt_param_usage_include_env": true,
			"opt_param_env_vars":          []map[string]string{{"env_var": "ODD", "env_value": value, "desc": "Odd."}},
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

// Where compose wants text, a value that YAML takes for something else gets
// quotes; where it may be anything, it stays what it is.
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

func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	// Each case is appended to these four lines.
	const head = "---\nproject_name: bad\nproject_url: https://example.com\nproject_blurb: Bad.\n"
	for _, c := range []struct{ text, want string }{
		{"param_env_var: []", `bad.yml:5: param_env_var: unknown key, did you mean "param_env_vars"?`},
		{"opt_param_port: []", `bad.yml:5: opt_param_port: unknown key, did you mean "opt_param_ports"?`},
		{"\nparam_ports:\n  - { external_port: 1, internal_port: 1, desc: x }", `bad.yml:7: param_ports[0].desc: unknown key, did you mean "port_desc"?`},
		{"param_env_vars: yes please", "bad.yml:5: param_env_vars: want a list, got text (yes please)"},
		{"app_setup_block_enabled: maybe", "bad.yml:5: app_setup_block_enabled: want true or false, got text (maybe)"},
		{"privileged: maybe", `bad.yml:5: privileged: want true, false or "optional", got "maybe"`},
		{"project_logo: 12", "bad.yml:5: project_logo: want text, got a whole number (12); put it in quotes"},
		{"project_logo: {{ project_name }}", "bad.yml:5: project_logo: want text, got keys with values; text that begins with { or [ needs quotes"},
		{"project_logo: [a", "bad.yml:5: not valid YAML: "},
		{"optional_block_1_items: {a: b}", "bad.yml:5: optional_block_1_items: want text or a list of text"},
		{"project_logo: a\nproject_logo: b", "bad.yml:6: project_logo: set a second time; line 5 has it too"},
		{"project_logo: '{{ nowhere }}'", `bad.yml:5: project_logo: rendering its Jinja expression: Unable to evaluate name "nowhere"`},
		{"project_logo: '{{ project_name'", "bad.yml:5: project_logo: rendering its Jinja expression: '}}' expected here"},
		{"project_logo: '{{ project_name|shout }}'", "bad.yml:5: project_logo: rendering its Jinja expression: filter 'shout' not found"},
		{"project_logo: \"{% include '/etc/passwd' %}\"", "bad.yml:5: project_logo: rendering its Jinja expression: \"include\" is not allowed in a value: use one of if, for, set, raw, with, filter"},
		{"project_logo: '{{ 7 % 0 }}'", "bad.yml:5: project_logo: rendering its Jinja expression: the expression cannot be evaluated: "},
		{"project_logo: '{{ param_net }}'\nparam_net: '{{ project_logo }}'", "bad.yml:5: project_logo: rendering its Jinja expression: refers to itself by way of project_logo, param_net"},
		{"param_usage_include_env: true", "bad.yml:5: param_usage_include_env: enabled, but param_env_vars has nothing to show"},
		{"development_versions: true", "bad.yml:5: development_versions: enabled, but development_versions_items has nothing to show"},
		{"param_env_vars:\n  - { env_var: 'A B' }", `bad.yml:6: param_env_vars[0].env_var: want the name of an environment variable, got "A B"`},
		{"param_env_vars: [{ env_var: A }]\nopt_param_env_vars: [{ env_var: A }]", "bad.yml:6: opt_param_env_vars[0].env_var: A is described a second time; param_env_vars[0].env_var is the first"},
		{"param_volumes: [{ vol_path: /a }]", "bad.yml:5: param_volumes[0].vol_host_path: missing"},
		{"changelogs:\n  - { date: 2026-01-01, desc: x }", "bad.yml:6: changelogs[0].date: want text, got a date (2026-01-01); put it in quotes"},
		{"changelogs:\n  - { date: yesterday, desc: x }", `bad.yml:6: changelogs[0].date: want a date such as "31.12.26:", got "yesterday"`},
		{"custom_params: [{ name: ulimit, value: a }, { name: ulimit, value: b }]", "bad.yml:5: custom_params: ulimit would be in the compose file twice"},
	} {
		_, err := readme.Parse("bad.yml", []byte(head+c.text+"\n"))
		lines := failure.Lines(err)
		if len(lines) != 1 || !strings.HasPrefix(lines[0], c.want) {
			t.Errorf("%s\ngot  %q\nwant %q", c.text, lines, c.want)
		}
		if failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%s: exit code %d, want %d", c.text, failure.ExitCode(err), failure.ExitUsage)
		}
	}
	for text, want := range map[string]int{
		"":                  1,
		"- a list\n":        1,
		"project_nam: x\n":  1, // the types first, then what is missing
		"project_name: X\n": 3,
		"bad: 1\nworse: 2\nproject_logo: '{{ x }}'\n": 3,
	} {
		_, err := readme.Parse("bad.yml", []byte(text))
		if lines := failure.Lines(err); len(lines) != want {
			t.Errorf("%q: got %d problems, want %d: %q", text, len(lines), want, lines)
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
