// Package environ reads the machine's configuration of package clients, which RUN
// instructions need as well: certificates, proxies and pip's settings.
package environ

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// Environment holds the environment variables of a process by name.
type Environment map[string]string

// IDs of the secrets that a RUN may mount. A secret without a file on the machine
// is not passed, which RUN --mount=type=secret accepts.
const (
	SecretCA  = "ca-certificates" // the trusted CA certificates
	SecretPip = "pip-conf"        // pip's index, proxy and trust settings
)

// Parse parses a list in the format of os.Environ.
func Parse(environ []string) Environment {
	env := Environment{}
	for _, kv := range environ {
		if k, v, ok := strings.Cut(kv, "="); ok {
			env[k] = v
		}
	}
	return env
}

// List returns the variables in the format of os.Environ, sorted by name.
func (env Environment) List() []string {
	list := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		list = append(list, name+"="+env[name])
	}
	return list
}

const systemBundle = "/etc/ssl/certs/ca-certificates.crt"

// CABundle returns the file of the CA certificates that this machine trusts, or "".
func (env Environment) CABundle() string {
	for _, path := range []string{env["SSL_CERT_FILE"], systemBundle} {
		if path != "" && isFile(path) {
			return path
		}
	}
	return ""
}

// BuildArgs returns the arguments of a build except BASE_IMAGE: those of the
// request, the CPU model of the emulator, if any, and BuildKit's predefined proxy
// arguments, which reach every RUN but not the image. Others can see them where
// seen says, so a proxy with a password in its URL is skipped with a warning.
func (env Environment) BuildArgs(req engine.BuildRequest, cpu, seen string, log io.Writer) map[string]string {
	args := map[string]string{}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"} {
		for _, n := range []string{name, strings.ToLower(name)} {
			v := env[n]
			if v == "" {
				continue
			}
			if strings.Contains(v, "@") { // not url.Parse: it rejects a proxy without a scheme
				fmt.Fprintf(log, "%s is not passed on to RUN: it holds a password, which would be seen in %s\n", n, seen)
				continue
			}
			args[n] = v
		}
	}
	if cpu != "" {
		args["QEMU_CPU"] = cpu
	}
	if !req.Epoch.IsZero() {
		args["SOURCE_DATE_EPOCH"] = strconv.FormatInt(req.Epoch.Unix(), 10)
	}
	maps.Copy(args, req.Args)
	return args
}

// pipSettings lists the settings of package sources and trust. Settings that hold
// a directory of this machine are useless inside a RUN.
var pipSettings = []string{"index-url", "extra-index-url", "proxy", "trusted-host", "timeout", "retries"}

// PipConf returns the effective pip configuration of this machine as a pip.conf,
// limited to what a RUN can use, or nil. Later sources win, as with pip: the
// system's file, the user's files, PIP_CONFIG_FILE, then PIP_* variables.
func (env Environment) PipConf() []byte {
	settings := map[string]string{}
	read := func(path string) {
		text, _ := os.ReadFile(path) // a missing file has no settings
		section, last := "", ""
		for whole := range strings.Lines(string(text)) {
			line := strings.TrimSpace(whole)
			switch {
			case line == "" || line[0] == '#' || line[0] == ';':
			case line[0] == '[':
				section, last = strings.Trim(line, "[]"), ""
			case section != "global" && section != "install" && section != "download":
			case (whole[0] == ' ' || whole[0] == '\t') && last != "":
				settings[last] = strings.TrimSpace(settings[last] + "\n    " + line)
			default:
				if k, v, ok := strings.Cut(line, "="); ok {
					last = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(k)), "_", "-")
					settings[last] = strings.TrimSpace(v)
				}
			}
		}
	}
	if file, set := env["PIP_CONFIG_FILE"]; !set || file != os.DevNull {
		home := filepath.Join("/", env["HOME"])
		config := cmp.Or(env["XDG_CONFIG_HOME"], filepath.Join(home, ".config"))
		for _, path := range []string{"/etc/pip.conf", filepath.Join(home, ".pip/pip.conf"), filepath.Join(config, "pip/pip.conf"), file} {
			read(path)
		}
	}
	for _, k := range append(slices.Clone(pipSettings), "cert") {
		if v := env["PIP_"+strings.ToUpper(strings.ReplaceAll(k, "-", "_"))]; v != "" {
			settings[k] = v
		}
	}
	var lines []string
	for _, k := range pipSettings {
		if v := settings[k]; v != "" {
			lines = append(lines, fmt.Sprintf("%s = %s\n", k, v))
		}
	}
	// The bundle itself is mounted as a secret at the default path.
	if settings["cert"] != "" && env.CABundle() != "" {
		lines = append(lines, fmt.Sprintf("cert = %s\n", systemBundle))
	}
	if len(lines) == 0 {
		return nil
	}
	return []byte("[global]\n" + strings.Join(lines, ""))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
