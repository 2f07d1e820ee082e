package tests

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// flipper is a proxy for a registry that flips a bit of each blob in a response.
type flipper struct{ to string }

func (f *flipper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target, err := url.Parse(f.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Host = p.In.Host },
		ModifyResponse: func(res *http.Response) error {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") && res.StatusCode == http.StatusOK {
				res.Body = &flipped{ReadCloser: res.Body}
			}
			return nil
		},
	}
	proxy.ServeHTTP(w, r)
}

// flipped flips one bit of the first byte that is read.
type flipped struct {
	io.ReadCloser
	done bool
}

func (f *flipped) Read(b []byte) (int, error) {
	n, err := f.ReadCloser.Read(b)
	if n > 0 && !f.done {
		b[0] ^= 1
		f.done = true
	}
	return n, err
}
