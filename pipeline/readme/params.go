package readme

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kind is the kind of a parameter.
type kind int

const (
	privileged kind = iota
	hostname
	macAddress
	network
	capability
	securityOption
	environment
	volume
	port
	device
	custom
	tableOnly // only in a table
)

// The orders of the kinds in the three places.
var (
	composeOrder = [...]kind{privileged, hostname, macAddress, network, capability, securityOption, environment, volume, port, device, custom}
	cliOrder     = [...]kind{hostname, macAddress, network, privileged, capability, securityOption, environment, port, volume, device, custom}
	tableOrder   = [...]kind{hostname, macAddress, network, port, environment, volume, device, privileged, capability, securityOption, custom, tableOnly}
)

// entry is one parameter in the form of each of the three places.
type entry struct {
	kind     kind
	key      string // in compose
	list     bool   // the value of key is a list
	value    string // in compose
	flag     string // on the command line, quoted
	Param    string // in a table
	Desc     string // description in a table
	optional bool
	repeated bool // another value of the previous entry; a table shows only the first
}

// entries returns all enabled parameters.
func (v *Vars) entries() []entry {
	var all []entry
	add := func(e entry) {
		if e.optional {
			e.Desc = strings.TrimSpace("_Optional._ " + e.Desc)
		}
		all = append(all, e)
	}
	scalar := func(on Toggle, k kind, key, option string, value Literal, desc string) {
		param := "--" + option + "="
		if k == network {
			param += string(value)
		}
		if on.On {
			add(entry{kind: k, key: key, value: string(value), flag: "--" + option + "=" + shellQuote(string(value)), Param: param, Desc: desc, optional: on.Optional})
		}
	}
	scalar(v.HasHostname, hostname, "hostname", "hostname", v.Hostname, v.HostnameDesc)
	scalar(v.HasMAC, macAddress, "mac_address", "mac-address", v.MAC, v.MACDesc)
	scalar(v.HasNet, network, "network_mode", "net", v.Net, v.NetDesc)
	if v.Privileged.On {
		add(entry{kind: privileged, key: "privileged", value: "true", flag: "--privileged", Param: "--privileged",
			Desc: "Grants the container all capabilities and all devices of the host.", optional: v.Privileged.Optional})
	}
	env := func(e EnvVar, optional bool) {
		value := e.Name + "=" + string(e.Value)
		add(entry{kind: environment, key: "environment", list: true, value: value, flag: "-e " + e.Name + "=" + shellQuote(string(e.Value)), Param: "-e " + value, Desc: e.Desc, optional: optional})
	}
	if v.CommonEnv.On {
		for _, e := range []EnvVar{
			{Name: "PUID", Value: "1000", Desc: "User id the application runs as, [explained below](#user--group-identifiers)."},
			{Name: "PGID", Value: "1000", Desc: "Group id the application runs as, [explained below](#user--group-identifiers)."},
			{Name: "TZ", Value: "Etc/UTC", Desc: "Time zone, by its name in [this list](https://en.wikipedia.org/wiki/List_of_tz_database_time_zones#List)."},
		} {
			env(e, v.CommonEnv.Optional)
		}
	}
	for _, twin := range []struct {
		Params
		optional bool
	}{{v.Needed, false}, {v.Optional, true}} {
		list := func(on bool, k kind, key, option, value, param, desc string) {
			if on {
				add(entry{kind: k, key: key, list: true, value: value, flag: option + shellQuote(value), Param: option + param, Desc: desc, optional: twin.optional})
			}
		}
		for _, e := range twin.Env {
			// The common three may be listed again; they are shown once.
			common := v.CommonEnv.On && (e.Name == "PUID" || e.Name == "PGID" || e.Name == "TZ")
			if twin.HasEnv && !common {
				env(e, twin.optional)
			}
		}
		for _, e := range twin.Volumes {
			list(twin.HasVolumes, volume, "volumes", "-v ", e.Host+":"+e.Path, e.Path, e.Desc)
		}
		for _, e := range twin.Ports {
			mapping := string(e.External + ":" + e.Internal)
			param := mapping
			if twin.optional { // as the format defines: users choose the port of the host
				param = string(e.Internal)
			}
			list(twin.HasPorts, port, "ports", "-p ", mapping, param, e.Desc)
		}
		for _, e := range twin.Devices {
			list(twin.HasDevices, device, "devices", "--device ", e.Host+":"+e.Path, e.Path, e.Desc)
		}
		for _, e := range twin.Caps {
			list(twin.HasCaps, capability, "cap_add", "--cap-add=", e.Name, e.Name, e.Desc)
		}
		for _, e := range twin.Security {
			if twin.HasSecurity {
				add(entry{kind: securityOption, key: "security_opt", list: true, value: cmp.Or(e.Compose, e.Run),
					flag: "--security-opt " + shellQuote(e.Run), Param: "--security-opt " + e.Run, Desc: e.Desc, optional: twin.optional})
			}
		}
		for _, e := range twin.Custom {
			key, flag := cmp.Or(e.Compose, strings.ReplaceAll(e.Name, "-", "_")), "--"+e.Name
			param := flag + "="
			values := e.Value.List
			if strings.Join(values, "") == "" {
				values, param = []string{""}, flag
			}
			for n, value := range values {
				line := entry{kind: custom, key: key, list: e.Array.On || !e.Value.Plain && len(e.Value.List) > 0, value: value, flag: flag, Param: param, Desc: e.Desc, optional: twin.optional, repeated: n > 0}
				if value != "" {
					line.flag += "=" + shellQuote(value)
				} else {
					line.value = "true"
				}
				add(line)
			}
		}
	}
	rows := func(on bool, name, param, desc string) {
		if on && !slices.ContainsFunc(all, func(e entry) bool { return e.kind == custom && e.key == name }) {
			add(entry{kind: tableOnly, Param: param, Desc: desc})
		}
	}
	rows(v.ReadOnly, "read_only", "--read-only=true", "Runs the container with a [read-only file system](#read-only-operation).")
	rows(v.NonRoot, "user", "--user=1000:1000", "Runs the container as [a user other than root](#non-root-operation).")
	return all
}

// inOrder returns the entries of the kinds in order, sorted stably by kind.
func (v *Vars) inOrder(order []kind) []entry {
	sorted := slices.DeleteFunc(v.entries(), func(e entry) bool { return !slices.Contains(order, e.kind) })
	slices.SortStableFunc(sorted, func(a, b entry) int { return slices.Index(order, a.kind) - slices.Index(order, b.kind) })
	return sorted
}

// rows returns the entries of a table.
func (v *Vars) rows() []entry {
	return slices.DeleteFunc(v.inOrder(tableOrder[:]), func(e entry) bool { return e.repeated })
}

// Image returns the image reference that users pull.
func (v *Vars) Image() string { return "lscr.io/linuxserver/" + v.Name + ":latest" }

// Compose returns a compose file with every parameter, or the custom one in the
// variables.
func (v *Vars) Compose() string {
	if v.CustomCompose != "" {
		return strings.TrimSpace(v.CustomCompose) + v.externalCompose()
	}
	file := fmt.Sprintf("---\nservices:\n  %s:\n    image: %s\n    container_name: %s\n", v.ContainerName, v.Image(), v.ContainerName)
	var keys []string
	text := map[string]string{}
	for _, e := range v.inOrder(composeOrder[:]) {
		line := yamlQuote(e.value, e.kind == privileged || e.kind == custom && !e.list)
		if e.optional {
			line += " #optional"
		}
		if text[e.key] == "" {
			keys = append(keys, e.key)
			text[e.key] = "    " + e.key + ":"
		}
		if e.list {
			line = "\n      - " + line
		} else {
			line = " " + line
		}
		text[e.key] += line
	}
	for _, key := range keys {
		file += text[key] + "\n"
	}
	return file + "    restart: unless-stopped" + v.externalCompose()
}

// external is the comment above another container that the image needs.
const external = "This container needs another application, which runs in a container of its own:"

// externalCompose returns the other application's part of the compose file. The
// variable may omit the services key.
func (v *Vars) externalCompose() string {
	block := strings.Trim(v.ExternalCompose, "\n")
	if !v.External || strings.TrimSpace(block) == "" {
		return ""
	}
	block = strings.TrimPrefix(strings.TrimPrefix(block, "---\n"), "services:\n")
	if !strings.HasPrefix(block, " ") {
		block = "  " + strings.ReplaceAll(block, "\n", "\n  ")
	}
	return "\n  # " + external + "\n" + block
}

// CommandLine returns a docker command that starts the application like the compose
// file, with the same variables. The mark of an optional parameter is a command
// substitution that contains only a comment, so a shell drops it.
func (v *Vars) CommandLine() string {
	lines := []string{"docker run -d", "--name=" + v.ContainerName}
	given := v.composeEnv()
	for _, e := range v.inOrder(cliOrder[:]) {
		line := e.flag
		if name, _, _ := strings.Cut(e.value, "="); e.optional && e.kind == environment && len(given) > 0 {
			if _, shown := given[name]; !shown {
				continue // the compose file omits it too; the table shows it
			}
		}
		if name, isEmpty := strings.CutSuffix(e.value, "="); isEmpty && e.kind == environment {
			line += shellQuote(given[name])
		}
		if e.optional {
			line += " `#optional`"
		}
		lines = append(lines, line)
	}
	lines = append(lines, "--restart unless-stopped", v.Image())
	command := strings.Join(lines, " \\\n  ")
	if block := strings.TrimSpace(v.ExternalCLI); v.External && block != "" {
		command += "\n\n# " + external + "\n" + block
	}
	return command
}

// composeEnv returns the environment that the custom compose file sets for the
// application.
func (v *Vars) composeEnv() map[string]string {
	var file struct {
		Services map[string]struct {
			Image       string    `yaml:"image"`
			Environment yaml.Node `yaml:"environment"`
		} `yaml:"services"`
	}
	if yaml.Unmarshal([]byte(v.CustomCompose), &file) != nil {
		return nil // reported by checkCompose
	}
	given := map[string]string{}
	service, named := file.Services[v.ContainerName]
	for _, other := range file.Services {
		if !named && other.Image == v.Image() {
			service = other
		}
	}
	node := service.Environment
	var list []string
	if node.Decode(&list) == nil {
		for _, variable := range list {
			name, value, _ := strings.Cut(variable, "=")
			given[name] = strings.ReplaceAll(value, "$$", "$")
		}
	} else {
		_ = node.Decode(&given)
	}
	return given
}

// yamlQuote quotes value so that compose reads it back unchanged: as text, or as any
// type if anything is set. It doubles $ because compose replaces variables.
func yamlQuote(value string, anything bool) string {
	value = strings.ReplaceAll(value, "$", "$$")
	var of any = value
	if anything {
		of = &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	}
	if plain, err := yaml.Marshal(of); err == nil && string(plain) == value+"\n" && !strings.ContainsAny(value, " \"'\\#") {
		return value
	}
	quoted, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Style: yaml.DoubleQuotedStyle, Value: value})
	if err != nil {
		panic(err) // marshalling text cannot fail
	}
	return strings.TrimSpace(string(quoted))
}

// shellQuote quotes value so that a shell reads it back unchanged.
func shellQuote(value string) string {
	switch {
	case strings.ContainsAny(value, "\"$`\\!\n"):
		return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	case strings.ContainsAny(value, " \t'#&|;<>()*?[]{}~"):
		return `"` + value + `"`
	}
	return value
}
