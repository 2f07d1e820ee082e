package life

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// example is the host name of NetBox in the examples of docs/proxy.md.
const example = "netbox.example.com"

// Ports of the nginx servers that terminate TLS in front of NetBox:
const (
	portDocumented = 443  // the example of docs/proxy.md
	portElsewhere  = 8443 // the same on another port
	portBare       = 9443 // sets no headers
	portBareKnown  = 9444 // the same, listed in CSRF_TRUSTED_ORIGINS
	portNoPort     = 9445 // passes the host without its port
	portNoPortKnow = 9446 // the same, listed in CSRF_TRUSTED_ORIGINS
	portUsers      = 7443 // the example of docs/proxy.md for users who log in at the proxy
	portUsersX     = 7444 // the same with X-Remote-User, under /netbox
)

func (w *world) nginx(ca *authority) {
	w.t.Helper()
	plain := fence(w.t, "nginx", "server_name")
	users := strings.Replace(plain, location(w.t, plain), fence(w.t, "nginx", "auth_basic"), 1)
	on := func(port int, server string) string {
		moved := strings.Replace(server, "listen 443 ssl;", fmt.Sprintf("listen %d ssl;", port), 1)
		if port != portDocumented && moved == server {
			w.t.Fatal("the server of docs/proxy.md does not listen on 443")
		}
		return moved
	}
	with := func(location string) string {
		return "server {\nlisten 443 ssl;\nserver_name " + example + ";\n" +
			"ssl_certificate /etc/nginx/netbox.crt;\nssl_certificate_key /etc/nginx/netbox.key;\n" +
			"location / { " + location + " proxy_pass http://netbox:8000; }\n}\n"
	}
	noPort := with("proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto $scheme;")
	under := strings.NewReplacer("Remote-User", "X-Remote-User", "location /", "location /netbox/", "^/(", "^/netbox/(")
	servers := strings.Join([]string{
		plain, on(portElsewhere, plain),
		on(portBare, with("")), on(portBareKnown, with("")),
		on(portNoPort, noPort), on(portNoPortKnow, noPort),
		on(portUsers, users), on(portUsersX, under.Replace(users)),
	}, "\n")
	cert, key := ca.issue(example)
	w.ready(engine.Container{
		Name: "nginx", Image: debian(w.t, "trixie", "nginx-light"),
		Entrypoint: []string{"nginx", "-g", "daemon off; error_log /dev/stderr;"},
		Ready:      listens(portDocumented, portUsersX),
		Files: []engine.File{
			{Path: "/etc/nginx/conf.d/netbox.conf", Mode: 0o644, Content: []byte(servers)},
			{Path: "/etc/nginx/netbox.crt", Mode: 0o644, Content: cert},
			{Path: "/etc/nginx/netbox.key", Mode: 0o600, Content: key},
			{Path: "/etc/nginx/users", Mode: 0o644, Content: []byte("alice:{PLAIN}wonderland\nbob:{PLAIN}builder\n")},
		},
	})
}

// location returns the location block of a server, which the other example replaces.
func location(t *testing.T, server string) string {
	t.Helper()
	found := regexp.MustCompile(`(?m)^    location / \{\n(?:     .*\n)+    \}\n`).FindString(server)
	if found == "" {
		t.Fatalf("the server of docs/proxy.md has no location /:\n%s", server)
	}
	return found
}

func at(port int) string {
	if port == portDocumented {
		return "https://" + example
	}
	return fmt.Sprintf("https://%s:%d", example, port)
}

// TestBehindNginx tests all proxies in one network, because starts take most of the time:
// NetBox is started three times with different variables.
func TestBehindNginx(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	ca := newAuthority(t)
	both := example + ", " + host + ", netbox"

	first := w.netbox(map[string]string{
		"ALLOWED_HOST":                    both,
		"CSRF_TRUSTED_ORIGINS":            at(portBareKnown) + " " + at(portNoPortKnow),
		"REMOTE_AUTH_ENABLED":             "yes",
		"REMOTE_AUTH_AUTO_CREATE_USER":    "True",
		"REMOTE_AUTH_DEFAULT_GROUPS":      "['operators', 'nobody made this one']",
		"REMOTE_AUTH_DEFAULT_PERMISSIONS": `{"dcim.view_site": {"name__startswith": "B"}, "dcim.view_region": null}`,
	})
	w.nginx(ca) // nginx must be able to resolve NetBox's name
	w.up(first, "/login/")
	token := w.token()
	for _, name := range []string{"Berlin", "Hamburg"} {
		w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": name, "slug": strings.ToLower(name)})
	}
	w.must(http.StatusCreated, http.MethodPost, "/api/users/groups/", token, map[string]any{"name": "operators"})
	t.Run("log-in by POST passes or fails by the origin", func(t *testing.T) { postLogIns(w.in(t), ca) })
	t.Run("the proxy alone says how NetBox is reached", func(t *testing.T) { forwarded(w.in(t), ca, token) })
	t.Run("a user named by the proxy is made and given what was asked for", func(t *testing.T) { madeByProxy(w.in(t), ca, token, first) })
	t.Run("only the proxy names the user", func(t *testing.T) { namedByProxyAlone(w.in(t), ca, token) })
	w.stop(first)

	second := w.netbox(map[string]string{
		"ALLOWED_HOST":        both,
		"BASE_PATH":           "netbox",
		"REMOTE_AUTH_ENABLED": "1",
		"REMOTE_AUTH_HEADER":  "HTTP_X_REMOTE_USER",
	})
	w.up(second, "/netbox/login/")
	t.Run("another header, and nobody is made", func(t *testing.T) { otherHeader(w.in(t), ca) })
	t.Run("BASE_PATH under the proxy", func(t *testing.T) {
		b := w.in(t).browse(at(portDocumented)+"/netbox", ca.pool())
		b.mustLogIn("admin", password)
		hasStyle(t, b)
	})
	w.stop(second)

	w.write("configuration.py", fence(t, "python", "SECURE_HSTS_SECONDS"))
	third := w.netbox(map[string]string{
		"ALLOWED_HOST":        both,
		"REMOTE_AUTH_ENABLED": "on",
		"REMOTE_AUTH_BACKEND": "django.contrib.auth.backends.RemoteUserBackend",
	})
	healthy(t, third)
	t.Run("another backend", func(t *testing.T) {
		// Django's own backend creates users regardless of NetBox's settings.
		if got := w.in(t).signedIn(portUsers, "bob", "builder", ca).who(); got != "bob" {
			t.Errorf("Django's own backend took bob for %q", got)
		}
	})
	t.Run("nothing but TLS", func(t *testing.T) { nothingButTLS(w.in(t), ca) })
	w.stop(third)
}

func postLogIns(w *world, ca *authority) {
	for _, test := range []struct {
		port int
		ok   bool
	}{
		{portDocumented, true}, {portElsewhere, true},
		{portBare, false}, {portBareKnown, true},
		{portNoPort, false}, {portNoPortKnow, true},
	} {
		w.t.Run(at(test.port), func(t *testing.T) {
			b := w.in(t).browse(at(test.port), ca.pool())
			if test.ok {
				b.mustLogIn("admin", password)
				hasStyle(t, b)
				return
			}
			if res := b.logIn("admin", password); res.status != http.StatusForbidden || !strings.Contains(complaint(res), "CSRF verification failed") {
				t.Errorf("logging in answers %d, want 403 and that the CSRF verification failed: %s", res.status, complaint(res))
			}
		})
	}
	w.t.Run("a wrong password", func(t *testing.T) {
		b := w.in(t).browse(at(portDocumented), ca.pool())
		if res := b.logIn("admin", "wrong"); res.status != http.StatusOK || b.who() != "" {
			t.Errorf("a wrong password is answered with %d and makes the browser %q", res.status, b.who())
		}
	})
}

// hasStyle checks that the log-in page's style sheet is served.
func hasStyle(t *testing.T, b *browser) {
	t.Helper()
	page := b.get("/login/?next=/") // logged-in users are redirected
	if page.status == http.StatusFound {
		page = b.get("/user/profile/")
	}
	link := regexp.MustCompile(`<link[^>]*href="([^"]+/static/[^"]+\.css[^"]*|/static/[^"]+\.css[^"]*)"`).FindSubmatch(page.body)
	if link == nil {
		t.Fatalf("the page names no style sheet: %.500s", page.body)
	}
	origin := regexp.MustCompile(`^https?://[^/]+`).FindString(b.base)
	if css := b.ask(http.MethodGet, origin+string(link[1]), "", nil); css.status != http.StatusOK || !strings.HasPrefix(css.header.Get("Content-Type"), "text/css") {
		t.Errorf("%s answers %d with %s", link[1], css.status, css.header.Get("Content-Type"))
	}
}

func forwarded(w *world, ca *authority, token string) {
	b := w.browse(at(portElsewhere), ca.pool())
	b.header = map[string]string{
		"Authorization":     "Bearer " + token,
		"Accept":            "application/json",
		"X-Forwarded-Host":  "evil.example.com",
		"X-Forwarded-Proto": "http",
	}
	if res := b.get("/api/"); res.status != http.StatusOK || !strings.Contains(string(res.body), `"`+at(portElsewhere)+`/api/circuits/"`) {
		w.t.Errorf("/api/ answers %d and does not name itself as %s: %.300s", res.status, at(portElsewhere), res.body)
	}
	// A token bound to an address is valid only from that address.
	for address, want := range map[string]int{"192.0.2.7/32": http.StatusForbidden, "127.0.0.1/32": http.StatusOK} {
		got := w.must(http.StatusCreated, http.MethodPost, "/api/users/tokens/", token,
			map[string]any{"user": 1, "version": 2, "allowed_ips": []string{address}})
		b := w.browse(at(portElsewhere), ca.pool())
		b.header = map[string]string{
			"Authorization":   fmt.Sprintf("Bearer nbt_%s.%s", got["key"], got["token"]),
			"X-Real-IP":       "192.0.2.7",
			"X-Forwarded-For": "192.0.2.7",
		}
		if res := b.get("/api/dcim/sites/"); res.status != want {
			w.t.Errorf("a token for %s, used by somebody who claims to be there, is answered with %d, want %d: %.200s", address, res.status, want, res.body)
		}
	}
}

// signedIn returns a browser whose user has logged in at the proxy.
func (w *world) signedIn(port int, user, secret string, ca *authority) *browser {
	w.t.Helper()
	b := w.browse(at(port), ca.pool())
	if port == portUsersX {
		b.base += "/netbox"
	}
	b.header["Authorization"] = basic(user, secret)
	return b
}

func basic(user, secret string) string {
	req := http.Request{Header: http.Header{}}
	req.SetBasicAuth(user, secret)
	return req.Header.Get("Authorization")
}

func madeByProxy(w *world, ca *authority, token string, c *local.Container) {
	t := w.t
	if res := w.signedIn(portUsers, "alice", "wrong", ca).get("/"); res.status != http.StatusUnauthorized {
		t.Errorf("nginx answers a wrong password with %d", res.status)
	}
	b := w.signedIn(portUsers, "alice", "wonderland", ca)
	if got := b.who(); got != "alice" {
		t.Fatalf("NetBox takes alice for %q", got)
	}
	found := w.must(http.StatusOK, http.MethodGet, "/api/users/users/?username=alice", token, nil)
	alice := found["results"].([]any)[0].(map[string]any)
	if groups := fmt.Sprint(alice["groups"]); !strings.Contains(groups, "name:operators") || strings.Count(groups, "name:") != 1 {
		t.Errorf("alice is in %s, want the group operators alone", groups)
	}
	if want := "Could not assign group nobody made this one"; !strings.Contains(said(c), want) {
		t.Errorf("the log does not say %q", want)
	}
	permissions := w.must(http.StatusOK, http.MethodGet, fmt.Sprintf("/api/users/permissions/?user_id=%v", alice["id"]), token, nil)
	if text := fmt.Sprint(permissions["results"]); permissions["count"] != 2.0 || !strings.Contains(text, "map[name__startswith:B]") || !strings.Contains(text, "dcim.region") {
		t.Errorf("alice's permissions are %s", text)
	}
	// The constraint limits which objects the user sees.
	b.header["Accept"] = "application/json"
	sites := string(b.get("/api/dcim/sites/").body)
	if !strings.Contains(sites, `"count":1,`) || !strings.Contains(sites, "Berlin") {
		t.Errorf("alice sees %.300s, want Berlin alone", sites)
	}
	if res := b.get("/api/dcim/devices/"); res.status != http.StatusForbidden {
		t.Errorf("devices, which alice has no permission for, answer %d", res.status)
	}
}

func namedByProxyAlone(w *world, ca *authority, token string) {
	t := w.t
	for _, name := range []string{"Remote-User", "REMOTE-USER", "Remote_User", "remote_User"} {
		b := w.signedIn(portUsers, "alice", "wonderland", ca)
		b.header[name] = "admin"
		if got := b.who(); got != "alice" {
			t.Errorf("alice, who sends %s: admin, is taken for %q", name, got)
		}
		b = w.browse(at(portUsers), ca.pool())
		b.header[name] = "admin"
		if res := b.get("/api/dcim/sites/"); res.status != http.StatusForbidden {
			t.Errorf("who sends %s: admin to the API is answered with %d: %.200s", name, res.status, res.body)
		}
	}
	b := w.browse(at(portUsers), ca.pool())
	b.header["Authorization"] = basic("admin", "anything")
	if res := b.get("/api/dcim/sites/"); res.status != http.StatusForbidden {
		t.Errorf("a log-in that nothing checked names a user to the API: %d: %.200s", res.status, res.body)
	}
	b.header["Authorization"] = "Bearer " + token
	if res := b.get("/api/dcim/sites/"); res.status != http.StatusOK {
		t.Errorf("a token passes the proxy with %d: %.200s", res.status, res.body)
	}
	// Django does not distinguish Remote_User from Remote-User.
	b = w.browse("http://"+host+":8000", nil)
	b.header["Remote_User"] = "admin"
	if got := b.who(); got != "" {
		t.Errorf("who sends Remote_User: admin is taken for %q", got)
	}
	// As docs/proxy.md warns, a client that reaches the port directly can claim any user.
	b = w.browse("http://"+host+":8000", nil)
	b.header["Remote-User"] = "admin"
	if got := b.who(); got != "admin" {
		t.Errorf("who names admin past the proxy is %q: correct docs/proxy.md", got)
	}
}

func otherHeader(w *world, ca *authority) {
	t := w.t
	if got := w.signedIn(portUsersX, "alice", "wonderland", ca).who(); got != "alice" {
		t.Errorf("alice, who has an account, is taken for %q", got)
	}
	if got := w.signedIn(portUsersX, "bob", "builder", ca).who(); got != "" {
		t.Errorf("bob, who has none, is taken for %q, want nobody", got)
	}
	b := w.browse("http://"+host+":8000/netbox", nil)
	b.header["Remote-User"] = "alice"
	if got := b.who(); got != "" {
		t.Errorf("the default header still names %q", got)
	}
}

func nothingButTLS(w *world, ca *authority) {
	t := w.t
	b := w.browse(at(portDocumented), ca.pool())
	res := b.logIn("admin", password)
	if res.status != http.StatusFound || b.who() != "admin" {
		t.Fatalf("logging in answers %d: %s", res.status, complaint(res))
	}
	if got := res.header.Get("Strict-Transport-Security"); got != "max-age=31536000" {
		t.Errorf("Strict-Transport-Security is %q", got)
	}
	cookies := res.header.Values("Set-Cookie")
	for _, name := range []string{"csrftoken", "sessionid"} {
		secure := false
		for _, cookie := range cookies {
			secure = secure || strings.HasPrefix(cookie, name+"=") && strings.Contains(cookie, "; Secure")
		}
		if !secure {
			t.Errorf("no secure cookie %s among %q", name, cookies)
		}
	}
	plain := w.browse("http://"+host+":8000", nil).get("/login/")
	if got := plain.header.Get("Location"); plain.status != http.StatusMovedPermanently || got != "https://"+host+":8000/login/" {
		t.Errorf("without TLS the answer is %d to %q", plain.status, got)
	}
}
