package local_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/tests/need"
)

const (
	// settleAlone, when set to platforms, makes this test program only call settle
	// for them and exit with the status of the command line.
	settleAlone = "LOCAL_ENGINE_TEST_SETTLE"
	// blockCall names a system call that a seccomp filter then blocks: the call's
	// number, an argument's index, a mask of that argument's bits, the error.
	blockCall = "LOCAL_ENGINE_TEST_BLOCK"
)

func settledAlone(platforms string) int {
	var wanted []v1.Platform
	for text := range strings.FieldsSeq(platforms) {
		p, err := v1.ParsePlatform(text)
		if err != nil {
			panic(err)
		}
		wanted = append(wanted, *p)
	}
	if blocked := os.Getenv(blockCall); blocked != "" {
		var call, argument, bits, number uint32
		if _, err := fmt.Sscan(blocked, &call, &argument, &bits, &number); err != nil {
			panic(err)
		}
		block(call, argument, bits, number)
	}
	err := settle(wanted...)
	for _, line := range failure.Lines(err) {
		fmt.Fprintln(os.Stderr, line)
	}
	return failure.ExitCode(err)
}

// block installs a seccomp filter that blocks a system call of this process, as
// container runtimes do.
func block(call, argument, bits, number uint32) {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the call's number
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 3, K: call},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 16 + 8*argument},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jf: 1, K: bits},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | number},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		panic(errno)
	}
}

// Before anything starts, one line names what the machine lacks and what to do. The
// exit status is that of a missing prerequisite.
func TestWhatAMachineLacksIsOneLineAtTheStart(t *testing.T) {
	need.Root(t, "making the surroundings")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	refuse := func(call, argument, bits int, err unix.Errno) string {
		return fmt.Sprintf("%s=%d %d %d %d", blockCall, call, argument, bits, err)
	}
	const both = "linux/amd64 linux/arm64"
	other := foreign.Architecture
	for name, test := range map[string]struct {
		env    []string
		within string // shell commands to run first, with private mounts
		run    string // the command that runs the program
		says   []string
	}{
		"a filter on mount":         {env: []string{refuse(unix.SYS_MOUNT, 3, unix.MS_REC|unix.MS_PRIVATE, unix.EPERM)}, says: []string{"mount", "not permitted", "--privileged"}},
		"a filter on unshare":       {env: []string{refuse(unix.SYS_UNSHARE, 0, -1&0x7fffffff, unix.EPERM)}, says: []string{"making a mount namespace", "seccomp", "--privileged"}},
		"no namespaces of networks": {env: []string{refuse(unix.SYS_UNSHARE, 0, unix.CLONE_NEWNET, unix.EINVAL)}, says: []string{"making a network namespace", "--engine dagger"}},
		"no more namespaces":        {env: []string{refuse(unix.SYS_UNSHARE, 0, unix.CLONE_NEWPID, unix.ENOSPC)}, says: []string{"making a PID namespace", "/proc/sys/user"}},
		"a user namespace":          {run: "unshare --user --map-root-user", says: []string{"null", "--privileged"}},
		"an ordinary container":     {run: "setpriv --bounding-set -sys_admin,-net_admin --inh-caps -sys_admin,-net_admin", says: []string{"no CAP_NET_ADMIN, CAP_SYS_ADMIN", "--privileged"}},
		"no root":                   {run: "setpriv --reuid 65534 --clear-groups", says: []string{"run as root", "sudo"}},
		"no devices":                {within: "mount -t tmpfs tmpfs /dev", says: []string{"/dev/null", "--privileged"}},
		"a read-only /sys":          {within: "for dir in $(findmnt --raw --noheadings --output TARGET --submounts /sys); do mount -o remount,bind,ro $dir; done", says: []string{"making a control group", "--privileged"}},
		"no binfmt_misc":            {within: "mount -t tmpfs tmpfs /proc/sys/fs", says: []string{"emulating " + other, "modprobe binfmt_misc", "--platform linux/" + native.Architecture}},
		"another user's cache":      {within: `chown 4321 "$XDG_CACHE_HOME/docker-netbox"`, says: []string{"belongs to user 4321", "chown"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cache := t.TempDir()
			if err := os.MkdirAll(cache+"/docker-netbox/engine-test", 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-euc", test.within+"\nexec "+test.run+` "$@"`, "sh", self)
			cmd.Env = append(os.Environ(), append(test.env, settleAlone+"="+both, "XDG_CACHE_HOME="+cache)...)
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != failure.ExitUsage {
				t.Errorf("%v", err)
			}
			if strings.Count(out.String(), "\n") != 1 {
				t.Errorf("it is not one line:\n%s", out.String())
			}
			for _, want := range test.says {
				if !strings.Contains(out.String(), want) {
					t.Errorf("it does not say %q: %s", want, out.String())
				}
			}
		})
	}
}

func TestOnePlatformGoesOnWithoutEmulation(t *testing.T) {
	need.Root(t, "making the surroundings")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-euc", `mount -t tmpfs tmpfs /proc/sys/fs; exec "$@"`, "sh", self)
	cmd.Env = append(os.Environ(), settleAlone+"="+native.String(), "XDG_CACHE_HOME="+t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
