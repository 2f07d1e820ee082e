// Package readme turns readme-vars.yml, the facts about an image in
// linuxserver.io's format, into the pages people read. Nothing in the pages is
// written by hand, so the check that they are up to date is a comparison.
package readme

import (
	"encoding"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

// Vars is what readme-vars.yml says, every Jinja expression in it rendered.
type Vars struct {
	Name           string    `yaml:"project_name"`
	URL            string    `yaml:"project_url"`
	Logo           string    `yaml:"project_logo"`
	Blurb          string    `yaml:"project_blurb"`
	BlurbExtras    []string  `yaml:"project_blurb_optional_extras"`
	HasBlurbExtras bool      `yaml:"project_blurb_optional_extras_enabled"`
	RepoName       string    `yaml:"project_repo_name"`
	RepoURL        string    `yaml:"project_lsio_github_repo_url"`
	Categories     string    `yaml:"project_categories"` // separated by commas
	Deprecated     bool      `yaml:"project_deprecation_status"`
	DeprecationWhy string    `yaml:"project_deprecation_message"`
	Sponsors       []Sponsor `yaml:"sponsor_links"`

	Architectures []Architecture `yaml:"available_architectures"`
	HasVersions   bool           `yaml:"development_versions"`
	Versions      []Version      `yaml:"development_versions_items"`

	ContainerName string  `yaml:"param_container_name"`
	CommonEnv     Toggle  `yaml:"common_param_env_vars_enabled"`
	HasHostname   Toggle  `yaml:"param_usage_include_hostname"`
	Hostname      Literal `yaml:"param_hostname"`
	HostnameDesc  string  `yaml:"param_hostname_desc"`
	HasMAC        Toggle  `yaml:"param_usage_include_mac_address"`
	MAC           Literal `yaml:"param_mac_address"`
	MACDesc       string  `yaml:"param_mac_address_desc"`
	HasNet        Toggle  `yaml:"param_usage_include_net"`
	Net           Literal `yaml:"param_net"`
	NetDesc       string  `yaml:"param_net_desc"`
	Privileged    Toggle  `yaml:"privileged"`
	Needed        Params  `prefix:""`
	Optional      Params  `prefix:"opt_"`
	CustomCompose string  `yaml:"custom_compose"` // a whole compose file, shown instead of the generated one

	HasSetup           bool     `yaml:"app_setup_block_enabled"`
	Setup              string   `yaml:"app_setup_block"`
	GuideFiles         []string `yaml:"app_setup_pages"` // Markdown in this repository that belongs to it
	Start              string   `yaml:"usage_block"`     // how to start the container, above the compose file
	BuildNote          string   `yaml:"build_note"`      // what to know of building it with docker build
	HasBlock1          bool     `yaml:"optional_block_1"`
	Block1             Lines    `yaml:"optional_block_1_items"`
	OptionalParameters Lines    `yaml:"optional_parameters"`
	ReadOnly           bool     `yaml:"readonly_supported"`
	ReadOnlyMessage    string   `yaml:"readonly_message"`
	NonRoot            bool     `yaml:"nonroot_supported"`
	NonRootMessage     string   `yaml:"nonroot_message"`
	HWAccel            bool     `yaml:"readme_hwaccel"`
	Keyboard           bool     `yaml:"readme_keyboard"`
	Media              bool     `yaml:"readme_media"`
	Seccomp            bool     `yaml:"readme_seccomp"`

	InitDiagram string   `yaml:"init_diagram"` // d2
	Changelogs  []Change `yaml:"changelogs"`   // newest first

	doc *strictyaml.Document
}

// Params are the parameters that come twice: plain, and with opt_ before their
// names for those that a container can do without.
type Params struct {
	HasEnv      bool             `yaml:"param_usage_include_env"`
	Env         []EnvVar         `yaml:"param_env_vars"`
	HasVolumes  bool             `yaml:"param_usage_include_vols"`
	Volumes     []Volume         `yaml:"param_volumes"`
	HasPorts    bool             `yaml:"param_usage_include_ports"`
	Ports       []Port           `yaml:"param_ports"`
	HasDevices  bool             `yaml:"param_device_map"`
	Devices     []Device         `yaml:"param_devices"`
	HasCaps     bool             `yaml:"cap_add_param"`
	Caps        []Cap            `yaml:"cap_add_param_vars"`
	HasSecurity bool             `yaml:"security_opt_param"`
	Security    []SecurityOption `yaml:"security_opt_param_vars"`
	Custom      []CustomParam    `yaml:"custom_params"`
}

// Sponsor is a link under which the project can be supported.
type Sponsor struct {
	Name string `yaml:"name"`
	URL  string `yaml:"url"`
}

// Architecture is one that the image is published for.
type Architecture struct {
	Arch string `yaml:"arch"`
	Tag  string `yaml:"tag"`
}

// Version is a tag that stands for a line of releases.
type Version struct {
	Tag  Literal `yaml:"tag"`
	Desc string  `yaml:"desc"`
}

// EnvVar is an environment variable of the container.
type EnvVar struct {
	Name  string  `yaml:"env_var"`
	Value Literal `yaml:"env_value"`
	Desc  string  `yaml:"desc"`
}

// Volume is a folder of the host seen in the container.
type Volume struct {
	Path string `yaml:"vol_path"`
	Host string `yaml:"vol_host_path"`
	Desc string `yaml:"desc"`
}

// Port is a port of the container published on the host.
type Port struct {
	External Literal `yaml:"external_port"`
	Internal Literal `yaml:"internal_port"`
	Desc     string  `yaml:"port_desc"`
}

// Device is a device of the host given to the container.
type Device struct {
	Path string `yaml:"device_path"`
	Host string `yaml:"device_host_path"`
	Desc string `yaml:"desc"`
}

// Cap is a Linux capability.
type Cap struct {
	Name string `yaml:"cap_add_var"`
	Desc string `yaml:"desc"`
}

// SecurityOption is one value of Docker's security-opt, which the command line
// and compose may spell differently.
type SecurityOption struct {
	Run     string `yaml:"run_var"`
	Compose string `yaml:"compose_var"`
	Desc    string `yaml:"desc"`
}

// CustomParam is any other option of docker run.
type CustomParam struct {
	Name    string  `yaml:"name"`
	Compose string  `yaml:"name_compose"`
	Value   Literal `yaml:"value"`
	Desc    string  `yaml:"desc"`
	Array   Toggle  `yaml:"array"` // compose takes a list here
}

// Change is an entry of the change log.
type Change struct {
	Date string `yaml:"date"` // dd.mm.yy, a colon may follow
	Desc string `yaml:"desc"`
}

// Toggle is true, false or "optional".
type Toggle struct{ On, Optional bool }

var _ encoding.TextUnmarshaler = (*Toggle)(nil)

// UnmarshalText reads one of the three words.
func (t *Toggle) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true":
		*t = Toggle{On: true}
	case "optional":
		*t = Toggle{On: true, Optional: true}
	case "false", "":
		*t = Toggle{}
	default:
		return fmt.Errorf(`want true, false or "optional", got %q`, text)
	}
	return nil
}

// Literal is a scalar kept as it is written, so that 1000 and 3.20 need no
// quotes.
type Literal string

func (l Literal) String() string { return string(l) }

// UnmarshalText keeps the text.
func (l *Literal) UnmarshalText(text []byte) error {
	*l = Literal(text)
	return nil
}

// Lines is text, or a list of lines of text.
type Lines string

func (l Lines) String() string { return string(l) }

// UnmarshalYAML reads either form.
func (l *Lines) UnmarshalYAML(node *yaml.Node) error {
	var items []string
	switch {
	case node.ShortTag() == "!!str":
		*l = Lines(node.Value)
		return nil
	case node.Kind == yaml.SequenceNode && node.Decode(&items) == nil:
		*l = Lines(strings.Join(items, "\n"))
		return nil
	}
	return errors.New("want text or a list of text")
}

// Parse reads the text of a readme-vars.yml; name is how messages call it.
// Every error is a failure.Usage on one line with file and line number; all
// of them are joined.
func Parse(name string, data []byte) (*Vars, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return nil, err
	}
	v := &Vars{doc: doc}
	if err := errors.Join(render(doc), doc.Decode(v)); err != nil {
		return nil, err
	}
	if v.ContainerName == "" {
		v.ContainerName = v.Name
	}
	if v.RepoName == "" {
		v.RepoName = "docker-" + v.Name
	}
	if v.RepoURL == "" {
		v.RepoURL = "https://github.com/linuxserver/" + v.RepoName
	}
	if err := v.validate(); err != nil {
		return nil, err
	}
	return v, nil
}

// Line gives the line of readme-vars.yml on which the value at path stands, or
// the one nearest around it: Line("init_diagram") is where the graph's block
// begins, its first line of d2 being the one below.
func (v *Vars) Line(path string) int { return v.doc.Line(path) }

var (
	projectName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	guideFile   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*\.md$`)
	changeDate  = regexp.MustCompile(`^\d\d\.\d\d\.\d\d:?$`)
)

// validate finds what a page could not be made of although every type is
// right.
func (v *Vars) validate() error {
	var problems []error
	problem := func(path, format string, args ...any) {
		problems = append(problems, v.doc.Problem(path, format, args...))
	}
	require := func(path, value string) {
		if strings.TrimSpace(value) == "" {
			problem(path, "missing")
		}
	}
	enabled := func(on bool, flag string, entries int, list string) {
		if on && entries == 0 {
			problem(flag, "enabled, but %s has nothing to show", list)
		}
	}
	require("project_name", v.Name)
	for i, file := range v.GuideFiles {
		if path := fmt.Sprintf("app_setup_pages[%d]", i); !guideFile.MatchString(file) {
			problem(path, "want a Markdown file of this repository such as docs/ldap.md, got %q", file)
		} else if slices.Contains(v.GuideFiles[:i], file) {
			problem(path, "%s is listed twice", file)
		}
	}
	if v.Name != "" && !projectName.MatchString(v.Name) {
		problem("project_name", "want small letters, digits and . _ -, as in an image's name, got %q", v.Name)
	}
	require("project_url", v.URL)
	require("project_blurb", v.Blurb)
	for i, a := range v.Architectures {
		require(fmt.Sprintf("available_architectures[%d].arch", i), a.Arch)
		require(fmt.Sprintf("available_architectures[%d].tag", i), a.Tag)
	}
	enabled(v.HasBlurbExtras, "project_blurb_optional_extras_enabled", len(v.BlurbExtras), "project_blurb_optional_extras")
	enabled(v.HasVersions, "development_versions", len(v.Versions), "development_versions_items")
	enabled(v.HasSetup, "app_setup_block_enabled", len(v.Setup), "app_setup_block")
	enabled(v.HasBlock1, "optional_block_1", len(v.Block1), "optional_block_1_items")
	enabled(v.Deprecated, "project_deprecation_status", len(v.DeprecationWhy), "project_deprecation_message")
	enabled(v.HasHostname.On, "param_usage_include_hostname", len(v.Hostname), "param_hostname")
	enabled(v.HasMAC.On, "param_usage_include_mac_address", len(v.MAC), "param_mac_address")
	enabled(v.HasNet.On, "param_usage_include_net", len(v.Net), "param_net")

	seen := map[string]string{}
	for _, twin := range []struct {
		prefix string
		Params
	}{{"", v.Needed}, {"opt_", v.Optional}} {
		at := func(list string, i int, field string) string {
			return fmt.Sprintf("%s%s[%d].%s", twin.prefix, list, i, field)
		}
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
			path := at("param_env_vars", i, "env_var")
			if !envName.MatchString(e.Name) {
				problem(path, "want the name of an environment variable, got %q", e.Name)
			} else if first, twice := seen[e.Name]; twice {
				problem(path, "%s is described a second time; %s is the first", e.Name, first)
			}
			seen[e.Name] = path
		}
		for i, e := range twin.Volumes {
			require(at("param_volumes", i, "vol_path"), e.Path)
			require(at("param_volumes", i, "vol_host_path"), e.Host)
		}
		for i, e := range twin.Ports {
			require(at("param_ports", i, "external_port"), string(e.External))
			require(at("param_ports", i, "internal_port"), string(e.Internal))
		}
		for i, e := range twin.Devices {
			require(at("param_devices", i, "device_path"), e.Path)
			require(at("param_devices", i, "device_host_path"), e.Host)
		}
		for i, e := range twin.Caps {
			require(at("cap_add_param_vars", i, "cap_add_var"), e.Name)
		}
		for i, e := range twin.Security {
			require(at("security_opt_param_vars", i, "run_var"), e.Run)
		}
		for i, e := range twin.Custom {
			require(at("custom_params", i, "name"), e.Name)
			if e.Array.On {
				require(at("custom_params", i, "value"), string(e.Value))
			}
		}
	}
	lists := map[string]bool{}
	for _, e := range v.entries() {
		if list, again := lists[e.key]; again && !(list && e.list) {
			problem("custom_params", "%s would be in the compose file twice; where it takes a list, set array: true", e.key)
		}
		lists[e.key] = e.list
	}
	for i, c := range v.Changelogs {
		if !changeDate.MatchString(c.Date) {
			problem(fmt.Sprintf("changelogs[%d].date", i), `want a date such as "31.12.26:", got %q`, c.Date)
		}
		require(fmt.Sprintf("changelogs[%d].desc", i), c.Desc)
	}
	return errors.Join(problems...)
}
