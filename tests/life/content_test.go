package life

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/base/basetest"
	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/tests/need"
)

// content is the merged file system of an image's layers.
type content struct {
	files map[string]*tar.Header // by path, without the leading slash
	text  map[string][]byte      // of the requested files
	found []string               // matching files, including those that a later layer hides
}

// readContent reads every layer of an image. It keeps the text of the named files and
// records each file in any layer whose content matches.
func readContent(t *testing.T, img v1.Image, match *regexp.Regexp, keep ...string) content {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	c := content{files: map[string]*tar.Header{}, text: map[string][]byte{}}
	for number, layer := range layers {
		r, err := layer.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for tr := tar.NewReader(r); ; {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("layer %d: %v", number, err)
			}
			name := strings.Trim(path.Clean(h.Name), "/")
			if dir, file := path.Split(name); strings.HasPrefix(file, ".wh.") {
				hidden := path.Join(dir, strings.TrimPrefix(file, ".wh."))
				if file == ".wh..wh..opq" {
					hidden = path.Clean(dir)
				}
				maps.DeleteFunc(c.files, func(p string, _ *tar.Header) bool { return p == hidden || strings.HasPrefix(p, hidden+"/") })
				continue
			}
			c.files[name] = h
			if h.Typeflag != tar.TypeReg {
				continue
			}
			text, err := io.ReadAll(tr)
			if err != nil {
				t.Fatalf("layer %d: %s: %v", number, name, err)
			}
			if match != nil && match.Match(text) {
				c.found = append(c.found, fmt.Sprintf("layer %d: /%s", number, name))
			}
			if slices.Contains(keep, name) {
				c.text[name] = text
			}
		}
		r.Close()
	}
	return c
}

// leftovers match files that only a build needs or that it leaves behind.
var leftovers = map[string]*regexp.Regexp{
	"a compiler":                    regexp.MustCompile(`(^|/)bin/([\w.]+-)*(gcc|g\+\+|cc|c\+\+|cpp|clang|ld(\.(bfd|gold|lld))?|as|make|cmake|rustc|cargo|cython)(-[\d.]+)?$|/(cc1|cc1plus|collect2|lto1)$`),
	"for compiling":                 regexp.MustCompile(`^usr(/local)?/include/.|\.(a|h|hh|hpp|pxd|pyx|o)$`),
	"a cache":                       regexp.MustCompile(`(^|/)\.cache(/|$)|^var/cache/.+\.(deb|bin|whl|tar|gz)$`),
	"a package list":                regexp.MustCompile(`^var/lib/apt/lists/.|^var/cache/apk/.|^etc/apk/cache/.`),
	"what the build laid out":       regexp.MustCompile(`^(build|wheels|cross|overlay|schema\.sql\.gz)(/|$)|^(tmp|run)/.`),
	"a setting of the build's host": regexp.MustCompile(`^etc/pip\.conf$|(^|/)\.(netrc|pypirc|npmrc|git|docker|ssh|config)(/|$)|^run/secrets`),
}

// secretValue matches an assignment to a variable, argument or label whose name
// suggests a secret.
var secretValue = regexp.MustCompile(`(?i)\w*(password|passwd|secret|pepper|token|credential|api_?key|private_?key|SECRET_KEY)\w*=[^\s,"']+`)

// TestTheImageHoldsNothingThatOnlyItsBuildNeeded reads the images of both platforms
// without booting them.
func TestTheImageHoldsNothingThatOnlyItsBuildNeeded(t *testing.T) {
	t.Parallel()
	need.Root(t, "making the image")
	dist := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "run", "./ci", "build", "--engine", "local", "--output", dist)
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the images: %v: %s", err, out[max(0, len(out)-4000):])
	}
	idx, err := registry.ReadLayout(t.Context(), filepath.Join(dist, "image"))
	if err != nil {
		t.Fatal(err)
	}
	images, err := registry.Images(idx)
	if err != nil {
		t.Fatal(err)
	}
	if len(images) != 2 {
		t.Fatalf("there are %d images, want one for each of two platforms", len(images))
	}
	builder := basetest.Builder(t, repository)
	bases, err := builder.Base(t.Context(), images[0].Platform, images[1].Platform)
	if err != nil {
		t.Fatal(err)
	}
	private := privateText()
	for _, image := range images {
		t.Run(registry.Key(image.Platform), func(t *testing.T) {
			under, err := engine.ImageFor(bases, image.Platform)
			if err != nil {
				t.Fatal(err)
			}
			base := readContent(t, under, nil)
			c := readContent(t, image.Image, private, "etc/passwd", "etc/group", "opt/netbox/schema.sql.gz")
			if len(c.files) < 10_000 {
				t.Fatalf("only %d files were read", len(c.files))
			}
			for _, found := range c.found {
				if strings.Contains(found, "/libgnutls.so.") {
					continue // the published keys of GnuTLS's self-tests
				}
				t.Errorf("%s holds a private key, or what the building machine keeps to itself", found)
			}
			configTellsNothing(t, image.Image)
			schemaHoldsNoAccount(t, c.text["opt/netbox/schema.sql.gz"])
			users, groups := ids(t, c.text["etc/passwd"]), ids(t, c.text["etc/group"])
			for _, name := range slices.Sorted(maps.Keys(c.files)) {
				h := c.files[name]
				for what, pattern := range leftovers {
					if pattern.MatchString(name) {
						t.Errorf("/%s is %s", name, what)
					}
				}
				if !users[h.Uid] || !groups[h.Gid] {
					t.Errorf("/%s belongs to %d:%d, whom the image does not know", name, h.Uid, h.Gid)
				}
				theirs := base.files[name]
				if power(h) != "" && (theirs == nil || power(theirs) != power(h)) {
					t.Errorf("/%s runs with the powers of another (%s), which the base's does not", name, power(h))
				}
				if h.Typeflag != tar.TypeSymlink && h.Mode&0o002 != 0 && h.Mode&0o1000 == 0 {
					t.Errorf("/%s can be written by all: mode %o", name, h.Mode)
				}
				ours := strings.HasPrefix(name, "lsiopy") || strings.HasPrefix(name, "opt/netbox")
				if ours && (h.Uid != 0 || h.Gid != 0 || h.Typeflag != tar.TypeSymlink && h.Mode&0o022 != 0) {
					t.Errorf("/%s can be written by another than root: %d:%d, mode %o", name, h.Uid, h.Gid, h.Mode)
				}
			}
		})
	}
}

// privateText matches private keys, and passwords from this machine's environment.
func privateText() *regexp.Regexp {
	parts := []string{`-----BEGIN (\w+ )*PRIVATE KEY-----\s+[A-Za-z0-9+/]{40}`}
	login := regexp.MustCompile(`://([^/\s:@]*:[^/\s@]+)@`)
	for _, variable := range os.Environ() {
		for _, m := range login.FindAllStringSubmatch(variable, -1) {
			parts = append(parts, regexp.QuoteMeta(m[1]))
		}
	}
	return regexp.MustCompile(strings.Join(parts, "|"))
}

// power returns the rights that a file grants beyond those of its caller, or "".
func power(h *tar.Header) string {
	var powers []string
	if h.Typeflag == tar.TypeReg && h.Mode&0o6000 != 0 {
		powers = append(powers, fmt.Sprintf("mode %o", h.Mode&0o7777))
	}
	for name, value := range h.PAXRecords {
		if strings.HasSuffix(name, "security.capability") {
			powers = append(powers, fmt.Sprintf("capabilities %x", value))
		}
	}
	return strings.Join(powers, ", ")
}

// ids returns the numeric IDs in an account file.
func ids(t *testing.T, text []byte) map[int]bool {
	t.Helper()
	found := map[int]bool{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) > 2 {
			id, err := strconv.Atoi(f[2])
			if err != nil {
				t.Fatal(err)
			}
			found[id] = true
		}
	}
	if !found[0] || !found[911] {
		t.Fatalf("the accounts of the image lack root or abc: %s", text)
	}
	return found
}

// configTellsNothing checks for secrets in everything that `docker inspect` and `docker
// history` show.
func configTellsNothing(t *testing.T, img v1.Image) {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	texts = append(texts, config.Config.Env...)
	for name, value := range config.Config.Labels {
		texts = append(texts, name+"="+value)
	}
	for _, step := range config.History {
		texts = append(texts, step.CreatedBy, step.Comment)
	}
	if len(config.History) < 5 || len(config.Config.Env) < 5 {
		t.Errorf("%d steps of history and %d variables were read", len(config.History), len(config.Config.Env))
	}
	for _, text := range texts {
		if m := secretValue.FindString(text); m != "" {
			t.Errorf("the image's config shows %q, in %.200s", m, text)
		}
	}
}

// schemaHoldsNoAccount checks that the snapshot has no accounts, tokens or sessions:
// they would be the same in every installation. It does fill the permission tables and
// similar ones.
func schemaHoldsNoAccount(t *testing.T, packed []byte) {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatalf("the schema snapshot: %v", err)
	}
	script, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	filled := regexp.MustCompile(`(?m)^INSERT INTO public\.(\w+)`).FindAllSubmatch(script, -1)
	if len(filled) < 3 {
		t.Errorf("the snapshot fills %d tables: it was not read", len(filled))
	}
	for _, m := range filled {
		switch table := string(m[1]); table {
		case "users_user", "users_token", "django_session", "users_group", "users_objectpermission", "core_configrevision":
			t.Errorf("the schema snapshot brings rows of %s along", table)
		}
	}
}
