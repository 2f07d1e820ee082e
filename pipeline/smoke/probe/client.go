package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/linebuf"
)

// client is an HTTP client for one address and one host name, whatever that name
// resolves to. It does not follow redirects.
type client struct {
	http  *http.Client
	name  string // host:port as in a browser's address bar
	limit time.Duration
}

func newClient(address, host string, limit time.Duration) *client {
	dial := (&net.Dialer{Timeout: limit}).DialContext
	_, port, _ := net.SplitHostPort(address)
	return &client{
		http: &http.Client{
			Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return dial(ctx, network, address)
				},
				MaxIdleConnsPerHost: 16,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		name:  net.JoinHostPort(host, port),
		limit: limit,
	}
}

// session returns a client with its own cookies that shares the connections.
func (c *client) session() *client {
	s, kept := *c, *c.http
	kept.Jar, _ = cookiejar.New(nil) // never fails without options
	s.http = &kept
	return &s
}

// request is one HTTP request.
type request struct {
	method string
	path   string // absolute, with the query
	note   string
	header map[string]string // Host overrides the client's host name
	body   []byte
}

func (q request) String() string { return q.method + " " + q.path + q.note }

// withNote returns the request with a note for messages.
func (q request) withNote(note string) request {
	q.note = " " + note
	return q
}

// reply is the response to a request, or its error.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error
	took   time.Duration
}

func (c *client) do(ctx context.Context, q request) (r reply) {
	start := time.Now()
	defer func() { r.took = time.Since(start) }()
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, q.method, "http://"+c.name+q.path, bytes.NewReader(q.body))
	if err != nil {
		r.err = err
		return r
	}
	req.Host = cmp.Or(q.header["Host"], c.name)
	for k, v := range q.header {
		req.Header.Set(k, v)
	}
	res, err := c.http.Do(req)
	if err != nil {
		r.err = err
		return r
	}
	defer res.Body.Close()
	r.status, r.header = res.StatusCode, res.Header
	r.body, r.err = io.ReadAll(io.LimitReader(res.Body, 32<<20))
	return r
}

// get returns a GET request.
func get(path string) request { return request{method: http.MethodGet, path: path} }

// media returns the content type without its parameters.
func (r reply) media() string {
	media, _, _ := mime.ParseMediaType(r.header.Get("Content-Type"))
	return media
}

// summary summarizes the reply. It includes the body only to explain an error.
func (r reply) summary() string {
	if errors.Is(r.err, context.DeadlineExceeded) {
		return "no answer within " + r.took.Round(100*time.Millisecond).String()
	}
	if r.err != nil {
		var u *url.Error
		if errors.As(r.err, &u) {
			return u.Err.Error() // the address is in the request already
		}
		return r.err.Error()
	}
	s := fmt.Sprint(r.status)
	if to := r.header.Get("Location"); to != "" {
		s += " to " + to
	}
	if r.status >= 400 {
		if why := explain(r.media(), r.body); why != "" {
			s += ": " + why
		}
	}
	return s
}

var (
	// NetBox's error page for an exception: its class, then its text.
	exception = regexp.MustCompile(`(?s)<pre class="block"><strong>(.*?)</strong><br\s*/?>\s*([^\n]*)`)
	title     = regexp.MustCompile(`(?s)<title>(.*?)</title>`)
	alert     = regexp.MustCompile(`(?s)<div class="alert alert-danger[^>]*>(.*?)</div>`)
	tag       = regexp.MustCompile(`(?s)<[^>]*>`)
)

// explain returns the most useful line of an error's body.
func explain(media string, body []byte) string {
	if media == "application/json" {
		var e struct {
			Error     string `json:"error"`
			Exception string `json:"exception"`
		}
		if json.Unmarshal(body, &e) == nil && e.Error != "" {
			return linebuf.First(e.Exception + ": " + e.Error)
		}
		return string(body)
	}
	if m := exception.FindSubmatch(body); m != nil {
		return html.UnescapeString(string(m[1]) + ": " + string(m[2]))
	}
	for _, re := range []*regexp.Regexp{alert, title} {
		if m := re.FindSubmatch(body); m != nil {
			text := html.UnescapeString(string(tag.ReplaceAll(m[1], []byte(" "))))
			return strings.Join(strings.Fields(text), " ")
		}
	}
	return linebuf.First(string(body))
}
