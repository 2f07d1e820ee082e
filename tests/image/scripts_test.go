package image

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/tests/need"
	"github.com/linuxserver/docker-netbox/tests/testrepo"
)

// shellScripts returns the scripts of the image and of its build, with the shell of
// each.
func shellScripts(t *testing.T) map[string]string {
	t.Helper()
	scripts := map[string]string{}
	for _, dir := range []string{"build", "root", "pipeline/base/rootfs", "pipeline/base/sidecars", ".github"} {
		err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			first, _, _ := bytes.Cut(data, []byte("\n"))
			switch {
			case !bytes.HasPrefix(first, []byte("#!")):
			case bytes.HasSuffix(first, []byte("bash")):
				scripts[path] = "bash"
			case bytes.HasSuffix(first, []byte("sh")):
				scripts[path] = "sh"
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return scripts
}

// All shell scripts are executable and parse in the shell of their first line.
func TestScriptsParse(t *testing.T) {
	scripts := shellScripts(t)
	for file, shell := range scripts {
		if out, err := exec.CommandContext(t.Context(), shell, "-n", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", file, err, out)
		}
		if info, err := os.Stat(file); err != nil || info.Mode()&0o111 != 0o111 {
			t.Errorf("%s is not executable: %v", file, err)
		}
	}
	if len(scripts) < 27 {
		t.Errorf("only %d scripts were found", len(scripts))
	}
}

// place is a root directory in which scripts run as on the published base: in
// busybox's shell, with only busybox's applets, Python and stand-ins as programs.
// Debian's busybox has fewer applets and options than Alpine's.
type place struct {
	t    *testing.T
	root string
}

// busybox returns the path of a busybox whose shell prefers programs on the PATH to
// applets. busybox-static does not, and both packages cannot be installed together.
func busybox(t *testing.T) string {
	t.Helper()
	file, err := exec.LookPath("busybox")
	if err != nil {
		need.Debian(t, "busybox")
		return "/usr/bin/busybox"
	}
	dir := t.TempDir()
	testrepo.Sh(t, dir, `printf '#!/bin/sh\necho program\n' >id && chmod +x id`)
	cmd := exec.CommandContext(t.Context(), file, "sh", "-c", "id")
	cmd.Env = []string{"PATH=" + dir}
	if out, err := cmd.Output(); err == nil && string(out) == "program\n" {
		return file
	}
	return testrepo.Sh(t, dir, `apt-get -q download busybox >said 2>&1 || { cat said; exit 1; }; dpkg-deb -x busybox_*.deb . && find "$PWD" -path '*bin/busybox'`)
}

func newPlace(t *testing.T) place {
	t.Helper()
	need.Root(t, "a root directory of its own")
	need.Debian(t, "python3")
	p := place{t, t.TempDir()}
	for _, dir := range []string{"bin", "dev", "proc", "tmp", "usr/bin", "usr/lib", "usr/lib64"} {
		p.dir(dir)
	}
	for name, target := range map[string]string{"lib": "usr/lib", "lib64": "usr/lib64"} {
		if err := os.Symlink(target, filepath.Join(p.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range map[string]string{"busybox": busybox(t), "python3": "/usr/bin/python3"} {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		p.file("usr/bin/"+name, string(data))
	}
	applets, err := exec.CommandContext(t.Context(), filepath.Join(p.root, "usr/bin/busybox"), "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for applet := range strings.FieldsSeq(string(applets)) {
		if err := os.Symlink("/usr/bin/busybox", filepath.Join(p.root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	scripts, err := filepath.Glob(filepath.Join(repository, "build", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, script := range scripts {
		p.file("build/"+filepath.Base(script), read(t, "build/"+filepath.Base(script)))
	}
	return p
}

func (p place) dir(path string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Join(p.root, path), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

func (p place) file(path, text string) {
	p.t.Helper()
	p.dir(filepath.Dir(path))
	file := filepath.Join(p.root, path)
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) { // it may link to a program of this machine
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// standIn replaces a program with a shell script that appends its arguments to /log.
func (p place) standIn(path, script string) {
	p.t.Helper()
	p.file(path, "#!/bin/sh\necho \"${0##*/} $*\" >>/log\n"+script+"\n")
}

func (p place) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(p.root, path))
	return err == nil
}

// log returns and deletes the log of all calls of stand-ins.
func (p place) log() string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.root, "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(p.root, "log")); err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// run runs an ash command line in the root directory.
func (p place) run(command string) (string, error) {
	const mounts = `cd "$0"; for dir in dev proc usr/lib usr/lib64; do mount --rbind "/$dir" "$dir"; done
		exec chroot . /bin/env -i PATH=/bin:/stand-ins HOME=/tmp /bin/sh -c "$1"`
	out, err := exec.CommandContext(p.t.Context(), "unshare", "--mount", "sh", "-euc", mounts, p.root, command).CombinedOutput()
	return string(out), err
}

func (p place) succeeds(command string) {
	p.t.Helper()
	if out, err := p.run(command); err != nil {
		p.t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func (p place) fails(command, says string) {
	p.t.Helper()
	out, err := p.run(command)
	if err == nil {
		p.t.Errorf("%s ended well, though something failed", command)
	}
	if !strings.Contains(out, says) {
		p.t.Errorf("%s does not say %q:\n%s", command, says, out)
	}
}

func TestPackagesUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.fails("/build/packages run", "neither apt-get nor apk")
	p.standIn("stand-ins/apk", "")
	p.succeeds("/build/packages run schema")
	if got, want := p.log(), "apk add --no-cache python3 libpq libldap libsasl ca-certificates nginx curl postgresql16 icu-data-full postgresql16-contrib\n"; got != want {
		t.Errorf("apk: %q, want %q", got, want)
	}
	p.fails("/build/packages run biuld", "there is no group biuld")
	p.standIn("stand-ins/apt-get", "")
	p.succeeds("CROSS_ARCH=amd64 CROSS_CPU=x86_64 /build/packages cross")
	if got, want := p.log(), "install --yes --no-install-recommends gcc-x86-64-linux-gnu libc6-dev:amd64 libpython3-dev:amd64 libpq-dev:amd64 libldap-dev:amd64 libsasl2-dev:amd64\n"; !strings.Contains(got, want) {
		t.Errorf("apt-get: %q, want %q in it", got, want)
	}
	// Without a root of another architecture at /native, build/native only runs the command.
	p.succeeds("/build/native /build/packages run")
	if got := p.log(); !strings.Contains(got, "install --yes --no-install-recommends python3 ") {
		t.Errorf("apt-get: %q", got)
	}
	p.standIn("bin/awk", "exit 2")
	p.fails("/build/packages run", "")
	if got := p.log(); strings.Contains(got, "apt-get") {
		t.Errorf("without a list something was installed: %s", got)
	}
}

const packages = "lsiopy/lib/python3.99/site-packages"

// python replaces Python with a shell script that handles some calls and runs the
// real Python for the others. The reported version is 3.99.
func (p place) python(script string) {
	p.t.Helper()
	if err := os.Rename(filepath.Join(p.root, "usr/bin/python3"), filepath.Join(p.root, "usr/bin/python-real")); err != nil {
		p.t.Fatal(err)
	}
	p.standIn("usr/bin/python3", "case $* in *version_info*) echo 3.99; exit ;; esac\n"+script+"\nexec /usr/bin/python-real \"$@\"")
}

func TestInstallUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.python(`case $* in
		*get_config_var*) [ -z "${BROKEN-}" ] || exit 1; echo "${LIBC:-glibc}"; exit ;;
		"-m venv"*) mkdir -p /lsiopy/bin; echo '#!/usr/bin/python3' >/lsiopy/bin/other; exit ;;
		"-m pip"*) mkdir -p /` + packages + `/bin; printf '#!/usr/bin/python3\nprint()\n' >/` + packages + `/bin/netbox; exit ;;
		"-m zipfile"*) exit ;;
		esac`)
	p.succeeds("LIBC=musl /build/install arm64 /list.txt /wheels/one.whl /more.txt")
	log := p.log()
	for _, want := range []string{
		"--python-version 3.99 --implementation cp --abi cp399 --abi abi3 --abi none --target /" + packages +
			" --requirement /list.txt --requirement /more.txt --platform musllinux_1_2_aarch64 --platform musllinux_1_1_aarch64\n",
		"-m zipfile -e /wheels/one.whl /" + packages + "\n",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("%q is not in\n%s", want, log)
		}
	}
	text, err := os.ReadFile(filepath.Join(p.root, "lsiopy/bin/netbox"))
	if want := "#!/lsiopy/bin/python3\nprint()\n"; err != nil || string(text) != want {
		t.Errorf("the script is %q, %v, want %q", text, err, want)
	}
	p.succeeds("/build/install amd64 /list.txt")
	if log := p.log(); !strings.Contains(log, "--platform manylinux_2_34_x86_64 --platform manylinux_2_31_x86_64 ") {
		t.Errorf("for glibc: %s", log)
	}
	p.fails("/build/install riscv64 /list.txt", "riscv64: want amd64 or arm64")
	p.fails("/build/install amd64 /list.txt /wheels", "/wheels is neither a list nor a wheel")
	p.fails("BROKEN=1 /build/install amd64 /list.txt", "")
}

func TestExtensionsUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.python(`case $* in "-m venv"*) mkdir -p /tmp/tools/bin; printf '#!/bin/sh\necho "CC=${CC-} pip $*" >>/log\n' >/tmp/tools/bin/pip; chmod +x /tmp/tools/bin/pip; exit ;; esac`)
	p.standIn("bin/uname", `[ -z "${BROKEN-}" ] || exit 1; echo x86_64`)
	p.succeeds("/build/extensions amd64 /wheels")
	if log := p.log(); !strings.Contains(log, "CC= pip wheel") || !strings.Contains(log, "-w /wheels -r /build/extensions.txt\n") {
		t.Errorf("natively: %s", log)
	}
	p.succeeds("/build/extensions arm64 /wheels")
	if log := p.log(); strings.Contains(log, "pip") {
		t.Errorf("apk has no libraries of another architecture, but wheels were made: %s", log)
	}
	p.standIn("stand-ins/dpkg", "")
	p.standIn("stand-ins/apt-get", "")
	p.succeeds("/build/extensions arm64 /wheels")
	if log := p.log(); !strings.Contains(log, "gcc-aarch64-linux-gnu libc6-dev:arm64") || !strings.Contains(log, "CC=aarch64-linux-gnu-gcc pip wheel") {
		t.Errorf("crosswise: %s", log)
	}
	p.fails("BROKEN=1 /build/extensions amd64 /wheels", "")
	if log := p.log(); strings.Contains(log, "pip") {
		t.Errorf("for a machine that is not known: %s", log)
	}
}

func TestCompileUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.file("site/good/one.py", "print(1)\n")
	p.file("site/good/deep/er.py", "print(2)\n")
	p.file("site/single.py", "print(3)\n")
	p.file("site/template/bad.py", "{{ name }} = = 1\n")
	p.file("site/x.dist-info/not.txt", "")
	p.succeeds("/build/compile /site")
	for _, dir := range []string{"site/good", "site/good/deep", "site"} {
		if found, err := filepath.Glob(filepath.Join(p.root, dir, "__pycache__/*.pyc")); err != nil || len(found) != 1 {
			t.Errorf("%s: byte code %v, %v", dir, found, err)
		}
	}
	p.file("site/full/__pycache__", "") // a file, so that no byte code can be written
	p.file("site/full/two.py", "print(4)\n")
	p.fails("/build/compile /site", "full/two.py was not compiled")
	if err := os.RemoveAll(filepath.Join(p.root, "site/full")); err != nil {
		t.Fatal(err)
	}
	p.python(`case $* in *compileall*) kill -9 $$ ;; esac`)
	p.fails("/build/compile /site", "compile: xargs ended with status")
}

func TestFinishUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.python("")
	p.standIn("build/compile", "")
	fill := func() {
		t.Helper()
		for _, dir := range []string{"lsiopy", "netbox"} {
			if err := os.RemoveAll(filepath.Join(p.root, dir)); err != nil {
				t.Fatal(err)
			}
		}
		for _, path := range []string{
			"netbox/__init__.py", "netbox/_data/docs/index.html", "netbox/_data/translations/en/x", "netbox/_data/translations/pt/x",
			"netbox/tests/test.py", "django/conf/locale/pt_BR/LC_MESSAGES/django.mo", "django/conf/locale/xx/LC_MESSAGES/django.mo",
			"django/conf/locale/en/formats.py", "django/stub.pyi", "botocore/data/s3/x", "botocore/data/ec2/x", "netbox-1.dist-info/METADATA",
			"pip/_vendor/distlib/t64.exe", "pip/__pycache__/__main__.pyc", "rich/one.pyc", "dulwich/one.pyc", "pygments/one.pyc",
			"pygments/lexers/__init__.pyc", "pygments/lexers/_mapping.pyc", "pygments/lexers/python.pyc", "pygments/lexers/python.py",
		} {
			p.file(packages+"/"+path, "")
		}
		p.file(packages+"/netbox-1.dist-info/RECORD", "../../bin/netbox,,\nnetbox/__init__.py,sha256=0,1\nnetbox/_data/x,,\nnetbox-1.dist-info/RECORD,,\n")
	}
	fill()
	p.succeeds("/build/finish")
	for path, want := range map[string]bool{
		packages + "/netbox":                                  false,
		"netbox/" + packages + "/netbox/_data/docs":           true,
		"netbox/" + packages + "/netbox/tests":                false,
		"netbox/" + packages + "/netbox-1.dist-info/METADATA": true,
		packages + "/django/conf/locale/pt_BR":                true,
		packages + "/django/conf/locale/xx":                   false,
		packages + "/django/stub.pyi":                         false,
		packages + "/botocore/data/s3":                        true,
		packages + "/botocore/data/ec2":                       false,
		packages + "/pip/_vendor/distlib/t64.exe":             false,
		packages + "/pip/__pycache__/__main__.pyc":            false,
		packages + "/rich/one.pyc":                            false,
		packages + "/dulwich/one.pyc":                         false,
		packages + "/pygments/one.pyc":                        true,
		packages + "/pygments/lexers/__init__.pyc":            true,
		packages + "/pygments/lexers/_mapping.pyc":            true,
		packages + "/pygments/lexers/python.pyc":              false,
		packages + "/pygments/lexers/python.py":               true,
	} {
		if p.exists(path) != want {
			t.Errorf("%s: there %v, want %v", path, !want, want)
		}
	}
	for _, missing := range []string{"netbox/_data/translations", "netbox-1.dist-info/RECORD", "botocore/data"} {
		fill()
		if err := os.RemoveAll(filepath.Join(p.root, packages, missing)); err != nil {
			t.Fatal(err)
		}
		p.fails("/build/finish", "")
	}
	fill()
	p.standIn("bin/find", `case $* in *locale*) exit 1 ;; esac; exec busybox find "$@"`)
	p.fails("/build/finish", "")
}

// build/schema dumps, checks and packs. PostgreSQL and NetBox are stand-ins.
func TestSchemaUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.file("etc/passwd", "root:x:0:0::/root:/bin/sh\npostgres:x:70:70::/tmp:/bin/sh\n")
	p.file("etc/group", "root:x:0:\npostgres:x:70:\n")
	for _, program := range []string{"initdb", "pg_ctl", "createdb"} {
		p.standIn("usr/libexec/postgresql16/"+program, "")
	}
	p.standIn("stand-ins/su", `[ "$1 $2 $3 $4" = "postgres -s /bin/sh -c" ] && exec sh -c "$5"`)
	p.standIn("usr/libexec/postgresql16/pg_dump", `while [ "$1" != --file ]; do shift; done; echo schema >"$2"; exit "${BROKEN:-0}"`)
	p.standIn("lsiopy/bin/python3", `case $* in *migrate.py*) echo migration >"$2" ;; *pack*) cat "$4" "$5" ;; esac`)
	p.succeeds("/build/schema /build /schema.gz")
	if text, err := os.ReadFile(filepath.Join(p.root, "schema.gz")); err != nil || string(text) != "schema\nmigration\n" {
		t.Errorf("packed: %q, %v", text, err)
	}
	p.fails("BROKEN=1 /build/schema /build /broken.gz", "")
	if p.exists("broken.gz") {
		t.Error("a dump that failed was packed")
	}
}

// build/lock writes the locked lists. The resolver is a stand-in.
func TestLockUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.file("versions.yml", "netbox:\n  release: 9.9.9\n  previous: 9.9.8\n")
	p.standIn("stand-ins/uv", `while [ $# -gt 0 ]; do [ "$1" != --output-file ] || out=$2; shift; done
		printf '# head\ndjango==1\n    --hash=1\ngunicorn==1\n    --hash=2\npython-ldap==1\n    --hash=3\n' >"$out"
		[ -n "${BROKEN-}" ] || printf 'psycopg-c==3.1 ; x\n    --hash=4\n' >>"$out"`)
	p.succeeds("/build/lock")
	for list, want := range map[string]string{
		"extensions.txt":   "# head\npython-ldap==1\n    --hash=3\npsycopg-c==3.1 ; x\n    --hash=4\n",
		"requirements.txt": "# head\ndjango==1\n    --hash=1\ngunicorn==1\n    --hash=2\n",
		"extras.txt":       "# head\n",
	} {
		if text, err := os.ReadFile(filepath.Join(p.root, "build", list)); err != nil || string(text) != want {
			t.Errorf("%s is %q, %v, want %q", list, text, err, want)
		}
	}
	p.fails("BROKEN=1 /build/lock", "nothing requires psycopg-c")
	p.file("versions.yml", "netbox:\n  release: 9.9.9\n")
	p.fails("/build/lock", "versions.yml pins no NetBox as previous")
}

// If id fails, as-abc also fails: otherwise the command would run as root.
func TestAsAbcUnderBusybox(t *testing.T) {
	p := newPlace(t)
	p.file("as-abc", read(t, "root/usr/bin/as-abc"))
	p.standIn("command/s6-setuidgid", "")
	p.succeeds("/as-abc id")
	if log := p.log(); log != "s6-setuidgid abc id\n" {
		t.Errorf("as root: %q", log)
	}
	p.standIn("bin/id", "exit 1")
	p.fails("/as-abc echo as root", "")
	if log := p.log(); log != "id -u\n" {
		t.Errorf("with a broken id: %q", log)
	}
}
