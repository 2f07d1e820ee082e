package life

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/engine/local"
)

// TestWhatClientsDoToTheWebServer sends requests to one container. It has a single thread,
// so that any request that blocks it is noticed.
func TestWhatClientsDoToTheWebServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	c := w.netbox(map[string]string{"WEB_WORKERS": "1", "WEB_THREADS": "1", "REMOTE_AUTH_ENABLED": "true"})
	w.up(c, "/login/")
	token := w.token()

	t.Run("a header name with an underscore never reaches NetBox", func(t *testing.T) {
		for _, test := range []struct {
			headers string
			admin   bool
		}{
			{"Remote-User: admin", true},
			{"", false},
			{"Remote_User: admin", false},
			{"REMOTE_USER: admin", false},
			{"Remote_User: admin\r\nRemote-User: nobody", false},
			{"Remote-User: nobody\r\nRemote_User: admin", false},
			{"Remote-User: admin\r\nRemote_User: nobody", true},
			{"Remote-User: nobody\r\nRemote-User: admin", false},
			{"Remote-User: admin\r\nRemote-User: nobody", false},
			{"Http-Remote-User: admin", false},
		} {
			res := w.raw(t, "GET /user/profile/ HTTP/1.1", test.headers, "")
			if got := res.status == http.StatusOK; got != test.admin || !test.admin && res.status != http.StatusFound {
				t.Errorf("with %q the profile answers %d; want an answer to admin: %t", test.headers, res.status, test.admin)
			}
		}
	})
	t.Run("the address of a client of IPv4 is one of IPv4, and nobody can pretend another", func(t *testing.T) {
		for _, test := range []struct {
			allowed, header string
			want            int
		}{
			{"127.0.0.1/32", "", http.StatusOK},
			{"::/0", "", http.StatusForbidden},
			{"192.0.2.1/32", "Container-Peer: 192.0.2.1", http.StatusForbidden},
			// NetBox trusts the header of the documented proxy.
			{"192.0.2.1/32", "X-Forwarded-For: 192.0.2.1", http.StatusOK},
			{"127.0.0.1/32", "X-Forwarded-For: 192.0.2.1", http.StatusForbidden},
		} {
			made := w.must(http.StatusCreated, http.MethodPost, "/api/users/tokens/", token,
				map[string]any{"user": 1, "version": 2, "allowed_ips": []string{test.allowed}})
			bearer := fmt.Sprintf("Authorization: Bearer nbt_%v.%v", made["key"], made["token"])
			if res := w.raw(t, "GET /api/status/ HTTP/1.1", strings.TrimSpace(bearer+"\r\n"+test.header), ""); res.status != test.want {
				t.Errorf("a token for %s with %q: %d, want %d", test.allowed, test.header, res.status, test.want)
			}
		}
	})
	t.Run("a proxy's word on TLS counts", func(t *testing.T) {
		for header, want := range map[string]string{"X-Forwarded-Proto: https": "https://", "": "http://"} {
			res := w.raw(t, "GET /api/ HTTP/1.1", "Accept: application/json\r\nAuthorization: Bearer "+token+"\r\n"+header, "")
			if !strings.Contains(string(res.body), `"`+want+host) {
				t.Errorf("with %q the API names no %s%s: %.200s", header, want, host, res.body)
			}
		}
	})
	t.Run("static files are served as files", func(t *testing.T) {
		const file = "/static/netbox.css"
		whole := w.raw(t, "GET "+file+" HTTP/1.1", "", "")
		if whole.status != http.StatusOK || whole.header.Get("Content-Type") != "text/css" || len(whole.body) < 100_000 {
			t.Fatalf("%s: %d, %s, %d bytes", file, whole.status, whole.header.Get("Content-Type"), len(whole.body))
		}
		if head := w.raw(t, "HEAD "+file+" HTTP/1.1", "", ""); head.status != http.StatusOK || head.header.Get("Content-Length") != fmt.Sprint(len(whole.body)) || len(head.body) > 0 {
			t.Errorf("HEAD: %d, %v, %d bytes", head.status, head.header, len(head.body))
		}
		if part := w.raw(t, "GET "+file+" HTTP/1.1", "Range: bytes=100-199", ""); part.status != http.StatusPartialContent || !bytes.Equal(part.body, whole.body[100:200]) {
			t.Errorf("a range: %d, %d bytes", part.status, len(part.body))
		}
		if same := w.raw(t, "GET "+file+" HTTP/1.1", "If-None-Match: "+whole.header.Get("ETag"), ""); same.status != http.StatusNotModified {
			t.Errorf("what the client has already: %d, want 304", same.status)
		}
		if small := w.raw(t, "GET "+file+" HTTP/1.1", "Accept-Encoding: gzip", ""); small.header.Get("Content-Encoding") != "gzip" || len(small.body) > len(whole.body)/2 {
			t.Errorf("compressed: %v, %d bytes", small.header, len(small.body))
		}
		for path, want := range map[string]int{
			"/static/no-such-file": http.StatusNotFound, "/static/docs/": http.StatusOK,
			"/static/../schema.sql.gz": http.StatusNotFound, "/static/%2e%2e/schema.sql.gz": http.StatusNotFound,
			"/static../schema.sql.gz": http.StatusNotFound,
		} {
			if res := w.raw(t, "GET "+path+" HTTP/1.1", "", ""); res.status != want {
				t.Errorf("%s: %d, want %d", path, res.status, want)
			}
		}
		if head := w.raw(t, "HEAD /login/ HTTP/1.1", "", ""); head.status != http.StatusOK || len(head.body) > 0 {
			t.Errorf("HEAD /login/: %d, %d bytes", head.status, len(head.body))
		}
	})
	t.Run("each font is there in the format that browsers take", func(t *testing.T) {
		css := w.raw(t, "GET /static/netbox-external.css HTTP/1.1", "", "")
		faces := regexp.MustCompile(`@font-face\s*\{[^}]*\}`).FindAll(css.body, -1)
		if len(faces) < 20 {
			t.Fatalf("%d, with %d fonts", css.status, len(faces))
		}
		for _, face := range faces {
			file := regexp.MustCompile(`url\("?\./([^")]+\.woff2)`).FindSubmatch(face)
			if file == nil {
				t.Errorf("no woff2 in %s", face)
				continue
			}
			if font := w.raw(t, "HEAD /static/"+string(file[1])+" HTTP/1.1", "", ""); font.status != http.StatusOK || font.header.Get("Content-Type") != "font/woff2" {
				t.Errorf("%s: %d, %s", file[1], font.status, font.header.Get("Content-Type"))
			}
		}
	})
	t.Run("what is too long is refused, what is long is not", func(t *testing.T) {
		for _, test := range []struct {
			line, headers string
			want          int
		}{
			{"GET /login/?next=" + strings.Repeat("x", 20_000) + " HTTP/1.1", "", http.StatusOK},
			{"GET /login/ HTTP/1.1", "X-Long: " + strings.Repeat("x", 20_000), http.StatusOK},
			{"GET /login/?next=" + strings.Repeat("x", 100_000) + " HTTP/1.1", "", http.StatusRequestURITooLong},
			{"GET /login/ HTTP/1.1", "X-Long: " + strings.Repeat("x", 100_000), http.StatusBadRequest},
			{"GET /login/ HTTP/1.1", strings.TrimSpace(strings.Repeat("X-Many: "+strings.Repeat("x", 1000)+"\r\n", 1000)), http.StatusBadRequest},
			{"POST /login/ HTTP/1.1", "Content-Length: 200000000", http.StatusRequestEntityTooLarge},
			{"GET /login/ HTTP/1.1", "Content-Length: minus", http.StatusBadRequest},
			{"POST /login/ HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked", http.StatusBadRequest},
			{"nonsense", "", http.StatusBadRequest},
		} {
			if res := w.raw(t, test.line, test.headers, ""); res.status != test.want {
				t.Errorf("%.40s, %.40s: %d, want %d", test.line, test.headers, res.status, test.want)
			}
		}
		w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
	})
	t.Run("a large picture can be uploaded", func(t *testing.T) {
		site := w.must(http.StatusCreated, http.MethodPost, "/api/dcim/sites/", token, map[string]any{"name": "Bonn", "slug": "bonn"})
		body, contentType, size := picture(t, map[string]string{"object_type": "dcim.site", "object_id": fmt.Sprint(site["id"]), "name": "large"})
		if size < 26<<20 {
			t.Fatalf("the picture has %d bytes only", size)
		}
		head := fmt.Sprintf("Authorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d", token, contentType, len(body))
		if res := w.raw(t, "POST /api/extras/image-attachments/ HTTP/1.1", head, body); res.status != http.StatusCreated {
			t.Errorf("%d: %.300s", res.status, res.body)
		}
	})
	t.Run("clients that dawdle or hang up hold nobody up", func(t *testing.T) {
		for _, sent := range []string{
			"", "GET /login/ HT", "GET /login/ HTTP/1.1\r\nHost: " + host + "\r\nX-Slow: ",
			// NetBox reads this request's body before it authenticates the client.
			"POST /api/users/tokens/provision/ HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		} {
			for range 50 {
				conn, err := w.pod.DialContext(t.Context(), "tcp", "127.0.0.1:8000")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if _, err := io.WriteString(conn, sent); err != nil {
					t.Fatal(err)
				}
			}
		}
		for range 20 { // these do not wait for a response
			conn, err := w.pod.DialContext(t.Context(), "tcp", "127.0.0.1:8000")
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(conn, "GET /login/ HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			conn.Close()
		}
		w.must(http.StatusOK, http.MethodGet, "/api/status/", token, nil)
	})
	healthy(t, c)
	w.stop(c)
}

// picture returns a form with a large picture of noise.
func picture(t *testing.T, fields map[string]string) (body, contentType string, size int) {
	t.Helper()
	noise := image.NewNRGBA(image.Rect(0, 0, 2700, 2600))
	random := rand.NewChaCha8([32]byte{1})
	if _, err := random.Read(noise.Pix); err != nil {
		t.Fatal(err)
	}
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for name, value := range fields {
		if err := parts.WriteField(name, value); err != nil {
			t.Fatal(err)
		}
	}
	file, err := parts.CreateFormFile("image", "large.png")
	if err != nil {
		t.Fatal(err)
	}
	before := form.Len()
	if err := (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(file, noise); err != nil {
		t.Fatal(err)
	}
	size = form.Len() - before
	if err := parts.Close(); err != nil {
		t.Fatal(err)
	}
	return form.String(), parts.FormDataContentType(), size
}

// raw sends a request verbatim, plus the Host header. A server may respond before it has
// read the whole request.
func (w *world) raw(t *testing.T, line, headers, body string) response {
	t.Helper()
	conn, err := w.pod.DialContext(t.Context(), "tcp", "127.0.0.1:8000")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if headers != "" {
		headers = strings.TrimSuffix(headers, "\r\n") + "\r\n"
	}
	_, sent := io.WriteString(conn, line+"\r\nHost: "+host+"\r\nConnection: close\r\n"+headers+"\r\n"+body)
	method, _, _ := strings.Cut(line, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%.80s: %v, %v", line, err, sent)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Errorf("%.80s: %v", line, err)
	}
	return response{res.StatusCode, res.Header, text}
}

// TestAStopLetsRequestsInFlightEnd stops a container while one request waits for the
// database and others arrive continuously.
func TestAStopLetsRequestsInFlightEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	postgres, _ := w.services()
	c := w.netbox(nil)
	w.up(c, "/login/")
	token := w.token()
	w.must(http.StatusOK, http.MethodGet, "/api/dcim/sites/", token, nil)

	locked := make(chan error, 1)
	go func() {
		_, errs, code, err := postgres.Exec(t.Context(), []string{"sh", "-c",
			`PGPASSWORD="$POSTGRES_PASSWORD" exec psql -h 127.0.0.1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -c 'begin; lock table dcim_site in access exclusive mode; select pg_sleep(5); commit'`}, nil)
		if code != 0 {
			err = errors.Join(err, errors.New(errs))
		}
		locked <- err
	}()
	for w.query(postgres, "select count(*) from pg_locks where granted and mode = 'AccessExclusiveLock' and relation = 'dcim_site'::regclass") != "1" {
		time.Sleep(50 * time.Millisecond)
	}
	type answer struct {
		response
		err error
	}
	slow := make(chan answer, 1)
	go func() {
		res, err := w.ask(http.MethodGet, "/api/dcim/sites/", token, nil)
		slow <- answer{res, err}
	}()
	for w.query(postgres, "select count(*) from pg_locks where not granted and relation = 'dcim_site'::regclass") == "0" {
		time.Sleep(50 * time.Millisecond)
	}

	// Clients of two kinds: with a connection per request, and with one for all requests.
	load, enough := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var mu sync.Mutex
	answers, refused, wrong := 0, 0, []string{}
	for i := range 6 {
		client := &http.Client{Transport: &http.Transport{DialContext: w.pod.DialContext, DisableKeepAlives: i%2 == 0}}
		clients.Go(func() {
			for load.Err() == nil {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+":8000/login/", nil)
				if err != nil {
					panic(err)
				}
				res, err := client.Do(req)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
					res.Body.Close()
				}
				mu.Lock()
				switch {
				case err == nil && res.StatusCode == http.StatusOK:
					answers++
				case refusal(err):
					refused++
				default:
					wrong = append(wrong, fmt.Sprint(res, err))
				}
				mu.Unlock()
				if refusal(err) {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	time.Sleep(time.Second)
	stopped := make(chan string, 1)
	go func() {
		code, err := c.Stop(t.Context())
		stopped <- fmt.Sprintf("status %d, %v", code, err)
	}()
	got := <-slow
	if _, err := w.pod.DialContext(t.Context(), "tcp", "127.0.0.1:8000"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("while it stops, a new connection: %v, want it refused", err)
	}
	if got.err != nil || got.status != http.StatusOK {
		t.Errorf("the request in flight: %d, %v, want 200", got.status, got.err)
	}
	if how := <-stopped; how != "status 0, <nil>" {
		t.Errorf("stop: %s", how)
	}
	enough()
	clients.Wait()
	if err := <-locked; err != nil {
		t.Errorf("lock the table: %v", err)
	}
	if answers == 0 || refused == 0 || len(wrong) > 0 {
		t.Errorf("%d answers, %d refused, and %d others, such as %q; want some, some and none", answers, refused, len(wrong), wrong[:min(3, len(wrong))])
	}
	t.Logf("%d answers, %d connections refused", answers, refused)
}

// refusal reports whether the connection was refused, so that no request was sent.
func refusal(err error) bool {
	var dial *net.OpError
	return errors.Is(err, unix.ECONNREFUSED) || errors.As(err, &dial) && dial.Op == "dial" && errors.Is(err, unix.ECONNRESET)
}

// TestAKilledServerProcessLosesNoFurtherRequest kills each process between the client and
// NetBox. Later requests must wait for its successor.
func TestAKilledServerProcessLosesNoFurtherRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.services()
	c := w.netbox(map[string]string{"WEB_WORKERS": "1"})
	w.up(c, "/login/")
	for _, test := range []struct {
		name string
		find func() []local.Process
		says string
		all  bool // the kill breaks all connections, also shortly before it is detected
	}{
		{"a worker of the web server", func() []local.Process { return named(c, "netbox-web")[1:] }, "was sent SIGKILL", false},
		{"the web server", func() []local.Process { return named(c, "netbox-web")[:1] }, "web was killed by SIGKILL: starting it again", false},
		{"nginx", func() []local.Process { return named(c, "nginx")[:1] }, "nginx was killed by SIGKILL: starting it again", true},
		{"a worker of nginx", func() []local.Process { return named(c, "nginx")[1:2] }, "", false},
	} {
		before := strings.Count(said(c), test.says)
		victims := test.find()
		if len(victims) != 1 {
			t.Fatalf("%s: %d processes, want one", test.name, len(victims))
		}
		if err := unix.Kill(victims[0].PID, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		logged := func() {
			t.Helper()
			for deadline := time.Now().Add(patience); test.says != "" && strings.Count(said(c), test.says) == before; time.Sleep(100 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s was killed: the log does not say %q", test.name, test.says)
				}
			}
		}
		if test.all {
			logged()
		}
		if res, err := w.ask(http.MethodGet, "/login/", "", nil); err != nil || res.status != http.StatusOK {
			t.Errorf("after %s was killed: %d, %v, want 200", test.name, res.status, err)
		}
		logged()
	}
	healthy(t, c)
	w.stop(c)
}

// named returns the processes with this name in the kernel, the oldest first.
func named(c *local.Container, name string) []local.Process {
	var found []local.Process
	for _, p := range c.Processes() {
		if comm(p.PID) == name {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b local.Process) int { return a.Inside - b.Inside })
	return found
}
