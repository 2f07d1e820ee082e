package main

import (
	"bytes"
	"context"
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

	"github.com/linuxserver/docker-netbox/pipeline/smoke"
)

// api asks the REST API as the superuser.
func (p *probe) api(ctx context.Context, method, path string, in any) reply {
	return p.apiWith(ctx, p.bearer, method, path, in)
}

// apiWith asks with a token.
func (p *probe) apiWith(ctx context.Context, bearer, method, path string, in any) reply {
	q := request{method: method, path: path, header: map[string]string{"Accept": "application/json", "Authorization": "Bearer " + bearer}}
	if in != nil {
		body, err := json.Marshal(in)
		if err != nil {
			return reply{asked: method + " " + q.path, err: err}
		}
		q.body, q.header["Content-Type"] = body, "application/json"
	}
	return p.web.do(ctx, q)
}

// token makes an API token of version 2 and uses it. Asking for one with the
// password would cost a third hash of it, seconds where the image is emulated.
func (p *probe) token(ctx context.Context) smoke.Result {
	made := p.api(ctx, http.MethodPost, "/api/users/tokens/", map[string]any{
		"user": map[string]string{"username": p.user}, "description": "smoke test",
	})
	var t struct {
		Version int
		Key     string
		Token   string
	}
	if !made.is(http.StatusCreated, &t) {
		return made.bad()
	}
	if t.Version != 2 || t.Key == "" || t.Token == "" {
		return made.badf("201, but a token of version %d with a key of %d and a secret of %d characters", t.Version, len(t.Key), len(t.Token))
	}
	// A token that differs in its secret only must not pass, or the good one
	// passing would say nothing.
	const who = "/api/authentication-check/"
	bearer := "nbt_" + t.Key + "."
	wrong := p.apiWith(ctx, bearer+strings.Repeat("x", len(t.Token)), http.MethodGet, who, nil)
	wrong.asked += " with a wrong token"
	if wrong.err != nil || wrong.status != http.StatusUnauthorized && wrong.status != http.StatusForbidden {
		return wrong.bad()
	}

	used := p.apiWith(ctx, bearer+t.Token, http.MethodGet, who, nil)
	var user struct{ Username string }
	if !used.is(http.StatusOK, &user) {
		return used.bad()
	}
	if user.Username != p.user {
		return used.badf("200, but as user %q", user.Username)
	}
	return smoke.Result{OK: true, Asked: made.asked + ", then " + used.asked, Got: "a version-2 token that is known as " + p.user + "'s"}
}

// status is the answer of /api/status/.
type status struct {
	Version string `json:"netbox-version"`
	Workers int    `json:"rq-workers-running"`
}

func (p *probe) release(ctx context.Context) smoke.Result {
	r := p.api(ctx, http.MethodGet, "/api/status/", nil)
	var s status
	if !r.is(http.StatusOK, &s) {
		return r.bad()
	}
	if s.Version != p.version {
		return r.badf("release %q instead of %q", s.Version, p.version)
	}
	return r.okf("release %s", s.Version)
}

func (p *probe) workers(ctx context.Context) smoke.Result {
	return p.until(ctx, func(ctx context.Context) smoke.Result {
		r := p.api(ctx, http.MethodGet, "/api/status/", nil)
		var s status
		if !r.is(http.StatusOK, &s) {
			return r.bad()
		}
		if s.Workers < 1 {
			return r.badf("no worker running")
		}
		return r.okf("%d running", s.Workers)
	})
}

// object is the part all objects of the API have in common.
type object struct {
	ID      int
	Name    string
	Prefix  netip.Prefix
	Address netip.Prefix
}

// create makes an object and reads it back. The path is that of the object.
func (p *probe) create(ctx context.Context, endpoint string, in any) (o object, at string, r reply, ok bool) {
	r = p.api(ctx, http.MethodPost, endpoint, in)
	if !r.is(http.StatusCreated, &o) {
		return o, "", r, false
	}
	made := o.ID
	at = fmt.Sprintf("%s%d/", endpoint, made)
	back := p.api(ctx, http.MethodGet, at, nil)
	o = object{}
	if !back.is(http.StatusOK, &o) {
		return o, at, back, false
	}
	back.asked = r.asked + ", then " + back.asked
	return o, at, back, o.ID == made
}

func (p *probe) site(ctx context.Context) smoke.Result {
	name := "smoke-" + strings.ToLower(rand.Text()[:10])
	o, _, r, ok := p.create(ctx, "/api/dcim/sites/", map[string]any{"name": name, "slug": name, "status": "active"})
	if !ok || o.Name != name {
		return r.badf("site %d %q instead of %q", o.ID, o.Name, name)
	}
	p.siteID, p.siteName = o.ID, o.Name
	return r.okf("site %d with its name", o.ID)
}

// network draws a documentation network at random, so that a database that
// was asked before has room for it.
func network() netip.Prefix {
	a := netip.MustParseAddr("2001:db8::").As16()
	_, _ = rand.Read(a[4:8]) // never fails
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

func (p *probe) prefix(ctx context.Context) smoke.Result {
	want := network()
	o, at, r, ok := p.create(ctx, "/api/ipam/prefixes/", map[string]any{"prefix": want, "scope_type": "dcim.site", "scope_id": p.siteID})
	if !ok || o.Prefix != want {
		return r.badf("prefix %d %s instead of %s", o.ID, o.Prefix, want)
	}
	p.made.prefix = at
	return r.okf("prefix %s", o.Prefix)
}

func (p *probe) address(ctx context.Context) smoke.Result {
	in := network()
	want := netip.PrefixFrom(in.Addr().Next(), in.Bits())
	o, at, r, ok := p.create(ctx, "/api/ipam/ip-addresses/", map[string]any{"address": want})
	if !ok || o.Address != want {
		return r.badf("address %d %s instead of %s", o.ID, o.Address, want)
	}
	p.made.address = at
	return r.okf("address %s", o.Address)
}

func (p *probe) graphql(ctx context.Context) smoke.Result {
	r := p.api(ctx, http.MethodPost, "/graphql/", map[string]any{
		"query": fmt.Sprintf(`{ user_list(filters: {username: {exact: %q}}) { username } }`, p.user),
	})
	var found struct {
		Data struct {
			Users []struct{ Username string } `json:"user_list"`
		}
		Errors []struct{ Message string }
	}
	switch {
	case !r.is(http.StatusOK, &found):
		return r.bad()
	case len(found.Errors) > 0:
		return r.badf("an error: %s", found.Errors[0].Message)
	case len(found.Data.Users) != 1 || found.Data.Users[0].Username != p.user:
		return r.badf("%d users instead of %s", len(found.Data.Users), p.user)
	}
	return r.okf("%s", p.user)
}

// delete takes away what was made. The site goes last: it holds the others.
func (p *probe) delete(ctx context.Context) smoke.Result {
	var asked []string
	for _, at := range []string{p.made.image, p.made.address, p.made.prefix, fmt.Sprintf("/api/dcim/sites/%d/", p.siteID)} {
		r := p.api(ctx, http.MethodDelete, at, nil)
		if !r.is(http.StatusNoContent, nil) {
			return r.bad()
		}
		if gone := p.api(ctx, http.MethodGet, at, nil); !gone.is(http.StatusNotFound, nil) {
			return gone.badf("%s after it was deleted", gone.got())
		}
		asked = append(asked, at)
	}
	return smoke.Result{OK: true, Asked: "DELETE, then GET " + strings.Join(asked, " "), Got: "204, then 404 for each"}
}

// image uploads a picture, finds its file and fetches it back.
func (p *probe) image(ctx context.Context) smoke.Result {
	noise := image.NewGray(image.Rect(0, 0, 8, 8)) // like no other
	_, _ = rand.Read(noise.Pix)                    // never fails
	var picture, body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("image", p.siteName+".png")
	if err == nil {
		err = png.Encode(io.MultiWriter(&picture, file), noise)
	}
	err = errors.Join(err,
		form.WriteField("object_type", "dcim.site"),
		form.WriteField("object_id", fmt.Sprint(p.siteID)),
		form.WriteField("name", p.siteName),
		form.Close())
	if err != nil {
		return reply{asked: "POST /api/extras/image-attachments/"}.badf("no form to send: %v", err)
	}
	upload := p.web.do(ctx, request{method: http.MethodPost, path: "/api/extras/image-attachments/", body: body.Bytes(), header: map[string]string{
		"Accept": "application/json", "Authorization": "Bearer " + p.bearer, "Content-Type": form.FormDataContentType(),
	}})
	var made struct {
		ID    int
		Image string
	}
	if !upload.is(http.StatusCreated, &made) {
		return upload.bad()
	}
	at, err := url.Parse(made.Image)
	if err != nil || !strings.HasPrefix(at.Path, "/media/") {
		return upload.badf("an image at %q instead of under /media/", made.Image)
	}

	kept := filepath.Join(p.config, at.Path)
	info, err := os.Stat(kept)
	if err != nil {
		return upload.badf("201, but %v", err)
	}
	if owner(info) != p.uid {
		return upload.badf("201, but %s is owned by user %d instead of %d", kept, owner(info), p.uid)
	}
	if content, err := os.ReadFile(kept); err != nil || !bytes.Equal(content, picture.Bytes()) {
		return upload.badf("201, but %s differs from what was sent (%d bytes, %v)", kept, len(content), err)
	}

	back := p.session.get(ctx, at.Path)
	switch {
	case !back.is(http.StatusOK, nil):
		return back.bad()
	case back.media() != "image/png" || !bytes.Equal(back.body, picture.Bytes()):
		return back.badf("%d bytes of %s that differ from what was sent", len(back.body), back.media())
	}
	stranger := p.web.get(ctx, at.Path)
	stranger.asked += " without logging in"
	if stranger.err != nil || stranger.status < 300 {
		return stranger.bad()
	}
	p.made.image = fmt.Sprintf("/api/extras/image-attachments/%d/", made.ID)
	return smoke.Result{OK: true, Asked: upload.asked + ", then " + back.asked, Got: "the same image, and as " + kept}
}

// job has a worker read a folder into the database: it takes the queue, the
// worker, the database and the file system to get there.
func (p *probe) job(ctx context.Context) (result smoke.Result) {
	asked := reply{asked: "a folder to read"}
	folder, err := os.MkdirTemp(p.config, ".smoke-")
	if err != nil {
		return asked.badf("%v", err)
	}
	defer os.RemoveAll(folder)
	note := filepath.Join(folder, "note.txt")
	err = errors.Join(
		os.WriteFile(note, []byte("asked by the smoke test\n"), 0o600),
		os.Chown(note, p.uid, -1),
		os.Chown(folder, p.uid, -1))
	if err != nil {
		return asked.badf("%v", err)
	}

	o, source, r, ok := p.create(ctx, "/api/core/data-sources/", map[string]any{
		"name": filepath.Base(folder), "type": "local", "source_url": "file://" + folder,
	})
	if !ok {
		return r.badf("data source %d", o.ID)
	}
	queued := p.api(ctx, http.MethodPost, source+"sync/", nil)
	if !queued.is(http.StatusOK, nil) {
		return queued.bad()
	}
	result = p.until(ctx, func(ctx context.Context) smoke.Result { return p.finished(ctx, o.ID) })
	if !result.OK {
		return result
	}
	read := p.api(ctx, http.MethodGet, source, nil)
	var after struct {
		Files int `json:"file_count"`
	}
	if !read.is(http.StatusOK, &after) || after.Files != 1 {
		return read.badf("%d files read instead of 1, though the job is completed", after.Files)
	}
	if gone := p.api(ctx, http.MethodDelete, source, nil); !gone.is(http.StatusNoContent, nil) {
		return gone.bad()
	}
	result.Asked = queued.asked + ", then " + result.Asked
	return result
}

// finished asks for the job of a data source.
func (p *probe) finished(ctx context.Context, source int) smoke.Result {
	r := p.api(ctx, http.MethodGet, fmt.Sprintf("/api/core/jobs/?object_type=core.datasource&object_id=%d", source), nil)
	var jobs struct {
		Results []struct {
			ID     int
			Status struct{ Value string }
			Error  string
		}
	}
	if !r.is(http.StatusOK, &jobs) {
		return r.bad()
	}
	if len(jobs.Results) != 1 {
		return r.badf("%d jobs instead of 1", len(jobs.Results))
	}
	job := jobs.Results[0]
	if job.Status.Value != "completed" {
		return r.badf("job %d %s %s", job.ID, job.Status.Value, job.Error)
	}
	return r.okf("job %d completed", job.ID)
}
