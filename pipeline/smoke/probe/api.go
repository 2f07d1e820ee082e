package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// api returns a request to the REST API as the superuser.
func (p *probe) api(method, path string, in any) request { return api(p.bearer, method, path, in) }

// api returns a request to the REST API with the given token.
func api(bearer, method, path string, in any) request {
	q := request{method: method, path: path, header: map[string]string{"Accept": "application/json", "Authorization": "Bearer " + bearer}}
	if in != nil {
		q.body, _ = json.Marshal(in) // never fails for strings and numbers
		q.header["Content-Type"] = "application/json"
	}
	return q
}

// token creates a version 2 API token and uses it. Creating it with the password
// would hash the password a third time, which takes seconds under emulation.
func (p *probe) token(t *checkRun) string {
	var made struct {
		Version int
		Key     string
		Token   string
	}
	t.decode(t.send(p.api(http.MethodPost, "/api/users/tokens/", map[string]any{
		"user": map[string]string{"username": p.user}, "description": "smoke test",
	}), http.StatusCreated), &made)
	t.expect(made.Version == 2 && made.Key != "" && made.Token != "",
		"201, but a token of version %d with a key of %d and a secret of %d characters", made.Version, len(made.Key), len(made.Token))
	// A token with a wrong secret must fail, or the next check would prove nothing.
	const who = "/api/authentication-check/"
	bearer := "nbt_" + made.Key + "."
	wrong := api(bearer+strings.Repeat("x", len(made.Token)), http.MethodGet, who, nil)
	t.send(wrong.withNote("with a wrong token"), http.StatusUnauthorized, http.StatusForbidden)

	var user struct{ Username string }
	t.decode(t.send(api(bearer+made.Token, http.MethodGet, who, nil), http.StatusOK), &user)
	t.expect(user.Username == p.user, "200, but as user %q", user.Username)
	return fmt.Sprintf("a version-2 token that is known as %s's", p.user)
}

// status is the response of /api/status/.
type status struct {
	Version string `json:"netbox-version"`
	Workers int    `json:"rq-workers-running"`
}

func (p *probe) status(t *checkRun) (s status) {
	t.decode(t.send(p.api(http.MethodGet, "/api/status/", nil), http.StatusOK), &s)
	return s
}

func (p *probe) release(t *checkRun) string {
	s := p.status(t)
	t.expect(s.Version == p.version, "release %q instead of %q", s.Version, p.version)
	return fmt.Sprintf("release %s", s.Version)
}

func (p *probe) workers(t *checkRun) string {
	return p.retry(t, func(t *checkRun) string {
		s := p.status(t)
		t.expect(s.Workers >= 1, "no worker running")
		return fmt.Sprintf("%d running", s.Workers)
	})
}

// object has the fields of API objects that the checks read.
type object struct {
	ID      int
	Name    string
	Prefix  netip.Prefix
	Address netip.Prefix
}

// create creates an object and reads it back. It returns the object and its path.
func (p *probe) create(t *checkRun, endpoint string, in any) (o object, at string) {
	var made object
	t.decode(t.send(p.api(http.MethodPost, endpoint, in), http.StatusCreated), &made)
	at = fmt.Sprintf("%s%d/", endpoint, made.ID)
	t.decode(t.send(p.api(http.MethodGet, at, nil), http.StatusOK), &o)
	t.expect(o.ID == made.ID, "object %d instead of %d", o.ID, made.ID)
	return o, at
}

func (p *probe) site(t *checkRun) string {
	name := "smoke-" + strings.ToLower(rand.Text()[:10])
	o, _ := p.create(t, "/api/dcim/sites/", map[string]any{"name": name, "slug": name, "status": "active"})
	t.expect(o.Name == name, "site %d %q instead of %q", o.ID, o.Name, name)
	p.siteID, p.siteName = o.ID, o.Name
	return fmt.Sprintf("site %d with its name", o.ID)
}

// network returns a random documentation network, so that repeated runs against
// the same database do not collide.
func network() netip.Prefix {
	a := netip.MustParseAddr("2001:db8::").As16()
	_, _ = rand.Read(a[4:8]) // never fails
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

func (p *probe) prefix(t *checkRun) string {
	want := network()
	o, at := p.create(t, "/api/ipam/prefixes/", map[string]any{"prefix": want, "scope_type": "dcim.site", "scope_id": p.siteID})
	t.expect(o.Prefix == want, "prefix %d %s instead of %s", o.ID, o.Prefix, want)
	p.created.prefix = at
	return fmt.Sprintf("prefix %s", o.Prefix)
}

func (p *probe) address(t *checkRun) string {
	in := network()
	want := netip.PrefixFrom(in.Addr().Next(), in.Bits())
	o, at := p.create(t, "/api/ipam/ip-addresses/", map[string]any{"address": want})
	t.expect(o.Address == want, "address %d %s instead of %s", o.ID, o.Address, want)
	p.created.address = at
	return fmt.Sprintf("address %s", o.Address)
}

func (p *probe) graphql(t *checkRun) string {
	var found struct {
		Data struct {
			Users []struct{ Username string } `json:"user_list"`
		}
		Errors []struct{ Message string }
	}
	t.decode(t.send(p.api(http.MethodPost, "/graphql/", map[string]any{
		"query": fmt.Sprintf(`{ user_list(filters: {username: {exact: %q}}) { username } }`, p.user),
	}), http.StatusOK), &found)
	for _, e := range found.Errors {
		t.expect(false, "an error: %s", e.Message)
	}
	users := found.Data.Users
	t.expect(len(users) == 1 && users[0].Username == p.user, "%d users instead of %s", len(users), p.user)
	return p.user
}

// delete deletes the created objects. The site is last because the others refer to
// it.
func (p *probe) delete(t *checkRun) string {
	all := []string{p.created.image, p.created.address, p.created.prefix, fmt.Sprintf("/api/dcim/sites/%d/", p.siteID)}
	for _, at := range all {
		t.send(p.api(http.MethodDelete, at, nil), http.StatusNoContent)
		t.send(p.api(http.MethodGet, at, nil).withNote("after it was deleted"), http.StatusNotFound)
	}
	if t.failure == "" {
		t.describe("DELETE, then GET " + strings.Join(all, " "))
	}
	return "204, then 404 for each"
}

// image uploads a picture, checks its file and downloads it again.
func (p *probe) image(t *checkRun) string {
	t.describe("an image to send")
	noise := image.NewGray(image.Rect(0, 0, 8, 8)) // random, so unique
	_, _ = rand.Read(noise.Pix)                    // never fails
	var picture, body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("image", p.siteName+".png")
	if err == nil {
		err = png.Encode(io.MultiWriter(&picture, file), noise)
	}
	t.noError(errors.Join(err,
		form.WriteField("object_type", "dcim.site"),
		form.WriteField("object_id", fmt.Sprint(p.siteID)),
		form.WriteField("name", p.siteName),
		form.Close()))
	upload := p.api(http.MethodPost, "/api/extras/image-attachments/", nil)
	upload.header["Content-Type"], upload.body = form.FormDataContentType(), body.Bytes()
	var made struct {
		ID    int
		Image string
	}
	t.decode(t.send(upload, http.StatusCreated), &made)
	at, err := url.Parse(made.Image)
	if !t.expect(err == nil && strings.HasPrefix(at.Path, "/media/"), "an image at %q instead of under /media/", made.Image) {
		return ""
	}

	kept := filepath.Join(p.config, at.Path)
	info, err := os.Stat(kept)
	if !t.expect(err == nil, "201, but %v", err) {
		return ""
	}
	t.expect(owner(info) == p.uid, "201, but %s is owned by user %d instead of %d", kept, owner(info), p.uid)
	content, err := os.ReadFile(kept)
	t.expect(err == nil && bytes.Equal(content, picture.Bytes()), "201, but %s differs from what was sent (%d bytes, %v)", kept, len(content), err)

	t.web = p.session
	back := t.send(get(at.Path), http.StatusOK)
	t.expect(back.media() == "image/png" && bytes.Equal(back.body, picture.Bytes()), "%d bytes of %s that differ from what was sent", len(back.body), back.media())
	t.web = p.web
	r := t.send(get(at.Path).withNote("without logging in"))
	t.expect(r.status >= 300, "%s", r.summary())
	p.created.image = fmt.Sprintf("/api/extras/image-attachments/%d/", made.ID)
	return fmt.Sprintf("the same image, and as %s", kept)
}

// job makes a worker read a folder into the database, which needs the queue, the
// worker, the database and the file system.
func (p *probe) job(t *checkRun) string {
	t.describe("a folder to read")
	folder, err := os.MkdirTemp(p.config, ".smoke-")
	if !t.noError(err) {
		return ""
	}
	defer os.RemoveAll(folder)
	note := filepath.Join(folder, "note.txt")
	t.noError(errors.Join(
		os.WriteFile(note, []byte("asked by the smoke test\n"), 0o600),
		os.Chown(note, p.uid, -1),
		os.Chown(folder, p.uid, -1)))

	o, source := p.create(t, "/api/core/data-sources/", map[string]any{
		"name": filepath.Base(folder), "type": "local", "source_url": "file://" + folder,
	})
	t.send(p.api(http.MethodPost, source+"sync/", nil), http.StatusOK)
	got := p.retry(t, func(t *checkRun) string { return p.finished(t, o.ID) })
	var after struct {
		Files int `json:"file_count"`
	}
	t.decode(t.send(p.api(http.MethodGet, source, nil), http.StatusOK), &after)
	t.expect(after.Files == 1, "%d files read instead of 1, though the job is completed", after.Files)
	t.send(p.api(http.MethodDelete, source, nil), http.StatusNoContent)
	return got
}

// finished checks that the job of a data source is completed.
func (p *probe) finished(t *checkRun, source int) string {
	var jobs struct {
		Results []struct {
			ID     int
			Status struct{ Value string }
			Error  string
		}
	}
	t.decode(t.send(p.api(http.MethodGet, fmt.Sprintf("/api/core/jobs/?object_type=core.datasource&object_id=%d", source), nil), http.StatusOK), &jobs)
	if !t.expect(len(jobs.Results) == 1, "%d jobs instead of 1", len(jobs.Results)) {
		return ""
	}
	job := jobs.Results[0]
	t.expect(job.Status.Value == "completed", "job %d %s %s", job.ID, job.Status.Value, job.Error)
	return fmt.Sprintf("job %d completed", job.ID)
}
