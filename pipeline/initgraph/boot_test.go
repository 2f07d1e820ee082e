package initgraph_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/initgraph"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc"
	"github.com/linuxserver/docker-netbox/pipeline/s6rc/recording"
)

func recorded(t *testing.T) []recording.Case {
	t.Helper()
	cases, err := recording.ReadAll(os.DirFS("../s6rc/testdata/recorded"))
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

// events reads the log of a recorded case.
func events(c recording.Case) []s6rc.Event {
	var events []s6rc.Event
	for _, l := range c.Output() {
		e := s6rc.ParseLine(l.Text)
		e.At, e.Line = l.At, len(events)+1
		events = append(events, e)
	}
	return events
}

func cleanBoot(t *testing.T) (*s6rc.Tree, []s6rc.Event) {
	t.Helper()
	tree, err := s6rc.Load(recording.BaseTree())
	if err != nil {
		t.Fatal(err)
	}
	return tree, events(recorded(t)[0])
}

// CheckBoot accepts all good recorded boots at verbosity 2 and rejects all bad
// ones.
func TestCheckBootTellsTheRecordedBootsApart(t *testing.T) {
	good, bad := 0, 0
	for _, c := range recorded(t) {
		if v := c.Env["S6_VERBOSITY"]; v < "2" || v > "5" || c.Command[0] != "/init" || c.Env["S6_LOGGING"] != "" || c.Env["S6_RUNTIME_PROFILE"] != "" {
			continue
		}
		content, ok := c.Tree()
		if !ok {
			continue
		}
		tree, refused := s6rc.Load(content)
		all := events(c)
		_, err := initgraph.CheckBoot(tree, all)
		wrong := refused != nil
		ready := false
		for _, e := range all {
			wrong = wrong || e.Bad()
			ready = ready || e.Kind == s6rc.KindReady
		}
		if c.File == "12-inspection" || strings.Contains(c.Label, "/custom-services.d/") {
			continue // services are stopped and started by hand; a hook adds one to the tree
		}
		if wrong = wrong || !ready; wrong {
			bad++
		} else {
			good++
		}
		if wrong != (err != nil) {
			t.Errorf("%s (%s): bad: %v, found: %v", c.Name(), c.Label, wrong, err)
		}
	}
	if good < 90 || bad < 90 {
		t.Errorf("%d good and %d bad boots compared: too few", good, bad)
	}
}

func TestCheckBootTimesTheServices(t *testing.T) {
	tree, log := cleanBoot(t)
	boot, err := initgraph.CheckBoot(tree, log)
	if err != nil {
		t.Fatal(err)
	}
	if len(boot.Services) != 22 || boot.Done != 1096*time.Millisecond {
		t.Errorf("%d services, done after %v", len(boot.Services), boot.Done)
	}
	want := initgraph.Timing{Name: "svc-netbox", Type: s6rc.Longrun, Start: 81 * time.Millisecond, Ready: 1087 * time.Millisecond}
	if !slices.Contains(boot.Services, want) {
		t.Errorf("no %+v in %+v", want, boot.Services)
	}
	const path = "s6rc-oneshot-runner init-migrations init-adduser init-device-perms init-os-end init-config init-netbox-config init-config-end " +
		"init-mods init-mods-package-install init-mods-end init-custom-files init-services svc-netbox-prepare svc-netbox legacy-services ci-service-check"
	if got := strings.Join(boot.Critical, " "); got != path {
		t.Errorf("critical path\n got %s\nwant %s", got, path)
	}
}

func TestCheckBootFindsEachViolation(t *testing.T) {
	const starting, started = "s6-rc: info: service %: starting", "s6-rc: info: service % successfully started"
	line := func(form, name string) string { return strings.ReplaceAll(form, "%", name) }
	remove := func(lines []string, text string) []string {
		return slices.DeleteFunc(lines, func(l string) bool { return l == text })
	}
	before := func(lines []string, text, mark string) []string {
		lines = remove(lines, text)
		return slices.Insert(lines, slices.Index(lines, mark), text)
	}
	for name, c := range map[string]struct {
		change func([]string) []string
		want   []string
	}{
		"b before a": {func(l []string) []string {
			return before(l, line(starting, "svc-netbox"), line(started, "svc-netbox-prepare"))
		}, []string{"boot: service svc-netbox was started before svc-netbox-prepare, which it depends on, was up"}},
		"never started": {func(l []string) []string {
			return remove(remove(l, line(starting, "svc-cron")), line(started, "svc-cron"))
		}, []string{"boot: service svc-cron was never started: all it depends on was up", "boot: service legacy-services was started before svc-cron"}},
		"never ready": {func(l []string) []string { return remove(l, line(started, "svc-cron")) },
			[]string{"boot: service svc-cron was started but never came up", "boot: service legacy-services was started before svc-cron"}},
		"started twice": {func(l []string) []string {
			return slices.Insert(l, slices.Index(l, line(starting, "legacy-services")), line(starting, "svc-cron"))
		}, []string{"boot: service svc-cron was started a second time (log line 53)"}},
		"failed": {func(l []string) []string {
			return slices.Insert(l, 60, "s6-rc: warning: unable to start service svc-cron: command exited 3")
		}, []string{"boot: s6-rc: warning: unable to start service svc-cron: command exited 3 (log line 61)"}},
		"not done": {func(l []string) []string { return remove(l, "[ls.io-init] done.") },
			[]string{"boot: service ci-service-check was stopped before the boot was done", `boot: "[ls.io-init] done." never appeared`}},
		"stopped early": {func(l []string) []string {
			return slices.Insert(l, slices.Index(l, "[ls.io-init] done."), line("s6-rc: info: service %: stopping", "svc-cron"))
		}, []string{"boot: service svc-cron was stopped before the boot was done (log line 56)"}},
		"not of this tree": {func(l []string) []string { return slices.Insert(l, 5, line(starting, "svc-other")) },
			[]string{"boot: service svc-other was started but is not in the image's service tree (log line 6)"}},
		"silent": {func(l []string) []string { return nil }, []string{"boot: the log has no line of s6-rc: boot with S6_VERBOSITY=2"}},
	} {
		tree, log := cleanBoot(t)
		var lines []string
		for _, e := range log {
			lines = append(lines, e.Text)
		}
		var changed []s6rc.Event
		for i, line := range c.change(lines) {
			e := s6rc.ParseLine(line)
			e.Line = i + 1
			changed = append(changed, e)
		}
		_, err := initgraph.CheckBoot(tree, changed)
		got := failure.Lines(err)
		if len(got) != len(c.want) {
			t.Errorf("%s: got %d lines, want %d:\n%s", name, len(got), len(c.want), strings.Join(got, "\n"))
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("%s:\n got %s\nwant %s...", name, got[i], want)
			}
		}
	}
}

// After a failed oneshot, each dependent service is reported with what it waits
// for.
func TestCheckBootFollowsAFailureDownstream(t *testing.T) {
	tree, _ := cleanBoot(t)
	for _, c := range recorded(t) {
		if c.Name() != "05-oneshot-fails/1" {
			continue
		}
		_, err := initgraph.CheckBoot(tree, events(c))
		got := strings.Join(failure.Lines(err), "\n")
		for _, want := range []string{
			"unable to start service init-netbox-config: command exited 1",
			`service init-config-end was never started: it waits for ["init-netbox-config"], not up either`,
			`"[ls.io-init] done." never appeared`,
		} {
			if !strings.Contains(got, want) {
				t.Errorf("no line with %q in\n%s", want, got)
			}
		}
	}
}
