package life

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	serving "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

const (
	// registryAt is the address of the mod registry, on the network's loopback.
	registryAt = "127.0.0.1:5000"
	// wayOut is the address of the proxy through which pip leaves the network.
	wayOut = "127.0.0.1:3128"

	services = "etc/s6-overlay/s6-rc.d/"
	own      = "opt/netbox/conf/configuration.d/"
)

// topology is a mod that requests a plugin from the base's package installation, and
// enables it.
var topology = map[string]string{
	services + "init-mod-topology-add-package/type":                                     "oneshot\n",
	services + "init-mod-topology-add-package/up":                                       "/etc/s6-overlay/s6-rc.d/init-mod-topology-add-package/run\n",
	services + "init-mod-topology-add-package/dependencies.d/init-mods":                 "",
	services + "init-mod-topology-add-package/run":                                      "#!/bin/bash\necho netbox-topology-views==5.0.0 >>/mod-pip-packages-to-install.list\n",
	services + "init-mods-package-install/dependencies.d/init-mod-topology-add-package": "",
	services + "user/contents.d/init-mod-topology-add-package":                          "",
	own + "topology.py": "PLUGINS += ['netbox_topology_views']\nPLUGINS_CONFIG['netbox_topology_views'] = {'allow_coordinates_saving': True}\n",
}

// qrcode is a mod that installs its plugin and its dependencies itself.
var qrcode = map[string]string{
	services + "init-mod-qrcode/type":                         "oneshot\n",
	services + "init-mod-qrcode/up":                           "/etc/s6-overlay/s6-rc.d/init-mod-qrcode/run\n",
	services + "init-mod-qrcode/dependencies.d/init-mods":     "",
	services + "init-mod-qrcode/run":                          "#!/usr/bin/with-contenv bash\nexec python3 -m pip install --quiet --no-cache-dir netbox-qrcode==1.0.0\n",
	services + "init-mods-end/dependencies.d/init-mod-qrcode": "",
	services + "user/contents.d/init-mod-qrcode":              "",
	own + "qrcode.py":                                         "PLUGINS += ['netbox_qrcode']\n",
	"etc/netbox-mod-qrcode":                                   "of the mod\n",
}

// layer returns an image layer with the files. A file with the prefix .wh. is a
// whiteout.
func layer(t *testing.T, files map[string]string) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, path := range slices.Sorted(maps.Keys(files)) {
		mode := int64(0o644)
		if strings.HasPrefix(files[path], "#!") {
			mode = 0o755
		}
		if err := w.WriteHeader(&tar.Header{Name: path, Mode: mode, Size: int64(len(files[path])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[path]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func modOf(t *testing.T, arch string, layers ...v1.Layer) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.ConfigFile(img, &v1.ConfigFile{OS: "linux", Architecture: arch, RootFS: rootFS(t, img)})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func rootFS(t *testing.T, img v1.Image) v1.RootFS {
	t.Helper()
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config.RootFS
}

// modRegistry is a registry in a network. It uses TLS because the published base
// fetches mods only over TLS.
type modRegistry struct {
	t  *testing.T
	w  *world
	ca *authority
}

func (w *world) modRegistry() *modRegistry {
	w.t.Helper()
	r := &modRegistry{t: w.t, w: w, ca: newAuthority(w.t)}
	address, _, err := net.SplitHostPort(registryAt)
	if err != nil {
		w.t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(r.ca.issue(address))
	if err != nil {
		w.t.Fatal(err)
	}
	listener := tls.NewListener(w.listen(registryAt), &tls.Config{Certificates: []tls.Certificate{pair}})
	server := &http.Server{Handler: serving.New(serving.Logger(log.New(io.Discard, "", 0)))}
	go server.Serve(listener)
	w.t.Cleanup(func() { server.Close() })
	return r
}

// trusted is the path of the trusted certificates in both bases.
const trusted = "/etc/ssl/certs/ca-certificates.crt"

// trust adds the registry's certificate to those that the container trusts.
func (r *modRegistry) trust(c *engine.Container) {
	i := slices.IndexFunc(c.Files, func(f engine.File) bool { return f.Path == trusted })
	if i < 0 {
		c.Files = append(c.Files, engine.File{Path: trusted, Mode: 0o644, Content: r.ca.pem})
		return
	}
	c.Files[i].Content = slices.Concat(c.Files[i].Content, []byte("\n"), r.ca.pem)
}

// push pushes an image or index and returns its reference.
func (r *modRegistry) push(ref string, what remote.Taggable) string {
	r.t.Helper()
	tag, err := name.ParseReference(registryAt + "/" + ref)
	if err != nil {
		r.t.Fatal(err)
	}
	transport := remote.WithTransport(&http.Transport{
		DialContext: r.w.pod.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: r.ca.pool()},
	})
	if idx, ok := what.(v1.ImageIndex); ok {
		err = remote.WriteIndex(tag, idx, transport)
	} else {
		err = remote.Write(tag, what.(v1.Image), transport)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return tag.String()
}

// listen opens a listener of this process in the network.
func (w *world) listen(address string) net.Listener {
	w.t.Helper()
	listener, err := w.pod.Listen(w.t.Context(), "tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	return listener
}

// packages opens a proxy from the network to this machine's package index, and
// configures the container's pip to use it.
func (w *world) packages(c *engine.Container) {
	w.t.Helper()
	server := &http.Server{Handler: http.HandlerFunc(tunnel)}
	go server.Serve(w.listen(wayOut))
	w.t.Cleanup(func() { server.Close() })
	c.Env["HTTP_PROXY"], c.Env["HTTPS_PROXY"] = "http://"+wayOut, "http://"+wayOut
	c.Env["NO_PROXY"] = "127.0.0.1"
	for _, variable := range []string{"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT"} {
		if value := os.Getenv(variable); value != "" {
			c.Secrets[variable] = value
		}
	}
	home, err := os.UserConfigDir()
	if err != nil {
		w.t.Fatal(err)
	}
	// Each row uses the first file that exists on this machine.
	for inside, outside := range map[string][]string{
		trusted:         {os.Getenv("SSL_CERT_FILE"), trusted},
		"/etc/pip.conf": {os.Getenv("PIP_CONFIG_FILE"), filepath.Join(home, "pip", "pip.conf"), "/etc/pip.conf"},
	} {
		for _, path := range outside {
			if content, err := os.ReadFile(path); err == nil {
				c.Files = append(c.Files, engine.File{Path: inside, Mode: 0o644, Content: content})
				break
			}
		}
	}
}

// tunnel connects a client in the network to the outside, through this machine's proxy
// if it has one.
func tunnel(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}).ServeHTTP(w, r)
		return
	}
	far, err := dialOut(r.Context(), r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer far.Close()
	near, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	if _, err := io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	go func() {
		io.Copy(far, near)
		far.Close()
	}()
	io.Copy(near, far)
}

func dialOut(ctx context.Context, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 30 * time.Second}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: "https", Host: address}})
	if err != nil || proxy == nil {
		return dialer.DialContext(ctx, "tcp", address)
	}
	conn, err := dialer.DialContext(ctx, "tcp", proxy.Host)
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user := proxy.User; user != nil {
		password, _ := user.Password()
		req.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := req.Write(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the proxy of this machine: %w", err), conn.Close())
	}
	return conn, nil
}

// Log lines about a mod: this base's and the published base's.
var (
	applied       = regexp.MustCompile(`(?m)^\[mod-init\] \S+(: applied, sha256:\w+| applied to container)$`)
	appliedBefore = regexp.MustCompile(`(?m)^\[mod-init\] \S+(: applied before, sha256:\w+| at \S+ has been previously applied,? skipping)$`)
)

// TestModsBringPluginsFromPyPI starts a container with two mods, each of which installs
// a real plugin.
func TestModsBringPluginsFromPyPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	mods := w.modRegistry()
	wrong := modOf(t, "riscv64", layer(t, map[string]string{own + "wrong.py": "raise RuntimeError('the mod of another architecture')\n"}))
	right := modOf(t, runtime.GOARCH, layer(t, topology))
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: wrong, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "riscv64"}}},
		mutate.IndexAddendum{Add: right, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: runtime.GOARCH}}})
	two := modOf(t, runtime.GOARCH, layer(t, qrcode), layer(t, map[string]string{"etc/.wh.netbox-mod-qrcode": ""}))
	spec := w.spec("netbox", map[string]string{"DOCKER_MODS": mods.push("mods/topology:1", index) + "|" + mods.push("mods/qrcode:1", two)})
	w.packages(&spec)
	mods.trust(&spec)
	c := w.start(spec)
	waitFor(t, c, "serving http", 1, 3*patience) // includes package downloads and plugin migrations
	t.Logf("first start with two mods: 200 after %.1f s", w.up(c, "/login/").Seconds())
	log := said(c)
	if migrated, serving := strings.Index(log, "applying "), strings.Index(log, "serving http"); migrated < 0 || serving < migrated {
		t.Errorf("the plugins' migrations are not applied before NetBox serves:\n%s", log)
	}
	if got := len(applied.FindAllString(log, -1)); got != 2 {
		t.Errorf("the log names %d mods as applied, want 2", got)
	}
	if _, err := c.ReadFile("/etc/netbox-mod-qrcode"); err == nil {
		t.Error("a file is there that a later layer of its mod takes away")
	}
	kept := func() string {
		return w.query(postgres, "select count(*) from netbox_topology_views_coordinategroup where name = 'kept'")
	}
	token := w.token()
	w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Berlin", "slug": "berlin"})
	w.must(http.StatusCreated, http.MethodPost, "/api/dcim/racks/", token, map[string]any{"name": "R1", "site": map[string]any{"slug": "berlin"}})
	w.must(http.StatusCreated, http.MethodPost, "/api/plugins/netbox_topology_views/coordinate-groups/", token, map[string]any{"name": "kept"})
	w.pluginsAnswer()
	w.stop(c)

	again, err := c.Restart(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("restart with two mods: 200 after %.1f s", w.up(again, "/login/").Seconds())
	if got := len(appliedBefore.FindAllString(said(again), -1)); got != 2 {
		t.Errorf("the log of the restart names %d mods as applied before, want 2", got)
	}
	if strings.Contains(said(again), "] applying ") || strings.Contains(said(again), "bringing the database") {
		t.Error("the restart prepares the database again")
	}
	w.pluginsAnswer()
	w.stop(again)

	without := w.netbox(nil)
	t.Logf("start without the mods: 200 after %.1f s", w.up(without, "/login/").Seconds())
	w.must(http.StatusOK, http.MethodGet, "/api/status/", w.token(), nil)
	if got := kept(); got != "1" {
		t.Errorf("without the mods the table of the plugin holds %s of what was entered, want 1", got)
	}
	if log := said(without); strings.Contains(log, "Traceback") {
		t.Errorf("without the mods: %s", log)
	}
	w.stop(without)
}

// pluginsAnswer requests a page and a static file of both plugins.
func (w *world) pluginsAnswer() {
	w.t.Helper()
	b := w.browse("http://"+host+":8000", nil)
	b.mustLogIn("admin", password)
	page := b.get("/plugins/netbox_topology_views/topology/")
	if page.status == http.StatusFound { // redirects to the page with the user's saved settings
		page = b.get(page.header.Get("Location"))
	}
	file := regexp.MustCompile(`/static/netbox_topology_views/[^"?]+\.(css|js)`).Find(page.body)
	if page.status != http.StatusOK || file == nil {
		w.t.Fatalf("the page of the plugin answers %d and names the static file %q: %s", page.status, file, complaint(page))
	}
	if got := b.get(string(file)); got.status != http.StatusOK || len(got.body) == 0 {
		w.t.Errorf("%s: status %d, %d bytes", file, got.status, len(got.body))
	}
	if page := b.get("/dcim/racks/1/"); page.status != http.StatusOK || !bytes.Contains(page.body, []byte("data:image/png;base64,")) {
		w.t.Errorf("the page of a rack answers %d, and has no code of the other plugin: %s", page.status, complaint(page))
	}
}

// TestAModThatCannotBeHadIsALineAndNetBoxStarts expects the published base's behaviour:
// NetBox starts even when the registry is unavailable.
func TestAModThatCannotBeHadIsALineAndNetBoxStarts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	mods := w.modRegistry()
	here := mods.push("mods/here:1", modOf(t, runtime.GOARCH, layer(t, map[string]string{own + "here.py": "BANNER_LOGIN = 'a banner of the mod'\n"})))
	refs := []string{registryAt + "/mods/none:1", "127.0.0.1:5001/mods/away:1", "Not A Name"}
	spec := w.spec("netbox", map[string]string{"DOCKER_MODS": strings.Join(append(refs, here), "|")})
	mods.trust(&spec)
	c := w.start(spec)
	w.up(c, "/login/")
	log := said(c)
	for _, ref := range refs {
		if got := strings.Count(log, ref+": not applied: "); got != 1 {
			t.Errorf("%d lines say that %s was not applied, want 1", got, ref)
		}
	}
	if got := strings.Count(log, "[mod-init]"); got != len(refs)+1 {
		t.Errorf("%d lines about mods, want %d", got, len(refs)+1)
	}
	page, err := w.ask(http.MethodGet, "/login/", "", nil)
	if err != nil || !strings.Contains(string(page.body), "a banner of the mod") {
		t.Errorf("the mod that was there does not apply: %v", err)
	}
	w.stop(c)
	// A setting that refers to a plugin whose mod has been removed.
	if err := os.WriteFile(filepath.Join(w.config, "configuration.d", "left.py"), []byte("PLUGINS += ['netbox_left']\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	left := w.netbox(nil)
	if code := w.ended(left); code == 0 {
		t.Error("with a plugin that is not there it ended with status 0")
	}
	want := "[netbox] loading NetBox: ImproperlyConfigured: Unable to import plugin netbox_left: Module not found."
	if log := said(left); strings.Count(log, want) != 1 || !strings.Contains(log, "see PLUGINS and PLUGINS_CONFIG in /config/configuration.d/left.py") || strings.Contains(log, "Traceback") {
		t.Errorf("want one line that begins with %q, and names the file", want)
	}
}
