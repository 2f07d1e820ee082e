package base_test

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestACommandRunsAfterTheServicesAndSetsTheExitStatus(t *testing.T) {
	t.Parallel()
	o := native(t).run(t, container{}, "echo command; exit 7")
	o.exits(t, 7)
	o.has(t, "[ls.io-init] done.\n", "command\n")
	if strings.Index(o.out, "done.") > strings.Index(o.out, "command") {
		t.Errorf("the command ran before the services were up:\n%s", o.out)
	}
}

func TestAbcHasTheRequestedIDs(t *testing.T) {
	t.Parallel()
	const show = `id abc; stat -c '%n %u:%g' /app /config /defaults`
	r := native(t)
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"by default": {nil, []string{"uid=911(abc) gid=911(abc)", ",1000(users)\n", "User UID:    911\n", "/config 911:911\n"}},
		"both":       {map[string]string{"PUID": "1234", "PGID": "5678"}, []string{"uid=1234(abc) gid=5678(abc)", "User UID:    1234\nUser GID:    5678\n", "/app 1234:5678\n", "/config 1234:5678\n", "/defaults 1234:5678\n"}},
		"taken ids":  {map[string]string{"PUID": "1", "PGID": "1000"}, []string{"/config 1:1000\n"}},
		"PUID alone": {map[string]string{"PUID": "1234"}, []string{"/config 1234:911\n"}},
		"largest":    {map[string]string{"PUID": "4294967294", "PGID": "4294967294"}, []string{"/config 4294967294:4294967294\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := r.run(t, container{env: c.env}, show)
			o.exits(t, 0)
			o.has(t, c.want...)
		})
	}
	for _, bad := range []string{"abc", "-1", "4294967295", "1 2", "0x10"} {
		t.Run("refused "+bad, func(t *testing.T) {
			t.Parallel()
			o := r.run(t, container{env: map[string]string{"PGID": bad, "S6_BEHAVIOUR_IF_STAGE2_FAILS": "2"}}, "echo command ran")
			o.exits(t, 1)
			o.has(t, "PGID is '"+bad+"'")
			o.lacks(t, "command ran")
		})
	}
}

func TestFilesBecomeVariables(t *testing.T) {
	t.Parallel()
	secret := "'\"\\|&/$ *#%{}`\u00e6\nsecond line"
	o := native(t).run(t, container{
		env: map[string]string{"FILE__SECRET": "/run-secrets/a", "FILE__NEWLINE": "/run-secrets/b", "FILE__NUL": "/run-secrets/d", "FILE__GONE": "/run-secrets/c", "GONE": "kept"},
		files: map[string]string{
			"/run-secrets/a": secret,
			"/run-secrets/b": "value\n",
			"/run-secrets/d": "one\x00two\xff",
		},
	}, `printf '<%s>' "$SECRET"; printf '<%s>' "$NEWLINE"; printf '<%s>' "$NUL"; printf '<%s>\n' "$GONE"`)
	o.exits(t, 0)
	o.has(t, "<"+secret+">", "<value\n>", "<one\ntwo\xff>", "<kept>",
		"[env-init] SECRET set from FILE__SECRET\n", "[env-init] NUL set from FILE__NUL\n",
		"[env-init] Your secret: FILE__NEWLINE\n           contains a trailing newline and may not work as expected\n[env-init] NEWLINE set from FILE__NEWLINE\n",
		"[env-init] cannot find secret in FILE__GONE\n")
	o.lacks(t, "Your secret: FILE__SECRET", "Your secret: FILE__NUL")
}

// Linux does not pass such a long value to a program, so services that use the
// container's environment do not start, as in the published base.
func TestAFileTooLongForAVariableKeepsServicesFromStarting(t *testing.T) {
	t.Parallel()
	o := native(t).run(t, container{
		env:   map[string]string{"FILE__SECRET": "/f", "S6_BEHAVIOUR_IF_STAGE2_FAILS": "2"},
		files: map[string]string{"/f": strings.Repeat("x", 200<<10)},
	}, "echo command ran")
	o.exits(t, 1)
	o.has(t, "[env-init] SECRET set from FILE__SECRET\n", "exec: fatal: unable to exec bash: Argument list too long\n", "command exited 126\n")
	o.lacks(t, "command ran")
}

func TestAOneshotsExitStatusMatchesS6(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]string{"exit 127": "127", "exit 128": "128", "exit 143": "128", "exit 255": "128", "kill -TERM $$": "143"} {
		t.Run(script, func(t *testing.T) {
			t.Parallel()
			native(t).run(t, container{files: map[string]string{"/etc/s6-overlay/s6-rc.d/init-migrations/run": "#!/bin/bash\n" + script + "\n"}}, "true").
				has(t, "unable to start service init-migrations: command exited "+want+"\n")
		})
	}
}

// As with Docker's --user, podman's --userns=keep-id and Kubernetes' runAsUser.
func TestItRunsAsAnyUserAndLeavesOwnersAlone(t *testing.T) {
	t.Parallel()
	config := t.TempDir()
	if err := os.Chown(config, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	for name, user := range map[string]string{"of its own": "1000:1000", "of group 0": "1000:0", "abc": "911:911"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := native(t).run(t, container{user: user, config: config, env: map[string]string{"PUID": "77", "DOCKER_MODS": "example.com/mod", "FILE__WORD": "/word", "UMASK": "027"}, files: map[string]string{
				"/word": "seen", "/custom-cont-init.d/10-who": "echo script as $(id -u):$(id -g), $WORD", "/custom-services.d/none": "#!/bin/bash\necho service",
			}}, `id -u; stat -c '%n %u' /app /config; sleep 0.3; for p in /proc/[0-9]*; do echo "$(stat -c %u "$p") $(tr '\0' ' ' <"$p/cmdline")"; done; echo "<$LSIO_NON_ROOT_USER>"`)
			o.exits(t, 0)
			uid, gid, _ := strings.Cut(user, ":")
			o.has(t, "User UID:    "+uid+"\nUser GID:    "+gid+"\n", "/app 0\n/config 1000\n", uid+" /init", uid+" s6-svscan", uid+" sleep infinity", "<1>",
				"[mod-init] running as user "+uid+": docker mods and custom services are off, PUID and PGID have no effect\n",
				"script as "+user+", seen\n", "[ls.io-init] done.")
			o.lacks(t, "fatal", "warning", "denied", "not permitted", "\n0 ")
		})
	}
	// A directory that is created for these files is not writable by others.
	o := native(t).run(t, container{user: "1000:1000", files: map[string]string{"/run/closed": ""}}, "echo command ran")
	o.exits(t, 100)
	if strings.Count(o.out, "\n") != 1 {
		t.Errorf("want one line, got\n%s", o.out)
	}
	o.has(t, "/run cannot be written by user 1000", "set PUID and PGID instead")
}

func TestOnlyRootWritesToRunWhereItIsTheSupervisor(t *testing.T) {
	t.Parallel()
	native(t).run(t, container{}, "stat -c %a /run").has(t, "755\n")
}

func TestTheBasesOwnVariablesMayComeFromFiles(t *testing.T) {
	t.Parallel()
	const waits = `for ((i = 0; i < 100; i++)); do [[ -e /config/up ]] && break; sleep 0.05; done; `
	for name, slow := range map[string]string{"": "", " that are read late": "sleep 0.5\n"} {
		t.Run("files"+name, func(t *testing.T) {
			t.Parallel()
			envfile, err := os.ReadFile("rootfs/etc/s6-overlay/s6-rc.d/init-envfile/run")
			if err != nil {
				t.Fatal(err)
			}
			first, rest, _ := strings.Cut(string(envfile), "\n")
			o := native(t).run(t, container{
				env: map[string]string{"FILE__PUID": "/f/uid", "FILE__PGID": "/f/gid", "FILE__TZ": "/f/zone", "FILE__UMASK": "/f/mask"},
				files: map[string]string{
					"/f/uid": "1234\n", "/f/gid": "5678", "/f/zone": "Asia/Kathmandu\r\n", "/f/mask": "027\n",
					"/etc/s6-overlay/s6-rc.d/init-envfile/run": first + "\n" + slow + rest,
					"/custom-services.d/witness":               "#!/usr/bin/with-contenv bash\necho up >/config/up; exec sleep infinity",
				},
			}, waits+`id abc; stat -c '%n %u:%g %a' /config /config/up; date +%z; printf '<%s>' "$PUID"`)
			o.exits(t, 0)
			o.has(t, "uid=1234(abc) gid=5678(abc)", "User UID:    1234\nUser GID:    5678\n", "/config 1234:5678", "/config/up 0:0 640\n", "+0545\n", "<1234>")
			o.lacks(t, "trailing newline", "no known time zone")
		})
	}
	native(t).run(t, container{
		env:   map[string]string{"FILE__PUID": "/f/empty", "FILE__PGID": "/f/nowhere", "PGID": "77"},
		files: map[string]string{"/f/empty": ""},
	}, "id abc").has(t, "uid=911(abc) gid=77(abc)")
}

// A script that delays the boot can detect that the container is stopping. It works
// in the published base too, where a process of that name waits, started by PID 1.
func TestAStopDuringTheBootIsVisibleInTheProcessList(t *testing.T) {
	t.Parallel()
	o := native(t).boot(t, container{files: map[string]string{"/custom-cont-init.d/10-long": `
waits() { grep -lazE '^s6-rc$' /proc/[0-9]*/cmdline 2>/dev/null | xargs -r grep -laz -- '-bda' 2>/dev/null; }
echo "before: <$(waits)>"
kill -TERM 1
for ((i = 0; i < 200; i++)); do [[ -z $(waits) ]] || break; sleep 0.05; done
(( i == 200 )) || echo seen`}})
	o.exits(t, 0)
	o.has(t, "before: <>", "seen")
}

func TestOnlyCronNeedsRoot(t *testing.T) {
	t.Parallel()
	o := native(t).run(t, container{}, `sleep 0.3
for process in /proc/[0-9]*; do
	program=$(tr '\0' ' ' <"$process/cmdline") owner=$(stat -c %U "$process") || continue
	[[ $owner == abc || $process == /proc/1 || $program == s6-s* || $program == "bash -c"* || -z $program ]] || echo "$program runs as $owner"
	[[ $program != "sleep infinity"* ]] || echo seen "$owner"
done`)
	o.has(t, "seen abc")
	o.lacks(t, "runs as")
}

func TestTZSetsTheTimeZone(t *testing.T) {
	t.Parallel()
	r := native(t)
	o := r.run(t, container{env: map[string]string{"TZ": "Asia/Kathmandu"}}, "date +%z")
	o.has(t, "+0545\n")
	o.lacks(t, "no known time zone")
	r.run(t, container{env: map[string]string{"TZ": "Europe/Atlantis"}}, "true").has(t, "TZ is 'Europe/Atlantis', which is no known time zone")
}

func TestUmaskIsForServicesOnly(t *testing.T) {
	t.Parallel()
	c := container{
		env: map[string]string{"UMASK": "027"},
		files: map[string]string{
			"/custom-cont-init.d/10-show":  "echo oneshot umask $(umask)",
			"/custom-services.d/witness":   "#!/usr/bin/with-contenv bash\necho service umask $(umask); echo up >/config/up; exec sleep infinity",
			"/custom-services.d/.not-this": "#!/bin/bash\necho hidden file ran; exec sleep infinity",
		},
	}
	const waits = `for ((i = 0; i < 100; i++)); do [[ -e /config/up ]] && break; sleep 0.05; done; stat -c 'mode %a' /config/up`
	o := native(t).run(t, c, waits)
	o.has(t, "oneshot umask 0022\n", "service umask 0027\n", "mode 640\n", "[custom-init] witness: copied")
	o.lacks(t, "hidden file ran")
	delete(c.env, "UMASK")
	native(t).run(t, c, waits).has(t, "service umask 0022\n", "mode 644\n")
}

func TestCustomScriptsRunInOrderAndMayFail(t *testing.T) {
	t.Parallel()
	o := native(t).run(t, container{
		env: map[string]string{"WORD": "seen"},
		files: map[string]string{
			"/custom-cont-init.d/20-fail":  "exit 9",
			"/custom-cont-init.d/10-hello": "echo hello, $WORD",
		},
	}, "true")
	o.exits(t, 0)
	o.has(t, "[custom-init] 10-hello: executing...\nhello, seen\n[custom-init] 10-hello: exited 0\n[custom-init] 20-fail: executing...\n[custom-init] 20-fail: exited 9\n", "[ls.io-init] done.")
}

func TestMigrationsRunOncePerConfigVolume(t *testing.T) {
	t.Parallel()
	c := container{
		config: t.TempDir(),
		files: map[string]string{
			"/migrations/01-works":  "echo migrating",
			"/migrations/02-breaks": "exit 4",
			"/migrations/README":    "echo not a migration",
		},
	}
	first := native(t).run(t, c, "true")
	first.has(t, "[migrations] 01-works: running\nmigrating\n", "[migrations] 02-breaks: failed with status 4")
	first.lacks(t, "not a migration")
	second := native(t).run(t, c, "true")
	second.has(t, "[migrations] 02-breaks: running")
	second.lacks(t, "01-works")
}

func TestCrontabsAreInstalledAndCronRuns(t *testing.T) {
	t.Parallel()
	config := t.TempDir()
	c := container{config: config, files: map[string]string{"/defaults/crontabs/abc": "0 3 * * * true nightly\n"}}
	const show = `crontab -l -u abc; sleep 0.2; tr '\0' ' ' <"/proc/$(s6-svstat -o pid /run/service/svc-cron)/cmdline"; echo`
	native(t).run(t, c, show).has(t, "true nightly\n", "cron -f \n")
	if err := os.WriteFile(filepath.Join(config, "crontabs/abc"), []byte("5 5 * * * true mine\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := native(t).run(t, c, show)
	o.has(t, "true mine\n")
	o.lacks(t, "nightly")
	native(t).run(t, container{}, show).has(t, "sleep infinity \n")

	// The application may have written it, so it must not run as root.
	if err := os.WriteFile(filepath.Join(config, "crontabs/root"), []byte("* * * * * true planted\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	native(t).run(t, c, `crontab -l -u root; echo looked`).lacks(t, "planted")
}

func TestLsiownTouchesOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	o := native(t).run(t, container{}, `
cd /config && mkdir -p d/e && : >d/e/f && ln -s nowhere d/link && chown abc:abc d/e/f && touch -d @0 mark
before=$(stat -c %Z d/e/f); sleep 1.1
lsiown -R abc:abc d && stat -c '%n %U:%G' d d/e && [[ $(stat -c %Z d/e/f) == "$before" ]] && echo untouched
lsiown root d && stat -c '%n %U:%G' d d/e
lsiown abc:abc /nowhere && echo tolerated
lsiown abc; echo "status $?"`)
	o.has(t, "d abc:abc\nd/e abc:abc\nuntouched\n", "d root:abc\nd/e abc:abc\n", "some owners could not be set to abc:abc below: /nowhere: No such file or directory;", "tolerated\n", "usage:", "status 2\n")
}

func TestTheBaseHasTheServicesOfThePublishedOne(t *testing.T) {
	r := native(t)
	dir := filepath.Join(r.dir, "etc/s6-overlay/s6-rc.d")
	want := map[string]string{
		"ci-service-check":          "oneshot legacy-services",
		"init-adduser":              "oneshot init-migrations",
		"init-config":               "oneshot init-os-end",
		"init-config-end":           "oneshot init-config",
		"init-crontab-config":       "oneshot init-os-end",
		"init-custom-files":         "oneshot init-mods-end",
		"init-device-perms":         "oneshot init-adduser",
		"init-envfile":              "oneshot",
		"init-migrations":           "oneshot",
		"init-mods":                 "oneshot base init-config-end",
		"init-mods-end":             "oneshot init-mods init-mods-package-install",
		"init-mods-package-install": "oneshot init-mods",
		"init-os-end":               "oneshot base init-adduser init-device-perms init-envfile init-migrations",
		"init-services":             "oneshot init-custom-files init-mods-end",
		"svc-cron":                  "longrun init-services",
		"user":                      "bundle",
		"user2":                     "bundle",
	}
	names := func(dir string) []string {
		entries, _ := os.ReadDir(dir) // none where there is no directory
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	for _, name := range names(dir) {
		kind, err := os.ReadFile(filepath.Join(dir, name, "type"))
		if err != nil {
			t.Error(err)
		}
		got := strings.Join(append([]string{strings.TrimSpace(string(kind))}, names(filepath.Join(dir, name, "dependencies.d"))...), " ")
		if got != want[name] {
			t.Errorf("%s is %q, expected %q", name, got, want[name])
		}
		delete(want, name)
	}
	for name := range want {
		t.Errorf("there is no service %s", name)
	}
	if got := names(filepath.Join(dir, "user2/contents.d")); !slices.Equal(got, []string{"ci-service-check"}) {
		t.Errorf("bundle user2 holds %v", got)
	}
	if got := names(filepath.Join(dir, "user/contents.d")); len(got) != 14 || slices.Contains(got, "ci-service-check") {
		t.Errorf("bundle user holds %v", got)
	}
}

func TestTheImageHasNoFilesOfTheMachineOrTheBuild(t *testing.T) {
	r := native(t)
	for path, h := range r.headers {
		for _, dir := range []string{"dev/", "proc/", "sys/", "run/", "tmp/"} {
			if strings.HasPrefix(path, dir) {
				t.Errorf("%s is in the image", path)
			}
		}
		for _, dir := range []string{"var/log/", "var/cache/", "var/lib/apt/lists/", "usr/share/man/", "usr/share/info/"} {
			if strings.HasPrefix(path, dir) && h.Typeflag != '5' {
				t.Errorf("%s is in the image", path)
			}
		}
		if strings.HasPrefix(path, "usr/share/doc/") && h.Typeflag == '0' && filepath.Base(path) != "copyright" {
			t.Errorf("%s is in the image", path)
		}
		if h.ModTime.Year() > 2025 {
			t.Errorf("%s is from %s", path, h.ModTime)
		}
	}
	for _, path := range []string{"etc/machine-id", "etc/hostname", "etc/resolv.conf", "etc/apt/sources.list", "etc/apt/apt.conf.d/99mmdebstrap", "etc/passwd-", "var/lib/dpkg/status-old"} {
		if r.headers[path] != nil {
			t.Errorf("%s is in the image", path)
		}
	}
	for _, path := range []string{"var/lib/dpkg/status", "usr/share/doc/s6/copyright", "etc/ssl/certs/ca-certificates.crt", "usr/share/zoneinfo/Europe/Zurich", "command/s6-setuidgid", "command/with-contenv", "usr/bin/with-contenv", "docker-mods", "usr/bin/lsiown"} {
		if r.headers[path] == nil {
			t.Errorf("%s is missing", path)
		}
	}
}

func TestOnlyDebiansOwnProgramsRaisePrivileges(t *testing.T) {
	r := native(t)
	known := []string{"chage", "chfn", "chsh", "crontab", "expiry", "gpasswd", "mount", "newgrp", "passwd", "su", "umount", "unix_chkpwd"}
	for path, h := range r.headers {
		if h.Typeflag == '0' && h.Mode&0o6000 != 0 && !slices.Contains(known, filepath.Base(path)) {
			t.Errorf("%s has mode %o", path, h.Mode)
		}
		if h.Mode&0o002 != 0 && h.Mode&0o1000 == 0 && (h.Typeflag == '0' || h.Typeflag == '5') {
			t.Errorf("%s may be written by anybody: %o", path, h.Mode)
		}
	}
}

func TestTheArm64ImageIsArm64AndBoots(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	t.Parallel()
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	b := builder(t)
	img, err := b.Image(t.Context(), platform(other))
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != other || config.OS != "linux" {
		t.Errorf("the image is for %s/%s", config.OS, config.Architecture)
	}
	r := unpack(t, img)
	machine := map[string]byte{"arm64": 0xb7, "amd64": 0x3e}[other] // e_machine of ELF
	programs := 0
	for path, h := range r.headers {
		if h.Typeflag != '0' || h.Size < 20 {
			continue
		}
		if data, err := os.ReadFile(filepath.Join(r.dir, path)); err != nil {
			t.Error(err)
		} else if bytes.HasPrefix(data, []byte("\x7fELF")) {
			programs++
			if data[18] != machine {
				t.Errorf("%s is no program for %s", path, other)
			}
		}
	}
	if programs < 100 {
		t.Errorf("there are %d programs and libraries for %s, want 100 and more", programs, other)
	}
	for path := range r.headers {
		if path == "native" || strings.HasPrefix(path, "native/") || path == "usr/lib/"+map[string]string{"arm64": "x86_64", "amd64": "aarch64"}[other]+"-linux-gnu" {
			t.Errorf("%s is left of the installation", path)
		}
	}
	o := r.run(t, container{env: map[string]string{"QEMU_CPU": b.CPU[other], "PUID": "1234"}}, "uname -m; id -u abc")
	o.exits(t, 0)
	o.has(t, map[string]string{"arm64": "aarch64\n", "amd64": "x86_64\n"}[other], "1234\n", "[ls.io-init] done.")
}
