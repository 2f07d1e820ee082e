package readme_test

import (
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
)

func TestMistakesAreNamedWithTheirLine(t *testing.T) {
	// Each case is appended to these four lines.
	const head = "---\nproject_name: bad\nproject_url: https://example.com\nproject_blurb: Bad.\n"
	for _, c := range []struct{ text, want string }{
		{"param_env_var: []", `bad.yml:5: param_env_var: unknown key, did you mean "param_env_vars"?`},
		{"opt_param_port: []", `bad.yml:5: opt_param_port: unknown key, did you mean "opt_param_ports"?`},
		{"\nparam_ports:\n  - { external_port: 1, internal_port: 1, desc: x }\nparam_usage_include_ports: true", `bad.yml:7: param_ports[0].desc: unknown key, did you mean "port_desc"?`},
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
		{"param_usage_include_net: true", "bad.yml:5: param_usage_include_net: enabled, but param_net has nothing to show"},
		{"param_env_vars:\n  - { env_var: 'A B' }\nparam_usage_include_env: true", `bad.yml:6: param_env_vars[0].env_var: want the name of an environment variable, got "A B"`},
		{"param_env_vars: [{ env_var: A }]\nopt_param_env_vars: [{ env_var: A }]\nparam_usage_include_env: true\nopt_param_usage_include_env: false", "bad.yml:6: opt_param_env_vars[0].env_var: A is described a second time; param_env_vars[0].env_var is the first"},
		{"param_volumes: [{ vol_path: /a }]\nparam_usage_include_vols: true", "bad.yml:5: param_volumes[0].vol_host_path: missing"},
		{"changelogs:\n  - { date: 2026-01-01, desc: x }", "bad.yml:6: changelogs[0].date: want text, got a date (2026-01-01); put it in quotes"},
		{"changelogs:\n  - { date: yesterday, desc: x }", `bad.yml:6: changelogs[0].date: want a date such as "31.12.26:", got "yesterday"`},
		{"changelogs:\n  - { date: '31.02.26:', desc: x }", `bad.yml:6: changelogs[0].date: want a date such as "31.12.26:", got "31.02.26:"`},
		{"full_custom_readme: |\n  # x", "bad.yml:5: full_custom_readme: this page is written by hand"},
		{"param_env_vars: [{ env_var: A }]", "bad.yml:5: param_env_vars: no page shows it without param_usage_include_env"},
		{"development_versions_items: [{ tag: a, desc: b }]", "bad.yml:5: development_versions_items: no page shows it without development_versions"},
		{"app_setup_block: x", "bad.yml:5: app_setup_block: no page shows it without app_setup_block_enabled"},
		{"app_setup_block_enabled: true\napp_setup_block: |\n  a\n\n  ```bash\n  b", "bad.yml:9: app_setup_block: the code block that begins here is not closed: add a line ```"},
		{"app_setup_block_enabled: true\napp_setup_block: |\n  a\n  b <!-- c\n  d", "bad.yml:8: app_setup_block: the comment that begins here is not closed: add -->"},
		{"optional_block_1: true\noptional_block_1_items:\n  - a\n  - '```'", "bad.yml:8: optional_block_1_items: the code block that begins here is not closed"},
		{"app_setup_block_enabled: true\napp_setup_block: |\n  a\n  ?+note(|b|)\n  ?+note[c](|d", "bad.yml:9: app_setup_block: a call-out is not closed: end it with |)"},
		{"custom_compose: |\n  ---\n  services:\n    bad: [\n", "bad.yml:"},
		{"custom_compose: |\n  just text", "bad.yml:6: custom_compose: not a compose file: "},
		{"external_application_snippet_enabled: true\nexternal_application_compose_block: |\n  a: [", "bad.yml:6: external_application_compose_block: not a compose file: "},
		{"app_setup_block_enabled: true\napp_setup_block: |\n  a\n\n  {{ nowhere }}", `bad.yml:9: app_setup_block: rendering its Jinja expression: Unable to evaluate name "nowhere"`},
		{"app_setup_block_enabled: true\napp_setup_block: |\n  {{ 1 }}\n  {{ 1/0 }}", "bad.yml:8: app_setup_block: rendering its Jinja expression: it divides by zero, or its result is too large"},
		{"app_setup_block_enabled: true\napp_setup_block: |\n  a\n  {% for i in range(1000000000) %}{% endfor %}", "bad.yml:8: app_setup_block: rendering its Jinja expression: invalid call to function 'range': it does not end"},
		{"project_logo: '{% for i in range(1000) %}{% for j in range(1000) %}{% endfor %}{% endfor %}'", "bad.yml:5: project_logo: rendering its Jinja expression: it does not end"},
		{"project_logo: \"{% for i in range(1000) %}{{ 'xxxxxxxxxx' * 100000 }}{% endfor %}\"", "bad.yml:5: project_logo: rendering its Jinja expression: it does not end"},
		{"project_logo: '{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}'", "bad.yml:5: project_logo: rendering its Jinja expression: \"macro\" is not allowed in a value"},
		{"project_logo: '" + strings.Repeat("{% if 1 %}", 60) + strings.Repeat("{% endif %}", 60) + "'", "bad.yml:5: project_logo: rendering its Jinja expression: it is nested more than 50 levels deep"},
		{"project_logo: '{{ " + strings.Repeat("(", 60) + "1" + strings.Repeat(")", 60) + " }}'", "bad.yml:5: project_logo: rendering its Jinja expression: it is nested more than 50 levels deep"},
		{"param_ports:\n  - { external_port: [1], internal_port: 1 }\nparam_usage_include_ports: true", "bad.yml:6: param_ports[0].external_port: want a single value, got a list"},
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
		"project_nam: x\n":  3, // the missing project_name is not reported too
		"project_name: X\n": 3,
		"bad: 1\nworse: 2\nproject_logo: '{{ x }}'\n": 6, // all in one run
	} {
		_, err := readme.Parse("bad.yml", []byte(text))
		if lines := failure.Lines(err); len(lines) != want {
			t.Errorf("%q: got %d problems, want %d: %q", text, len(lines), want, lines)
		}
	}
	// Errors caused by a mistyped key come after it, and one letter gets no suggestion.
	_, err := readme.Parse("bad.yml", []byte(head+"project_logo: '{{ logo_url }}'\nlogo_urll: x\na: 1\n"))
	lines := failure.Lines(err)
	if len(lines) != 3 || lines[1] != "bad.yml:7: a: unknown key" || !strings.Contains(lines[2], `Unable to evaluate name "logo_url"`) {
		t.Errorf("got %q, want the unknown keys first, then the expression", lines)
	}
}

func TestWhatNoPageShowsIsNoted(t *testing.T) {
	for file, want := range map[string]string{
		"testdata/unraid.yml": "unraid_template (line 6), unraid_template_sync (line 7), unraid_requirement (line 8), build_armhf (line 9)",
		"testdata/gone.yml":   "app_setup_block_enabled is on (line 7), but app_setup_block has nothing to show",
	} {
		if notes := strings.Join(parse(t, file).Notes, "\n"); !strings.Contains(notes, want) {
			t.Errorf("%s: %q, want %q", file, notes, want)
		}
	}
	if notes := parse(t, "testdata/everything.yml").Notes; len(notes) > 0 {
		t.Errorf("everything is shown, but %q", notes)
	}
}
