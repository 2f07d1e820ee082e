package initgraph_test

import (
	"io/fs"
	"maps"
	"testing/fstest"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

const services = "etc/s6-overlay/s6-rc.d/"

// rootFS returns a root file system with the base's fifteen services, the image's
// three, and the interpreter of their scripts.
func rootFS() fstest.MapFS {
	root := fstest.MapFS{
		"usr/bin/with-contenv": {Data: []byte("\x7fELF"), Mode: 0o755},
		"usr/bin/bash":         {Data: []byte("\x7fELF"), Mode: 0o755},
	}
	for name, file := range recording.BaseTree() {
		root[services+name] = file
	}
	return root
}

// with returns rootFS with files added or replaced; "-" as content removes one.
func with(files map[string]string) fstest.MapFS {
	root := rootFS()
	for name, content := range files {
		if content == "-" {
			maps.DeleteFunc(root, func(p string, _ *fstest.MapFile) bool { return p == services+name })
			continue
		}
		mode := fs.FileMode(0o644)
		if old := root[services+name]; old != nil {
			mode = old.Mode
		}
		root[services+name] = &fstest.MapFile{Data: []byte(content), Mode: mode}
	}
	return root
}
