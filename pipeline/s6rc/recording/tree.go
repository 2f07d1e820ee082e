package recording

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"
)

// baseServices are the recorded containers' services: the fifteen of the
// linuxserver.io base image and the three of NetBox, each with its direct
// dependencies.
func baseServices() map[string][]string {
	return map[string][]string{
		"ci-service-check":          {"legacy-services"},
		"init-adduser":              {"init-migrations"},
		"init-config":               {"init-os-end"},
		"init-config-end":           {"init-config", "init-netbox-config"},
		"init-crontab-config":       {"init-os-end"},
		"init-custom-files":         {"init-mods-end"},
		"init-device-perms":         {"init-adduser"},
		"init-envfile":              nil,
		"init-migrations":           nil,
		"init-mods":                 {"base", "init-config-end"},
		"init-mods-end":             {"init-mods", "init-mods-package-install"},
		"init-mods-package-install": {"init-mods"},
		"init-netbox-config":        {"init-config"},
		"init-os-end":               {"base", "init-adduser", "init-device-perms", "init-envfile", "init-migrations"},
		"init-services":             {"init-custom-files", "init-mods-end"},
		"svc-cron":                  {"init-services"},
		"svc-netbox":                {"svc-netbox-prepare"},
		"svc-netbox-prepare":        {"init-services"},
	}
}

// BaseTree is the content of /etc/s6-overlay/s6-rc.d in the recorded
// containers: every script says that it ran, the milestones (those that only
// order others) do nothing, and svc-netbox is ready after a second.
func BaseTree() fstest.MapFS {
	tree := fstest.MapFS{}
	write := func(mode fs.FileMode, content string, elem ...string) {
		tree[path.Join(elem...)] = &fstest.MapFile{Data: []byte(content), Mode: mode}
	}
	milestones := []string{"init-config", "init-config-end", "init-mods", "init-mods-end", "init-os-end", "init-services"}
	for name, deps := range baseServices() {
		bundle := "user"
		if name == "ci-service-check" {
			bundle = "user2"
		}
		write(0o644, "", bundle, "contents.d", name)
		for _, d := range deps {
			write(0o644, "", name, "dependencies.d", d)
		}
		script := fmt.Sprintf("#!/usr/bin/with-contenv bash\necho %q\n", name+" ran")
		typ, up := "oneshot", "/etc/s6-overlay/s6-rc.d/"+name+"/run"
		switch {
		case name == "ci-service-check":
			up, script = `echo "[ls.io-init] done."`, ""
		case slices.Contains(milestones, name):
			up, script = "# nothing to run", ""
		case name == "svc-netbox":
			script += "sleep 1\necho \"svc-netbox about to notify\"\necho >&3\n"
			write(0o644, "3\n", name, "notification-fd")
		}
		if strings.HasPrefix(name, "svc-") && name != "svc-netbox-prepare" {
			typ, up = "longrun", ""
			script += "exec sleep infinity\n"
		}
		write(0o644, typ+"\n", name, "type")
		if up != "" {
			write(0o644, up+"\n", name, "up")
		}
		if script != "" {
			write(0o755, script, name, "run")
		}
	}
	write(0o644, "bundle\n", "user", "type")
	write(0o644, "bundle\n", "user2", "type")
	return tree
}

// Tree is the content of /etc/s6-overlay/s6-rc.d that the case ran with. The
// second result is false where the case removed it altogether.
func (c Case) Tree() (fstest.MapFS, bool) {
	tree := BaseTree()
	for _, e := range c.Edits {
		name, ok := strings.CutPrefix(e.Path+"/", "/etc/s6-overlay/s6-rc.d/")
		if !ok {
			continue
		}
		name = strings.TrimSuffix(name, "/")
		switch e.Op {
		case Write:
			mode := e.Mode
			if mode == 0 {
				mode = 0o644
				if slices.Contains([]string{"run", "finish", "check"}, path.Base(name)) {
					mode = 0o755
				}
			}
			tree[name] = &fstest.MapFile{Data: []byte(e.Content), Mode: mode}
		case Mkdir:
			tree[name] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
		case Remove:
			if name == "" {
				return nil, false
			}
			maps.DeleteFunc(tree, func(p string, _ *fstest.MapFile) bool {
				return p == name || strings.HasPrefix(p, name+"/")
			})
		}
	}
	return tree, true
}
