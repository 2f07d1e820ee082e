package s6rc_test

import (
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

func recorded(t *testing.T) []recording.Case {
	t.Helper()
	cases, err := recording.ReadAll(os.DirFS("testdata/recorded"))
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// Whatever tree the real s6-rc-compile was given, ours says what it said.
func TestCompileSaysWhatTheRealOneSaid(t *testing.T) {
	refused := 0
	for _, c := range recorded(t) {
		if c.Command[0] != "/init" {
			continue // never got as far as compiling
		}
		var wantFatal string
		var wantWarnings []string
		for _, l := range c.Output() {
			if text, ok := strings.CutPrefix(l.Text, "s6-rc-compile: fatal: "); ok {
				wantFatal = text
			}
			if text, ok := strings.CutPrefix(l.Text, "s6-rc-compile: warning: "); ok {
				wantWarnings = append(wantWarnings, text)
			}
		}
		if c.Env["S6_RUNTIME_PROFILE"] != "" || c.Name() == "09-invalid-trees/59" {
			continue // another directory altogether; a pipeline, which ours refuses in other words
		}
		var content fs.FS = os.DirFS(t.TempDir() + "/missing")
		if tree, ok := c.Tree(); ok {
			content = tree
		}
		got, err := s6rc.Load(content)
		switch {
		case wantFatal == "" && err != nil:
			t.Errorf("%s (%s): refused a tree that the real one took: %v", c.Name(), c.Label, err)
		case wantFatal != "":
			refused++
			// The built-in source's directory has the version in its name.
			want := regexp.MustCompile(`s6-overlay-[\d.]+\d`).ReplaceAllString(wantFatal, "s6-overlay-3.1.6.2")
			if err == nil || err.Error() != want {
				t.Errorf("%s (%s):\n got %v\nwant %s", c.Name(), c.Label, err, want)
			}
		case wantWarnings != nil && !slices.Equal(got.Warnings, wantWarnings):
			t.Errorf("%s (%s): warns %q, want %q", c.Name(), c.Label, got.Warnings, wantWarnings)
		}
	}
	if refused < 50 {
		t.Errorf("only %d refused trees were compared", refused)
	}
}

// Case 12/1 dumps the real database of the base tree.
func TestTreeIsTheRealDatabase(t *testing.T) {
	tree, err := s6rc.Load(recording.BaseTree())
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string][]string{}
	var section string
	for _, c := range recorded(t) {
		if c.Name() != "12-inspection/1" {
			continue
		}
		for _, l := range c.Lines {
			if l.From != recording.Exec {
				continue
			}
			if name, rest, ok := strings.Cut(l.Text, "]"); ok && strings.HasPrefix(name, "[") {
				section = name[1:]
				sections[section] = strings.Fields(rest)
			} else if section != "" {
				sections[section] = append(sections[section], l.Text)
			}
		}
	}
	names := func(services []*s6rc.Service) []string {
		var names []string
		for _, s := range services {
			names = append(names, s.Name)
		}
		return names
	}
	same := func(what string, got []string) {
		t.Helper()
		if want := sections[what]; len(want) == 0 && len(got) != 0 || !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", what, got, want)
		}
	}
	same("list services", names(tree.Services))
	for _, s := range tree.Services {
		same("type "+s.Name, []string{string(s.Type)})
		same("dependencies "+s.Name, names(s.Deps))
		same("-d dependencies "+s.Name, names(s.Dependents))
	}
	for _, b := range tree.Bundles {
		same("contents "+b.Name, names(b.Services))
	}
	order := names(tree.Closure("top"))
	if slices.Contains(order, s6rc.FdHolder) || order[0] != "legacy-services" || order[len(order)-1] != s6rc.OneshotRunner || len(order) != 22 {
		t.Errorf("closure of top: %q", order)
	}
}

// s6-rc's own loop, run over the tree, starts in the recorded order.
func TestDependentsGiveTheRecordedStartOrder(t *testing.T) {
	tree, err := s6rc.Load(recording.BaseTree())
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	waiting := map[*s6rc.Service]int{}
	wanted := tree.Closure("top")
	for _, s := range wanted {
		waiting[s] = len(s.Deps)
	}
	var queue []*s6rc.Service // everything takes equally long here
	start := func(s *s6rc.Service) {
		if slices.Contains(wanted, s) && waiting[s] == 0 {
			order, queue = append(order, s.Name), append(queue, s)
		}
	}
	for _, s := range wanted {
		start(s)
	}
	for len(queue) > 0 {
		up := queue[0]
		queue = queue[1:]
		for _, d := range up.Dependents {
			waiting[d]--
			start(d)
		}
	}
	const want = "s6rc-oneshot-runner fix-attrs init-migrations init-envfile legacy-cont-init init-adduser init-device-perms init-os-end init-crontab-config init-config init-netbox-config init-config-end init-mods init-mods-package-install init-mods-end init-custom-files init-services svc-netbox-prepare svc-cron svc-netbox legacy-services ci-service-check"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestServiceKeepsItsSettings(t *testing.T) {
	files := recording.BaseTree()
	for name, content := range map[string]string{
		"svc-netbox/timeout-up":             "60000\n",
		"svc-netbox/timeout-down":           "20000",
		"svc-netbox/flag-essential":         "",
		"init-netbox-config/down":           "foreground { echo bye } true\n",
		"init-config-end/type":              "oneshot",
		"plain file":                        "",
		".hidden/type":                      "nonsense",
		"init-envfile/dependencies":         "# none of these\n\ninit-migrations\ninit-migrations\n",
		"init-migrations/timeout-up":        "10\n\n",
		"init-adduser/dependencies.d/.keep": "",
	} {
		files[name] = &fstest.MapFile{Data: []byte(content)}
	}
	tree, err := s6rc.Load(files)
	if err != nil {
		t.Fatal(err)
	}
	s := tree.Service("svc-netbox")
	if s.NotificationFD != 3 || s.TimeoutUp != time.Minute || s.TimeoutDown != 20*time.Second ||
		!s.Essential || s.Path != s6rc.Dir+"/svc-netbox" {
		t.Errorf("svc-netbox misread: %+v", s)
	}
	if s := tree.Service("svc-cron"); s.NotificationFD != -1 || s.Essential {
		t.Errorf("svc-cron misread: %+v", s)
	}
	s = tree.Service("init-netbox-config")
	if want := []string{"foreground", " echo", " bye", "", "true"}; !slices.Equal(s.Down, want) {
		t.Errorf("down is %q, want %q", s.Down, want)
	}
	if want := []string{s6rc.Dir + "/init-netbox-config/run"}; !slices.Equal(s.Up, want) {
		t.Errorf("up is %q, want %q", s.Up, want)
	}
	if got := tree.Service("init-envfile").Requires; !slices.Equal(got, []string{"init-migrations"}) {
		t.Errorf("old-style dependencies: %q", got)
	}
	if want := []string{"in " + s6rc.Dir + "/init-envfile/dependencies: name listed more than once: init-migrations"}; !slices.Equal(tree.Warnings, want) {
		t.Errorf("warnings %q, want %q", tree.Warnings, want)
	}
}

func TestEveryProblemIsListedOnce(t *testing.T) {
	files := recording.BaseTree()
	for name, content := range map[string]string{
		"svc-netbox/dependencies.d/nosuch":           "",
		"svc-netbox/notification-fd":                 "abc",
		"user/contents.d/absent":                     "",
		"init-config/dependencies.d/init-config-end": "",
		"init-envfile/type":                          "service",
		"init-adduser/up":                            "if { true",
		"s6rc-mine/type":                             "oneshot",
	} {
		files[name] = &fstest.MapFile{Data: []byte(content)}
	}
	_, err := s6rc.Load(files)
	problems, ok := err.(s6rc.Problems)
	if !ok {
		t.Fatalf("got %T %v", err, err)
	}
	var got []string
	for _, p := range problems {
		got = append(got, strings.ReplaceAll(p.Error(), s6rc.Dir, "P"))
	}
	want := []string{
		"syntax error in P/init-adduser/up: unmatched {",
		"invalid P/init-envfile/type: must be oneshot, longrun, or bundle",
		"in P: identifier s6rc-mine starts with reserved prefix",
		"during resolution of bundle user: undefined service name absent",
		"during dependency resolution for service svc-netbox: undefined service name nosuch",
		"cyclic service dependency reached from legacy-services and involving init-config-end",
		"unable to read P/svc-netbox/notification-fd: Invalid argument",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var cycles [][]string
	for _, p := range problems {
		if p.Cycle != nil {
			cycles = append(cycles, p.Cycle)
		}
	}
	wantCycles := [][]string{
		{"init-config-end", "init-netbox-config", "init-config", "init-config-end"},
	}
	if !reflect.DeepEqual(cycles, wantCycles) {
		t.Errorf("cycles %q", cycles)
	}
}

func TestAPipelineOfServicesIsRefusedNotIgnored(t *testing.T) {
	for _, file := range []string{"producer-for", "consumer-for"} {
		files := recording.BaseTree()
		files["svc-cron/"+file] = &fstest.MapFile{Data: []byte("svc-log\n")}
		_, err := s6rc.Load(files)
		if want := s6rc.Dir + "/svc-cron/" + file + ": pipelines of services are not supported: let the service log by itself"; err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}
