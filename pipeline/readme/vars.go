// Package readme renders README.md and the documentation site's page from
// readme-vars.yml, which describes an image in linuxserver.io's format, and from the
// Markdown files that it names. It supports every form that the files of
// linuxserver.io's images use, whether this image needs it or not. The pages are
// generated completely, so a comparison shows any drift.
package readme

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

// Vars has the values of readme-vars.yml, with Jinja expressions evaluated.
type Vars struct {
	Name           string    `yaml:"project_name" required:""`
	URL            string    `yaml:"project_url" required:""`
	Logo           string    `yaml:"project_logo"`
	Blurb          string    `yaml:"project_blurb" required:""`
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
	CustomCompose string  `yaml:"custom_compose"` // a whole compose file that replaces the generated one

	External        bool   `yaml:"external_application_snippet_enabled"` // whether it needs another container
	ExternalCLI     string `yaml:"external_application_cli_block"`
	ExternalCompose string `yaml:"external_application_compose_block"`

	HasSetup           bool     `yaml:"app_setup_block_enabled"`
	Setup              string   `yaml:"app_setup_block"`
	GuideFiles         []string `yaml:"app_setup_pages"` // Markdown files in this repository about the setup
	Start              string   `yaml:"usage_block"`     // how to start the container, above the compose file
	BuildNote          string   `yaml:"build_note"`      // note about docker build
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
	Selkies            Switch   `yaml:"selkies_blurb"`
	Kasm               Switch   `yaml:"kasm_blurb"`
	Nvidia             Switch   `yaml:"show_nvidia"`
	HTTPPort           Literal  `yaml:"external_http_port"`
	HTTPSPort          Literal  `yaml:"external_https_port"`
	Narrow             bool     `yaml:"narrow_tables"` // break long names in tables, so that they fit a phone

	InitDiagram string   `yaml:"init_diagram"` // d2
	Changelogs  []Change `yaml:"changelogs"`   // newest first

	// Notes are messages about values that no page shows.
	Notes []string

	doc *strictyaml.Document
}

// Params has the parameters that exist twice: required ones, and optional ones with
// the prefix opt_.
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

// unusedFields has the fields of a parameter that only other programs use.
type unusedFields struct {
	Label   any `yaml:"name"`
	Choices any `yaml:"env_options"`
	Default any `yaml:"default"`
}

// Sponsor is a link for supporting the project.
type Sponsor struct {
	Name string `yaml:"name"`
	URL  string `yaml:"url"`
}

// Architecture is an architecture that the image is published for.
type Architecture struct {
	Arch string `yaml:"arch" required:""`
	Tag  string `yaml:"tag"`
}

// Version is a tag for a line of releases.
type Version struct {
	Tag   Literal `yaml:"tag"`
	Desc  string  `yaml:"desc"`
	Extra any     `yaml:"extra"`
}

// EnvVar is an environment variable of the container.
type EnvVar struct {
	unusedFields `prefix:""`
	Name         string  `yaml:"env_var"`
	Value        Literal `yaml:"env_value"`
	Desc         string  `yaml:"desc"`
}

// Volume is a folder of the host mounted in the container.
type Volume struct {
	unusedFields `prefix:""`
	Path         string `yaml:"vol_path" required:""`
	Host         string `yaml:"vol_host_path" required:""`
	Desc         string `yaml:"desc"`
}

// Port is a port of the container published on the host.
type Port struct {
	unusedFields `prefix:""`
	External     Literal `yaml:"external_port" required:""`
	Internal     Literal `yaml:"internal_port" required:""`
	Desc         string  `yaml:"port_desc"`
}

// Device is a device of the host passed to the container.
type Device struct {
	unusedFields `prefix:""`
	Path         string `yaml:"device_path" required:""`
	Host         string `yaml:"device_host_path" required:""`
	Desc         string `yaml:"desc"`
}

// Cap is a Linux capability.
type Cap struct {
	unusedFields `prefix:""`
	Name         string `yaml:"cap_add_var" required:""`
	Desc         string `yaml:"desc"`
}

// SecurityOption is a value of Docker's security-opt, which may be spelled
// differently on the command line and in compose.
type SecurityOption struct {
	unusedFields `prefix:""`
	Run          string `yaml:"run_var" required:""`
	Compose      string `yaml:"compose_var"`
	Desc         string `yaml:"desc"`
}

// CustomParam is any other option of docker run.
type CustomParam struct {
	Name    string `yaml:"name" required:""`
	Compose string `yaml:"name_compose"`
	Value   Values `yaml:"value"`
	Desc    string `yaml:"desc"`
	Array   Toggle `yaml:"array"` // whether compose expects a list
	Label   any    `yaml:"label"`
}

// Change is an entry of the change log.
type Change struct {
	Date string `yaml:"date"` // dd.mm.yy, a colon may follow
	Desc string `yaml:"desc" required:""`
}

// Toggle is true, false or "optional".
type Toggle struct{ On, Optional bool }

// UnmarshalText parses one of the three words.
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

// Literal is a scalar as written, so that 1000 and 3.20 need no quotes.
type Literal string

// UnmarshalText stores the text.
func (l *Literal) UnmarshalText(text []byte) error {
	*l = Literal(text)
	return nil
}

// Switch is on unless it is false or empty: some files have text instead of true.
type Switch bool

// UnmarshalYAML accepts any value.
func (s *Switch) UnmarshalYAML(node *yaml.Node) error {
	var off bool
	*s = Switch(node.Value != "" || len(node.Content) > 0)
	if node.ShortTag() == "!!bool" && node.Decode(&off) == nil {
		*s = Switch(off)
	}
	return nil
}

// Values is one value, or a list of them.
type Values struct {
	List  []string
	Plain bool // whether it is a single value
}

// UnmarshalYAML reads either form.
func (v *Values) UnmarshalYAML(node *yaml.Node) error {
	switch {
	case node.Kind == yaml.ScalarNode:
		v.List, v.Plain = []string{node.Value}, true
	case node.Kind != yaml.SequenceNode || node.Decode(&v.List) != nil:
		return errors.New("want a value, or a list of values")
	}
	return nil
}

// Lines is text, or a list of lines of text.
type Lines string

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

// otherKeys matches keys of the format that no page uses: they configure other
// programs' templates and the build of the image.
var otherKeys = regexp.MustCompile(`^(unraid_\w+|external_application_unraid_block|build_(armhf|riscv64)|image_(builder|provenance|sbom)|custom_(external|package)_trigger|external_trigger_delay_hours|armhf_native|project_name_short|project_github_\w+|lsio_\w+|github_(user|branch)|release_tag|ls_branch)$`)

// Parse parses the text of a readme-vars.yml; name is the file's name in errors.
// Every error is a failure.Usage in one line, with file and line number. All errors
// are joined, mistyped values first.
func Parse(name string, data []byte) (*Vars, error) {
	doc, err := strictyaml.Parse(name, data)
	if err != nil {
		return nil, err
	}
	v := &Vars{doc: doc, CommonEnv: Toggle{On: true}}
	if doc.Root.Kind != yaml.MappingNode {
		return nil, doc.Decode(v)
	}
	if node := find(doc.Root, "full_custom_readme"); node != nil {
		return nil, doc.ProblemAt(node, "full_custom_readme", "this page is written by hand, so there is nothing to render: remove the key to have it rendered")
	}
	rendered := render(doc)
	v.dropOtherKeys()
	problems := errors.Join(doc.Decode(v), rendered) // mistyped values come first: they may cause the rest
	v.ContainerName = cmp.Or(v.ContainerName, v.Name)
	v.RepoName = cmp.Or(v.RepoName, "docker-"+v.Name)
	v.RepoURL = cmp.Or(v.RepoURL, "https://github.com/linuxserver/"+v.RepoName)
	if v.Deprecated && strings.TrimSpace(v.DeprecationWhy) == "" {
		v.DeprecationWhy = "This image is deprecated. It is not updated any more, and there is no support for it."
	}
	if err := errors.Join(problems, v.validate(problems)); err != nil {
		return nil, err
	}
	v.convertCallOuts()
	return v, nil
}

// find returns the value of a key of a mapping, nil if there is none.
func find(mapping *yaml.Node, key string) *yaml.Node {
	for pair := range slices.Chunk(mapping.Content, 2) {
		if pair[0].Value == key {
			return pair[1]
		}
	}
	return nil
}

// dropOtherKeys removes the keys that no page uses from the document.
func (v *Vars) dropOtherKeys() {
	var kept []*yaml.Node
	var aside []string
	for pair := range slices.Chunk(v.doc.Root.Content, 2) {
		if key := pair[0]; otherKeys.MatchString(key.Value) {
			aside = append(aside, fmt.Sprintf("%s (line %d)", key.Value, key.Line))
			continue
		}
		kept = append(kept, pair...)
	}
	v.doc.Root.Content = kept
	if len(aside) > 0 {
		v.Notes = append(v.Notes, fmt.Sprintf("%s: no page shows %s", v.doc.File, strings.Join(aside, ", ")))
	}
}

// MissingArchitectures returns the well-known architectures that the image lacks.
func (v *Vars) MissingArchitectures() (missing []string) {
	for _, p := range platform.All() {
		if !slices.ContainsFunc(v.Architectures, func(a Architecture) bool { return a.Arch == p.Label }) {
			missing = append(missing, p.Label)
		}
	}
	return missing
}

// HasLatest reports whether the versions include the tag latest.
func (v *Vars) HasLatest() bool {
	return slices.ContainsFunc(v.Versions, func(version Version) bool { return version.Tag == "latest" })
}

// Line returns the line of the value at path in readme-vars.yml, or of the nearest
// enclosing value. Line("init_diagram") is the line of the key; the d2 text starts
// on the next line.
func (v *Vars) Line(path string) int { return v.doc.Line(path) }
