package life

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

// s3 returns an S3 server whose buckets are the directories under data.
func (w *world) s3(name, access, secret, data string) engine.Container {
	w.t.Helper()
	tool := exec.CommandContext(w.t.Context(), "go", "tool", "-n", "versitygw") // builds it if necessary
	tool.Dir = filepath.Join(repository, "tests", "tools")
	tool.Env = append(os.Environ(), "CGO_ENABLED=0")
	var errs bytes.Buffer
	tool.Stderr = &errs
	program, err := tool.Output()
	if err != nil {
		w.t.Fatalf("build the S3 server: %v: %s", err, errs.Bytes())
	}
	dir, file := filepath.Split(strings.TrimSpace(string(program)))
	c := w.sides.Redis // an image with a shell
	c.Name = name
	c.Entrypoint = []string{"/opt/s3/" + file, "--port", ":7070", "posix", "--nometa", "/data"}
	c.Secrets = map[string]string{"ROOT_ACCESS_KEY": access, "ROOT_SECRET_KEY": secret}
	c.Mounts = []engine.Mount{{Path: "/opt/s3", Host: dir}, {Path: "/data", Host: data}}
	c.Ready = listens(7070)
	return c
}

func TestUploadsGoToAnS3Bucket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	data, access, secret := t.TempDir(), rand.Text(), rand.Text()
	bucket := filepath.Join(data, "netbox")
	if err := os.Mkdir(bucket, 0o755); err != nil {
		t.Fatal(err)
	}
	w.ready(w.s3("s3.example.com", access, secret, data))
	settings := fence(t, "python", "STORAGES")
	if !strings.Contains(settings, "'https://s3.example.com'") {
		t.Fatalf("the example of docs/configuration.md is for another server:\n%s", settings)
	}
	w.write("configuration.py", strings.Replace(settings, "https://s3.example.com", "http://s3.example.com:7070", 1))
	spec := w.spec("netbox", map[string]string{"S3_ACCESS_KEY": access, "FILE__S3_SECRET_KEY": "/run/secrets/s3"})
	spec.Files = append(spec.Files, engine.File{Path: "/run/secrets/s3", Mode: 0o400, Content: []byte(secret)})
	c := w.start(spec)
	w.up(c, "/login/")
	token := w.token()
	site := w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"})

	drawing := drawing(t)
	made := w.attach(token, site["id"], drawing)
	var stored string
	err := filepath.WalkDir(bucket, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && strings.HasSuffix(path, ".png") {
			stored = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if held, _ := os.ReadFile(stored); !bytes.Equal(held, drawing) {
		t.Errorf("the bucket holds %q with %d bytes, want the picture of %d", stored, len(held), len(drawing))
	}
	if kept, _ := filepath.Glob(filepath.Join(w.config, "media", "*")); len(kept) > 0 {
		t.Errorf("there are files under /config/media too: %q", kept)
	}
	address, _ := made["image"].(string)
	if got := w.browse("", nil).get(address); got.status != http.StatusOK || !bytes.Equal(got.body, drawing) {
		t.Errorf("the picture comes back from %s with %d and %d bytes: %.300s", address, got.status, len(got.body), got.body)
	}
	unsigned, _, _ := strings.Cut(address, "?")
	if got := w.browse("", nil).get(unsigned); got.status != http.StatusForbidden {
		t.Errorf("without its signature the picture is answered with %d, want 403", got.status)
	}
	if res, err := w.ask(http.MethodDelete, fmt.Sprintf("/api/extras/image-attachments/%v/", made["id"]), token, nil); err != nil || res.status != http.StatusNoContent {
		t.Fatalf("deleting the picture: %d, %v: %s", res.status, err, res.body)
	}
	if _, err := os.Stat(stored); !os.IsNotExist(err) {
		t.Errorf("the deleted picture is still in the bucket: %v", err)
	}
	w.stop(c)
}

func drawing(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := png.Encode(&out, image.NewRGBA(image.Rect(0, 0, 16, 16))); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// attach uploads a picture to a site.
func (w *world) attach(token string, site any, drawing []byte) map[string]any {
	w.t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for name, value := range map[string]string{"object_type": "dcim.site", "object_id": fmt.Sprint(site), "name": "front"} {
		if err := form.WriteField(name, value); err != nil {
			w.t.Fatal(err)
		}
	}
	part, err := form.CreateFormFile("image", "front.png")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := part.Write(drawing); err != nil {
		w.t.Fatal(err)
	}
	if err := form.Close(); err != nil {
		w.t.Fatal(err)
	}
	b := w.browse("http://"+host+":8000", nil)
	b.header = map[string]string{"Authorization": "Bearer " + token, "Accept": "application/json"}
	return decoded(w.t, http.StatusCreated, b.ask(http.MethodPost, "/api/extras/image-attachments/", form.FormDataContentType(), body.Bytes()))
}
