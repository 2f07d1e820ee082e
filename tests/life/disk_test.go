package life

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// volume is a separate file system.
type volume struct {
	t   *testing.T
	dir string
}

// newVolume mounts a tmpfs of the given size, in the syntax of mount's size option.
func newVolume(t *testing.T, size string) volume {
	t.Helper()
	v := volume{t, filepath.Join(t.TempDir(), "volume")}
	if err := os.Mkdir(v.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", v.dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(v.dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return v
}

// fill fills the volume to the last byte.
func (v volume) fill() {
	v.t.Helper()
	f, err := os.Create(filepath.Join(v.dir, "ballast"))
	if err != nil {
		v.t.Fatal(err)
	}
	defer f.Close()
	for page := make([]byte, 4096); err == nil; {
		_, err = f.Write(page)
	}
	if pathErr, ok := err.(*os.PathError); !ok || pathErr.Err != unix.ENOSPC {
		v.t.Fatal(err)
	}
}

// empty removes what fill wrote.
func (v volume) empty() {
	v.t.Helper()
	if err := os.Remove(filepath.Join(v.dir, "ballast")); err != nil {
		v.t.Fatal(err)
	}
}

// seal makes the volume read-only, or writable again.
func (v volume) seal(sealed bool) {
	v.t.Helper()
	flags := uintptr(unix.MS_REMOUNT | unix.MS_NOSUID | unix.MS_NODEV)
	if sealed {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("", v.dir, "", flags, ""); err != nil {
		v.t.Fatal(err)
	}
}

// endsWithOneLine waits until a container fails, and checks that it logged one line
// with the parts in says.
func (w *world) endsWithOneLine(c *local.Container, says ...string) {
	w.t.Helper()
	defer func() { _ = c.Kill() }() // a running container would answer in place of the next
	if code := w.ended(c); code == 0 {
		w.t.Error("it ended with status 0")
	}
	var lines, before []string
	for line := range strings.Lines(said(c)) {
		if strings.HasPrefix(line, "[netbox] ") {
			lines = append(lines, line)
		} else if strings.HasPrefix(line, "[adduser] ") {
			before = append(before, line) // the last line when the base itself fails
		}
	}
	if len(lines) == 0 {
		lines = before
	}
	if len(lines) != 1 || strings.Contains(said(c), "Traceback") {
		w.t.Errorf("want one line that says what is wrong, got %q", lines)
		return
	}
	for _, part := range says {
		if !strings.Contains(lines[0], part) {
			w.t.Errorf("%q does not say %q", lines[0], part)
		}
	}
}

// TestAVolumeThatTakesNothingMore starts NetBox with /config on a full disk and on a
// read-only one: only the first start needs space there.
func TestAVolumeThatTakesNothingMore(t *testing.T) {
	t.Parallel()
	v, tmp := newVolume(t, "1m"), newVolume(t, "64k") // before the network, which sees only the mounts that exist when it is created
	w := newWorld(t)
	w.services()
	w.config = v.dir
	v.fill()
	w.endsWithOneLine(w.netbox(nil), "/config", "No space left on device")
	entries, err := os.ReadDir(filepath.Join(v.dir, "keys"))
	if err != nil || len(entries) > 0 {
		t.Errorf("the folder of the keys holds %v, %v; want nothing", entries, err)
	}
	v.empty()
	v.seal(true)
	w.endsWithOneLine(w.netbox(nil), "/config", "Read-only file system")
	v.seal(false)

	first := w.netbox(nil)
	w.up(first, "/login/")
	token := w.token()
	keys := fingerprints(t, v.dir)
	v.fill() // while NetBox runs
	w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
	w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"})
	healthy(t, first)
	w.stop(first)

	// All files that these starts need exist already.
	for _, now := range []struct {
		name   string
		change func(*engine.Container)
	}{
		{"full, as is /tmp", func(c *engine.Container) {
			if err := os.Chmod(tmp.dir, 0o1777); err != nil {
				t.Fatal(err)
			}
			tmp.fill()
			c.Mounts = append(c.Mounts, engine.Mount{Path: "/tmp", Host: tmp.dir})
		}},
		{"read-only", func(*engine.Container) { v.seal(true) }},
	} {
		t.Run(now.name, func(t *testing.T) {
			w := w.in(t)
			spec := w.spec("netbox", nil)
			now.change(&spec)
			c := w.start(spec)
			w.up(c, "/login/")
			w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
			healthy(t, c)
			w.stop(c)
			if strings.Contains(said(c), "lsiown") || strings.Contains(said(c), "Traceback") {
				t.Error("it complains")
			}
			if now := fingerprints(t, v.dir); now != keys {
				t.Errorf("the keys changed from %s to %s", keys, now)
			}
		})
	}
}
