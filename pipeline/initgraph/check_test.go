package initgraph_test

import (
	"archive/tar"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
)

func TestCheckFindsNothingWrongWithAGoodImage(t *testing.T) {
	if err := initgraph.Check(rootFS()); err != nil {
		t.Error(err)
	}
}

func TestCheckFindsEachBrokenPart(t *testing.T) {
	const script = "init-netbox-config/run"
	const chmod = "chmod" // not content: clears the execute bits
	for name, c := range map[string]struct {
		files map[string]string
		want  []string // beginning of each line
	}{
		"cycle": {map[string]string{"init-config/dependencies.d/init-netbox-config": ""},
			[]string{"cyclic service dependency reached from legacy-services and involving init-netbox-config: init-netbox-config needs init-config needs init-netbox-config: "}},
		"unknown dependency": {map[string]string{"svc-netbox/dependencies.d/nosuch": ""},
			[]string{"during dependency resolution for service svc-netbox: undefined service name nosuch: "}},
		"bad type": {map[string]string{"init-netbox-config/type": "service\n"},
			[]string{"invalid /etc/s6-overlay/s6-rc.d/init-netbox-config/type: must be oneshot, longrun, or bundle: "}},
		"in no bundle": {map[string]string{"init-x/type": "oneshot", "init-x/up": ""},
			[]string{"service init-x is never started: no bundle has it and nothing depends on it: add /etc/s6-overlay/s6-rc.d/user/contents.d/init-x or remove /etc/s6-overlay/s6-rc.d/init-x"}},
		"in no bundle, but needed": {map[string]string{"init-x/type": "oneshot", "init-x/up": "", "svc-netbox/dependencies.d/init-x": ""}, nil},
		"up names a missing file": {map[string]string{"init-netbox-config/up": "/usr/bin/nosuch arg"},
			[]string{"service init-netbox-config: /usr/bin/nosuch does not exist, but its command names it"}},
		"up is no path":            {map[string]string{"init-netbox-config/up": "nosuch arg"}, nil},
		"run is not executable":    {map[string]string{"svc-netbox/run": chmod}, []string{"service svc-netbox: /etc/s6-overlay/s6-rc.d/svc-netbox/run is not executable (mode 0644): chmod +x"}},
		"finish is not executable": {map[string]string{"svc-netbox/finish": "#!/usr/bin/bash\n"}, []string{"service svc-netbox: /etc/s6-overlay/s6-rc.d/svc-netbox/finish is not executable"}},
		"check is not executable":  {map[string]string{"svc-netbox/data/check": "#!/usr/bin/bash\n"}, []string{"service svc-netbox: /etc/s6-overlay/s6-rc.d/svc-netbox/data/check is not executable"}},
		"no interpreter line":      {map[string]string{script: "echo hi\n"}, []string{"service init-netbox-config: /etc/s6-overlay/s6-rc.d/init-netbox-config/run is neither a program nor begins with #!"}},
		"empty":                    {map[string]string{script: ""}, []string{"service init-netbox-config: /etc/s6-overlay/s6-rc.d/init-netbox-config/run is neither"}},
		"CRLF":                     {map[string]string{script: "#!/usr/bin/bash\r\necho\r\n"}, []string{"service init-netbox-config: the first line of /etc/s6-overlay/s6-rc.d/init-netbox-config/run ends in CR LF"}},
		"interpreter missing":      {map[string]string{script: "#!/bin/zsh -e\n"}, []string{"service init-netbox-config: the interpreter /bin/zsh of /etc/s6-overlay/s6-rc.d/init-netbox-config/run is not an executable"}},
		"interpreter is relative":  {map[string]string{script: "#!bash\n"}, []string{"service init-netbox-config: /etc/s6-overlay/s6-rc.d/init-netbox-config/run has no absolute interpreter"}},
		"with-contenv's program missing": {map[string]string{script: "#!/usr/bin/with-contenv zsh\n"},
			[]string{"service init-netbox-config: zsh, which /usr/bin/with-contenv runs /etc/s6-overlay/s6-rc.d/init-netbox-config/run with, is not an executable"}},
		"several at once": {map[string]string{script: "", "svc-netbox/dependencies.d/nosuch": "", "svc-cron/run": chmod, "init-x/type": "oneshot", "init-x/up": ""},
			[]string{"during dependency resolution for service svc-netbox", "service init-netbox-config: ", "service init-x is never started", "service svc-cron: "}},
	} {
		root := with(c.files)
		for file, content := range c.files {
			if content == chmod {
				old := rootFS()[services+file]
				root[services+file] = &fstest.MapFile{Data: old.Data, Mode: old.Mode &^ 0o111}
			}
		}
		got := failure.Lines(initgraph.Check(root))
		if len(got) != len(c.want) {
			t.Errorf("%s: got %d lines, want %d:\n%s", name, len(got), len(c.want), strings.Join(got, "\n"))
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(got[i], "init graph: "+want) {
				t.Errorf("%s:\n got %s\nwant init graph: %s...", name, got[i], want)
			}
		}
	}
}

// A run file may link to a file outside the services' directory, whose content is
// not kept.
func TestCheckFollowsLinksInTheImage(t *testing.T) {
	files := with(map[string]string{"svc-cron/run": "-", "svc-netbox/run": "-"})
	img := image(t, entries(files), []tar.Header{
		{Name: services + "svc-cron/run", Typeflag: tar.TypeSymlink, Linkname: "/usr/bin/cron-run"},
		{Name: services + "svc-netbox/run", Typeflag: tar.TypeSymlink, Linkname: "../../../../usr/bin/netbox-run"},
		{Name: "usr/bin/cron-run", Mode: 0o755, Linkname: "#!/usr/bin/bash\n" + strings.Repeat("#", 1000)},
		{Name: "usr/bin/netbox-run", Mode: 0o644, Linkname: "#!/usr/bin/bash\n" + strings.Repeat("#", 1000)},
	})
	root, err := initgraph.OpenImage(img)
	if err != nil {
		t.Fatal(err)
	}
	const want = "init graph: service svc-netbox: /etc/s6-overlay/s6-rc.d/svc-netbox/run is not executable (mode 0644): chmod +x it in the repository"
	if err := initgraph.Check(root); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestCheckOfAnImageWithoutServices(t *testing.T) {
	err := initgraph.Check(fstest.MapFS{"etc": {Mode: fs.ModeDir | 0o755}})
	if err == nil || !strings.Contains(err.Error(), "unable to opendir /etc/s6-overlay/s6-rc.d: No such file or directory") {
		t.Error(err)
	}
}
