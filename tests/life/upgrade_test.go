package life

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// script is an operator's script that creates a region as a mark.
const script = `from dcim.models import Region
from extras.scripts import Script

class Mark(Script):
    def run(self, data, commit):
        number = Region.objects.count()
        Region.objects.create(name=f'mark {number}', slug=f'mark-{number}')
`

// previous is the image of the release from which upgrades are tested. It is built once,
// while other tests run.
var previous struct {
	once  sync.Once
	image v1.Image
	err   error
}

func previousImage(t *testing.T) v1.Image {
	t.Helper()
	previous.once.Do(func() {
		pins, err := versions.Load(repository)
		if err != nil {
			previous.err = err
			return
		}
		dist := filepath.Join(machine.dist, "previous")
		build := exec.CommandContext(t.Context(), "go", "run", "./ci", "build", "--netbox", pins.NetBox.Previous,
			"--platform", "linux/"+runtime.GOARCH, "--output", dist)
		build.Dir = repository
		if out, err := build.CombinedOutput(); err != nil {
			previous.err = fmt.Errorf("build NetBox %s: %w: %s", pins.NetBox.Previous, err, out[max(0, len(out)-4000):])
			return
		}
		idx, err := registry.ReadLayout(t.Context(), filepath.Join(dist, "image"))
		if err != nil {
			previous.err = err
			return
		}
		previous.image, previous.err = engine.ImageFor(idx, platform.Linux(runtime.GOARCH))
	})
	if previous.err != nil {
		t.Fatal(previous.err)
	}
	return previous.image
}

func TestAnUpgradeFromThePreviousReleaseKeepsEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pins, err := versions.Load(repository)
	if err != nil {
		t.Fatal(err)
	}
	old := w.spec("old", nil)
	old.Image = previousImage(t)
	postgres, redis := w.services()

	before := w.start(old)
	w.up(before, "/login/")
	token := w.token()
	if got := w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)["netbox-version"]; got != pins.NetBox.Previous {
		t.Fatalf("this is NetBox %v, not %s", got, pins.NetBox.Previous)
	}
	kept := w.fill(token)
	w.stop(before)

	after := w.netbox(nil)
	t.Logf("upgrade from %s to %s: 200 after %.1f s", pins.NetBox.Previous, pins.NetBox.Release, w.up(after, "/login/").Seconds())
	if got := w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)["netbox-version"]; got != pins.NetBox.Release {
		t.Errorf("after the upgrade this is NetBox %v, not %s", got, pins.NetBox.Release)
	}
	w.holds(kept)
	w.daily(token)
	w.stop(after)

	// The previous release may have the same migrations. Some are reverted, so that the
	// upgrade applies some and can be killed meanwhile.
	w.takeBack(postgres, "outdated")
	fresh := func(w *world) *local.Container {
		w.t.Helper()
		w.sql(postgres, "netbox", "drop database if exists try with (force)", "create database try template outdated")
		w.redisCommand(redis, "flushall")
		return w.netbox(map[string]string{"DB_NAME": "try"})
	}
	applied := func(w *world) int {
		w.t.Helper()
		n, err := strconv.Atoi(w.sql(postgres, "try", "select count(*) from django_migrations"))
		if err != nil {
			w.t.Fatal(err)
		}
		return n
	}
	undisturbed := fresh(w)
	start := applied(w)
	took := w.up(undisturbed, "/login/")
	all := applied(w)
	if all-start < 2 {
		t.Fatalf("%d migrations were to be applied, too few for a test", all-start)
	}
	t.Logf("upgrade with %d migrations to apply: 200 after %.1f s", all-start, took.Seconds())
	w.holds(kept)
	w.stop(undisturbed)
	faults(t, took, sample(2), func(t *testing.T, after time.Duration) {
		w := w.in(t)
		w.config = kept.config
		c := fresh(w)
		time.Sleep(after)
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		w.ended(c)
		lacking := all - applied(w)
		next := w.netbox(map[string]string{"DB_NAME": "try"})
		t.Logf("killed with %d migrations left to apply: the next start answers after %.1f s", lacking, w.up(next, "/login/").Seconds())
		if now := applied(w); now != all {
			t.Errorf("%d migrations are applied, want %d", now, all)
		}
		w.holds(kept)
		w.daily(kept.token)
		w.stop(next)
	})
}

// takeBack copies the database without the newest migrations and without the data that
// NetBox derives from rows: cable paths and the search index. These migrations only
// recreate existing triggers, so reverting them only deletes their records, as NetBox's own
// reverse operation does.
func (w *world) takeBack(postgres *local.Container, database string) {
	w.t.Helper()
	w.sql(postgres, "postgres", "create database "+database+" template netbox")
	w.sql(postgres, database, "delete from django_migrations where name like '%_fix_ltree_cascade_triggers'",
		"delete from extras_cachedvalue", "update dcim_interface set _path_id = null", "delete from dcim_cablepath")
}

// treasure is an operator's data that an upgrade must keep.
type treasure struct {
	token  string
	config string
	photo  string // path of an uploaded image
}

// fill creates the operator's data.
func (w *world) fill(token string) *treasure {
	w.t.Helper()
	id := func(path string, body map[string]any) any {
		w.t.Helper()
		return w.must(http.StatusCreated, http.MethodPost, path, token, body)["id"]
	}
	site := id("/api/dcim/sites/", map[string]any{"name": "Reykjavík", "slug": "reykjavik", "description": "a word: fjallkona"})
	maker := id("/api/dcim/manufacturers/", map[string]any{"name": "Maker", "slug": "maker"})
	kind := id("/api/dcim/device-types/", map[string]any{"manufacturer": maker, "model": "Model", "slug": "model"})
	role := id("/api/dcim/device-roles/", map[string]any{"name": "Role", "slug": "role"})
	var ports []any
	for _, name := range []string{"left", "right"} {
		device := id("/api/dcim/devices/", map[string]any{"name": name, "site": site, "device_type": kind, "role": role})
		ports = append(ports, id("/api/dcim/interfaces/", map[string]any{"device": device, "name": "eth0", "type": "1000base-t"}))
	}
	end := func(port any) []any { return []any{map[string]any{"object_type": "dcim.interface", "object_id": port}} }
	id("/api/dcim/cables/", map[string]any{"a_terminations": end(ports[0]), "b_terminations": end(ports[1])})
	id("/api/users/users/", map[string]any{"username": "erla", "password": "Fjallkona-1944!"})

	var photo bytes.Buffer
	if err := png.Encode(&photo, image.NewGray(image.Rect(0, 0, 3, 3))); err != nil {
		w.t.Fatal(err)
	}
	attached := w.upload("/api/extras/image-attachments/", token,
		map[string]string{"object_type": "dcim.site", "object_id": fmt.Sprint(site), "name": "photo"}, "image", "photo.png", photo.Bytes())
	w.upload("/api/extras/scripts/upload/", token, nil, "file", "mark.py", []byte(script))
	address, err := url.Parse(fmt.Sprint(attached["image"]))
	if err != nil {
		w.t.Fatal(err)
	}
	kept := &treasure{token: token, config: w.config, photo: address.Path}
	w.runScript(kept)
	return kept
}

// holds checks that all of the operator's data exists.
func (w *world) holds(kept *treasure) {
	w.t.Helper()
	for path, want := range map[string]float64{
		"/api/dcim/sites/?slug=reykjavik":                1,
		"/api/dcim/devices/?name=left&name=right":        2,
		"/api/dcim/cables/":                              1,
		"/api/users/users/?username=erla":                1,
		"/api/extras/image-attachments/?name=photo":      1,
		"/api/dcim/interfaces/?name=eth0&connected=true": 2, // traced along the cable
	} {
		if got := w.must(http.StatusOK, http.MethodGet, path, kept.token, nil); got["count"] != want {
			w.t.Errorf("%s: there are %v, want %v", path, got["count"], want)
		}
	}
	b := w.browse("http://"+host+":8000", nil)
	b.mustLogIn("admin", password)
	if page := b.get("/search/?q=fjallkona"); !strings.Contains(string(page.body), "Reykjavík") {
		w.t.Error("the search does not find the site by a word of its description")
	}
	if photo := b.get(kept.photo); !strings.HasPrefix(string(photo.body), "\x89PNG") {
		w.t.Errorf("%s is not the image that was uploaded", kept.photo)
	}
	w.runScript(kept)
}

// runScript runs the operator's script in the background and checks its mark.
func (w *world) runScript(kept *treasure) {
	w.t.Helper()
	count := func() float64 {
		n, _ := w.must(http.StatusOK, http.MethodGet, "/api/dcim/regions/", kept.token, nil)["count"].(float64)
		return n
	}
	before := count()
	deadline := time.Now().Add(patience)
	for {
		res, err := w.ask(http.MethodPost, "/api/extras/scripts/mark.Mark/", kept.token, map[string]any{"data": map[string]any{}, "commit": true})
		if err == nil && res.status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the script is not run: %d, %v: %.300s", res.status, err, res.body)
		}
		time.Sleep(500 * time.Millisecond)
	}
	for count() == before {
		if time.Now().After(deadline) {
			w.t.Fatal("the script left no mark")
		}
		time.Sleep(200 * time.Millisecond)
	}
}
