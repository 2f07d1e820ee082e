package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	services = "etc/s6-overlay/s6-rc.d"
	prefix   = "custom-svc-"
)

// customServices makes a supervised service of each file in
// /custom-services.d, and takes away those whose file is gone since the
// container's last start.
func (h hook) customServices() error {
	old, err := filepath.Glob(h.path(services, prefix+"*"))
	if err != nil {
		return err
	}
	if len(old) > 0 {
		h.say("[custom-init] removing existing custom services...")
	}
	for _, dir := range old {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing the service %s of an earlier start: %w", filepath.Base(dir), err)
		}
		os.Remove(h.path(services, "user/contents.d", filepath.Base(dir)))
	}
	h.warnOfOwners("custom-cont-init.d", "custom-services.d")
	files, err := os.ReadDir(h.path("custom-services.d"))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for custom services: %w", err)
	}
	if len(files) == 0 {
		h.say("[custom-init] No custom services found, skipping...")
		return nil
	}
	h.say("[custom-init] Service files found in /custom-services.d")
	for _, f := range files {
		if strings.HasPrefix(f.Name(), ".") {
			continue
		}
		if info, err := os.Stat(h.path("custom-services.d", f.Name())); err != nil || !info.Mode().IsRegular() {
			h.say("[custom-init] %s: is not a file", f.Name())
			continue
		}
		h.say("[custom-init] %s: service detected, copying...", f.Name())
		if err := h.customService(f.Name()); err != nil {
			return fmt.Errorf("making a service of /custom-services.d/%s: %w", f.Name(), err)
		}
		h.say("[custom-init] %s: copied", f.Name())
	}
	return nil
}

func (h hook) customService(file string) error {
	script, err := os.ReadFile(h.path("custom-services.d", file))
	if err != nil {
		return err
	}
	dir := h.path(services, prefix+file)
	if err := os.MkdirAll(filepath.Join(dir, "dependencies.d"), 0o755); err != nil {
		return err
	}
	for _, w := range []struct {
		path string
		mode os.FileMode
		data []byte
	}{
		{filepath.Join(dir, "type"), 0o644, []byte("longrun\n")},
		{filepath.Join(dir, "run"), 0o755, script},
		{filepath.Join(dir, "dependencies.d/init-services"), 0o644, nil},
		{h.path(services, "user/contents.d", prefix+file), 0o644, nil},
	} {
		if err := os.WriteFile(w.path, w.data, w.mode); err != nil {
			return err
		}
	}
	return nil
}

// warnOfOwners names the scripts that somebody other than root can change:
// they run as root.
func (h hook) warnOfOwners(dirs ...string) {
	for _, dir := range dirs {
		files, _ := os.ReadDir(h.path(dir)) // mostly there is none
		for _, f := range files {
			info, err := os.Stat(h.path(dir, f.Name()))
			if err != nil {
				continue
			}
			if stat, ok := info.Sys().(*syscall.Stat_t); ok && (stat.Uid != 0 || info.Mode()&0o022 != 0) {
				h.say("[custom-init] /%s/%s: runs as root, but others can change it: give it to root, mode 0755", dir, f.Name())
			}
		}
	}
}
