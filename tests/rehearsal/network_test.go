package rehearsal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
)

// network is the network of a job. The registries of versions.yml have their real
// names, but run on loopback. The proxy forwards to other hosts, such as those of
// Go and Python modules. It refuses GitHub and Sigstore, which need a stand-in.
type network struct {
	proxy      *httptest.Server
	registries *httptest.Server
	roots      string // file with the certificate authorities that jobs trust

	mu      sync.Mutex
	hubs    map[string]*hub // by host
	refused []string
}

// hub is a registry that requires a password for pushes, but not for pulls.
type hub struct {
	user, password string
	next           http.Handler
	spoil          func(w http.ResponseWriter, r *http.Request) bool // returns true when it wrote the response itself
}

// forbidden lists the domains that jobs must not reach.
var forbidden = []string{"github.com", "githubusercontent.com", "githubapp.com", "sigstore.dev", "githubcopilot.com"}

func newNetwork(t *testing.T, hubs map[string]*hub) *network {
	t.Helper()
	n := &network{hubs: hubs, roots: filepath.Join(t.TempDir(), "roots.pem")}
	quiet := log.New(io.Discard, "", 0)
	for _, h := range hubs {
		h.next = ggcr.New(ggcr.Logger(quiet), ggcr.WithReferrersSupport(true))
	}
	n.registries = httptest.NewUnstartedServer(http.HandlerFunc(n.serve))
	n.registries.TLS = &tls.Config{GetCertificate: n.authority(t)}
	n.registries.EnableHTTP2 = true
	n.registries.Config.ErrorLog = quiet
	n.registries.StartTLS()
	t.Cleanup(n.registries.Close)
	n.proxy = httptest.NewServer(http.HandlerFunc(n.connect))
	t.Cleanup(n.proxy.Close)
	return n
}

// authority creates a certificate authority and writes it to n.roots together
// with those of the machine. It returns a function that certifies any name.
func (n *network) authority(t *testing.T) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rehearsal"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &key.PublicKey, key)
	must(t, err)
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for _, file := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"} {
		if text, err := os.ReadFile(file); err == nil {
			roots = append(roots, text...)
			break
		}
	}
	must(t, os.WriteFile(n.roots, roots, 0o644))
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
			DNSNames: []string{hello.ServerName}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, key)
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
	}
}

// connect serves the proxy. It supports only CONNECT, because all jobs use https.
func (n *network) connect(w http.ResponseWriter, r *http.Request) {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil || r.Method != http.MethodConnect {
		http.Error(w, "plain http is not for this network", http.StatusForbidden)
		return
	}
	to := r.Host
	n.mu.Lock()
	_, ours := n.hubs[host]
	if ours {
		to = n.registries.Listener.Addr().String()
	}
	refuse := slices.ContainsFunc(forbidden, func(end string) bool { return host == end || strings.HasSuffix(host, "."+end) })
	if refuse {
		n.refused = append(n.refused, host)
	}
	n.mu.Unlock()
	if refuse {
		http.Error(w, "the rehearsal does not reach "+host, http.StatusForbidden)
		return
	}
	out, err := net.DialTimeout("tcp", to, 30*time.Second)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	in, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		out.Close()
		return
	}
	_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		both.Go(func() {
			_, _ = io.Copy(pair[0], pair[1]) // ends when either side closes
			pair[0].Close()
			pair[1].Close()
		})
	}
	both.Wait()
}

func (n *network) serve(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	h := n.hubs[r.Host]
	var spoil func(http.ResponseWriter, *http.Request) bool
	if h != nil {
		spoil = h.spoil
	}
	n.mu.Unlock()
	if h == nil {
		http.Error(w, "no such registry", http.StatusNotFound)
		return
	}
	if spoil != nil && spoil(w, r) {
		return
	}
	h.ServeHTTP(w, r)
}

// spoil installs a handler that runs before a registry's own; nil removes it.
func (n *network) spoil(host string, how func(http.ResponseWriter, *http.Request) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hubs[host].spoil = how
}

// Tokens that a hub issues.
const (
	reader = "a-token-to-read"
	writer = "a-token-to-write"
)

func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/token" {
		user, password, known := r.BasicAuth()
		token := reader
		switch {
		case known && user == h.user && password == h.password:
			token = writer
		case known:
			denied(w, http.StatusUnauthorized, "UNAUTHORIZED", "incorrect username or password")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
		return
	}
	read := r.Method == http.MethodGet || r.Method == http.MethodHead
	switch strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") {
	case writer:
	case reader:
		if !read {
			denied(w, http.StatusForbidden, "DENIED", "requested access to the resource is denied")
			return
		}
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+r.Host+`/token",service="`+r.Host+`"`)
		denied(w, http.StatusUnauthorized, "UNAUTHORIZED", "authentication required")
		return
	}
	h.next.ServeHTTP(w, r)
}

func denied(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": []map[string]string{{"code": code, "message": message}}})
}

// tags returns the digest of each tag of a repository. It reads from the
// registry directly, without the proxy and the authentication.
func (n *network) tags(t *testing.T, host, repository string) map[string]string {
	t.Helper()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/v2/"+repository+path, nil)
		r.Header.Set("Accept", "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json")
		n.hubs[host].next.ServeHTTP(w, r)
		return w
	}
	found := map[string]string{}
	list := get("/tags/list")
	if list.Code == http.StatusNotFound {
		return found
	}
	var names struct{ Tags []string }
	must(t, json.Unmarshal(list.Body.Bytes(), &names))
	for _, tag := range names.Tags {
		found[tag] = get("/manifests/" + tag).Header().Get("Docker-Content-Digest")
	}
	return found
}
