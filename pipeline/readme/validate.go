package readme

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

var (
	projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	guideFile   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.md$`)
)

// validate finds what a page could not be made of although every type is
// right.
func (v *Vars) validate() error {
	var problems []error
	problem := func(path, format string, args ...any) {
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
	if !projectName.MatchString(v.Name) {
		problem("project_name", "want lower-case letters, digits and . _ -, as in an image's name, got %q", v.Name)
	}
	enabled(v.HasBlurbExtras, "project_blurb_optional_extras_enabled", len(v.BlurbExtras), "project_blurb_optional_extras")
	enabled(v.HasVersions, "development_versions", len(v.Versions), "development_versions_items")
	enabled(v.HasSetup, "app_setup_block_enabled", len(v.Setup), "app_setup_block")
	enabled(v.HasBlock1, "optional_block_1", len(v.Block1), "optional_block_1_items")
	value(v.HasHostname.On, "param_usage_include_hostname", v.Hostname, "param_hostname")
	value(v.HasMAC.On, "param_usage_include_mac_address", v.MAC, "param_mac_address")
	value(v.HasNet.On, "param_usage_include_net", v.Net, "param_net")

	seen := map[string]string{}
	for _, twin := range []struct {
		prefix string
		Params
	}{{"", v.Needed}, {"opt_", v.Optional}} {
		list := func(on bool, flag string, entries int, list string) {
			enabled(on, twin.prefix+flag, entries, twin.prefix+list)
		}
		list(twin.HasEnv, "param_usage_include_env", len(twin.Env), "param_env_vars")
		list(twin.HasVolumes, "param_usage_include_vols", len(twin.Volumes), "param_volumes")
		list(twin.HasPorts, "param_usage_include_ports", len(twin.Ports), "param_ports")
		list(twin.HasDevices, "param_device_map", len(twin.Devices), "param_devices")
		list(twin.HasCaps, "cap_add_param", len(twin.Caps), "cap_add_param_vars")
		list(twin.HasSecurity, "security_opt_param", len(twin.Security), "security_opt_param_vars")
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
	for _, e := range inOrder(v.entries(), used, composeOrder[:]) {
		if list, again := lists[e.key]; again && !(list && e.list) {
			problem("custom_params", "%s would be in the compose file twice; where it takes a list, set array: true", e.key)
		}
		lists[e.key] = e.list
	}
	problems = append(problems, v.checkTexts()...)
	problems = append(problems, v.checkCompose())
	for i, c := range v.Changelogs {
		if _, err := time.Parse("02.01.06", strings.TrimSuffix(c.Date, ":")); err != nil {
			problem(fmt.Sprintf("changelogs[%d].date", i), `want a date such as "31.12.26:", got %q`, c.Date)
		}
	}
	return errors.Join(problems...)
}

// checkTexts finds Markdown that would swallow what stands behind it.
func (v *Vars) checkTexts() (problems []error) {
	for _, key := range []string{
		"project_blurb", "project_deprecation_message", "usage_block", "app_setup_block", "optional_block_1_items", "optional_parameters",
		"readonly_message", "nonroot_message", "build_note",
	} {
		node := find(v.doc.Root, key)
		if node == nil {
			continue
		}
		text, at := node.Value, func(line int) int { return lineIn(node, line) }
		if node.Kind == yaml.SequenceNode {
			var lines []string
			for _, item := range node.Content {
				lines = append(lines, item.Value)
			}
			text, at = strings.Join(lines, "\n"), func(line int) int { return node.Content[min(line, len(node.Content))-1].Line }
		}
		problem := func(line int, format string, args ...any) {
			problems = append(problems, v.doc.ProblemAt(at(line), key, format, args...))
		}
		var block codeBlock
		began, comment := 0, 0 // the line on which a block or a comment begins, from 1; no comment is 0
		for n, line := range strings.Split(text, "\n") {
			inside := block != ""
			if comment == 0 && block.has(strings.TrimLeft(line, " >")) {
				if !inside {
					began = n + 1
				}
				continue
			}
			open, end := strings.LastIndex(line, "<!--"), strings.LastIndex(line, "-->")
			if end >= 0 {
				comment = 0
			}
			if open > end && comment == 0 {
				comment = n + 1
			}
		}
		if block != "" {
			problem(began, "the code block that begins here is not closed: add a line %s", block)
		}
		if comment > 0 {
			problem(comment, "the comment that begins here is not closed: add -->")
		}
	}
	return problems
}

// composeLine is the line that an error of the YAML library names.
var composeLine = regexp.MustCompile(`^yaml: (?:unmarshal errors:\s+)?line (\d+): `)

// checkCompose finds a compose file that is none.
func (v *Vars) checkCompose() error {
	if v.CustomCompose == "" {
		return nil
	}
	var file struct {
		Services map[string]yaml.Node `yaml:"services"`
	}
	err := yaml.Unmarshal([]byte(v.CustomCompose), &file)
	if err == nil && len(file.Services) == 0 {
		err = errors.New("it has no services")
	}
	if err == nil {
		return nil
	}
	line := 1
	if m := composeLine.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
	}
	why := strings.Fields(composeLine.ReplaceAllString(err.Error(), ""))
	return v.doc.ProblemAt(lineIn(find(v.doc.Root, "custom_compose"), line), "custom_compose", "not a compose file: %s", strings.Join(why, " "))
}
