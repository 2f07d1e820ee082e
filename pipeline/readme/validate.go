package readme

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

var (
	projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	guideFile   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.md$`)
)

// validate returns an error for values that have the right type but cannot be
// rendered. It reports nothing about mistyped values, which are reported already.
func (v *Vars) validate(mistyped error) error {
	var problems []error
	said := strings.Join(failure.Lines(mistyped), "\n")
	problem := func(path, format string, args ...any) {
		top, _, _ := strings.Cut(path, "[")
		if strings.Contains(said, ": "+path+": ") || strings.Contains(said, ": "+top+": ") || strings.Contains(said, fmt.Sprintf("did you mean %q?", top)) {
			return
		}
		problems = append(problems, v.doc.Problem(path, format, args...))
	}
	enabled := func(on bool, flag string, entries int, list string) {
		switch {
		case on && entries == 0:
			v.Notes = append(v.Notes, fmt.Sprintf("%s: %s is on (line %d), but %s has nothing to show", v.doc.File, flag, v.doc.Line(flag), list))
		case !on && entries > 0 && find(v.doc.Root, flag) == nil:
			problem(list, "no page shows it without %s: set that to true, or to false to hide it", flag)
		}
	}
	value := func(on bool, flag string, text Literal, name string) {
		if on && text == "" {
			problem(flag, "enabled, but %s has nothing to show", name)
		}
	}
	for i, file := range v.GuideFiles {
		if path := fmt.Sprintf("app_setup_pages[%d]", i); !guideFile.MatchString(file) {
			problem(path, "want a Markdown file of this repository such as docs/ldap.md, got %q", file)
		} else if slices.Contains(v.GuideFiles[:i], file) {
			problem(path, "%s is listed twice", file)
		}
	}
	if v.Name != "" && !projectName.MatchString(v.Name) {
		problem("project_name", "want lower-case letters, digits and . _ -, as in an image's name, got %q", v.Name)
	}
	enabled(v.HasBlurbExtras, "project_blurb_optional_extras_enabled", len(v.BlurbExtras), "project_blurb_optional_extras")
	enabled(v.HasVersions, "development_versions", len(v.Versions), "development_versions_items")
	enabled(v.HasSetup, "app_setup_block_enabled", len(v.Setup), "app_setup_block")
	enabled(v.HasBlock1, "optional_block_1", len(v.Block1), "optional_block_1_items")
	enabled(v.External, "external_application_snippet_enabled", len(v.ExternalCLI)+len(v.ExternalCompose), "external_application_compose_block")
	value(v.HasHostname.On, "param_usage_include_hostname", v.Hostname, "param_hostname")
	value(v.HasMAC.On, "param_usage_include_mac_address", v.MAC, "param_mac_address")
	value(v.HasNet.On, "param_usage_include_net", v.Net, "param_net")

	seen := map[string]string{}
	for _, twin := range []struct {
		prefix string
		Params
	}{{"", v.Needed}, {"opt_", v.Optional}} {
		for _, e := range []struct {
			on         bool
			flag, list string
			n          int
		}{
			{twin.HasEnv, "param_usage_include_env", "param_env_vars", len(twin.Env)},
			{twin.HasVolumes, "param_usage_include_vols", "param_volumes", len(twin.Volumes)},
			{twin.HasPorts, "param_usage_include_ports", "param_ports", len(twin.Ports)},
			{twin.HasDevices, "param_device_map", "param_devices", len(twin.Devices)},
			{twin.HasCaps, "cap_add_param", "cap_add_param_vars", len(twin.Caps)},
			{twin.HasSecurity, "security_opt_param", "security_opt_param_vars", len(twin.Security)},
		} {
			enabled(e.on, twin.prefix+e.flag, e.n, twin.prefix+e.list)
		}
		for i, e := range twin.Env {
			path := fmt.Sprintf("%sparam_env_vars[%d].env_var", twin.prefix, i)
			if !envName.MatchString(e.Name) {
				problem(path, "want the name of an environment variable, got %q", e.Name)
			} else if first, twice := seen[e.Name]; twice {
				problem(path, "%s is described a second time; %s is the first", e.Name, first)
			}
			seen[e.Name] = path
		}
		for i, e := range twin.Custom {
			if e.Array.On && strings.Join(e.Value.List, "") == "" {
				problem(fmt.Sprintf("%scustom_params[%d].value", twin.prefix, i), "missing")
			}
		}
	}
	lists := map[string]bool{}
	for _, e := range v.inOrder(composeOrder[:]) {
		if list, again := lists[e.key]; again && !(list && e.list) {
			problem("custom_params", "%s would be in the compose file twice; where it takes a list, set array: true", e.key)
		}
		lists[e.key] = e.list
	}
	problems = append(append(problems, v.checkTexts()...), v.checkCompose())
	for i, c := range v.Changelogs {
		path, date := fmt.Sprintf("changelogs[%d].date", i), strings.TrimSuffix(c.Date, ":")
		_, known := time.Parse("02.01.06", date)
		_, american := time.Parse("01.02.06", date)
		switch {
		case known == nil:
		case american == nil:
			v.Notes = append(v.Notes, fmt.Sprintf("%s: %s (line %d) has the month first: %s", v.doc.File, path, v.doc.Line(path), date))
		default:
			problem(path, `want a date such as "31.12.26:", got %q`, c.Date)
		}
	}
	return errors.Join(problems...)
}

// markdownMark matches the start or end of a code block or a comment. A fence ends
// a block only if nothing follows it.
var markdownMark = regexp.MustCompile("(?m)^[ >]*(```+|~~~+)([ \\t\\r]*$)?|<!--|-->")

// checkTexts reports unclosed Markdown blocks, which would swallow what follows.
func (v *Vars) checkTexts() (problems []error) {
	for _, t := range v.texts() {
		text := *t.value
		problem := func(begin int, format string, args ...any) {
			line := fileLine(find(v.doc.Root, t.key), 1+strings.Count(text[:begin], "\n"))
			problems = append(problems, v.doc.ProblemAt(&yaml.Node{Line: line}, t.key, format, args...))
		}
		end, begin := "", 0 // the end mark of the open code block or comment, and where that starts
		for _, m := range markdownMark.FindAllStringSubmatchIndex(text, -1) {
			mark := text[m[0]:m[1]]
			fence := m[2] >= 0
			if fence {
				mark = text[m[2]:m[3]]
			}
			switch {
			case end == "" && fence:
				end, begin = mark, m[2]
			case end == "" && mark == "<!--":
				end, begin = "-->", m[0]
			case fence && m[4] < 0: // text follows it, so it ends nothing
			case end != "" && strings.HasPrefix(mark, end):
				end = ""
			}
		}
		switch end {
		case "":
		case "-->":
			problem(begin, "the comment that begins here is not closed: add -->")
		default:
			problem(begin, "the code block that begins here is not closed: add a line %s", end)
		}
		if open := callOutStart.FindAllStringIndex(text, -1); len(open) > len(callOutPattern.FindAllString(text, -1)) {
			problem(open[len(open)-1][0], "a call-out is not closed: end it with |)")
		}
	}
	return problems
}

// checkCompose reports an invalid compose file.
func (v *Vars) checkCompose() error {
	if line, err := composeError(v.CustomCompose); err != nil {
		return v.doc.ProblemAt(&yaml.Node{Line: fileLine(find(v.doc.Root, "custom_compose"), line)}, "custom_compose", "%v", err)
	}
	if _, err := composeError(v.Compose()); v.External && v.ExternalCompose != "" && err != nil {
		return v.doc.Problem("external_application_compose_block", "%v", err)
	}
	return nil
}

// composeError returns why a text is not a compose file, and the line of the error.
func composeError(text string) (line int, err error) {
	var file struct {
		Services map[string]yaml.Node `yaml:"services"`
	}
	line, problem := 1, "it has no services"
	if err := yaml.Unmarshal([]byte(text), &file); err != nil {
		line, problem = strictyaml.Syntax([]byte(text), err)
	} else if text == "" || len(file.Services) > 0 {
		return 0, nil
	}
	return line, fmt.Errorf("not a compose file: %s", strings.Join(strings.Fields(problem), " "))
}
