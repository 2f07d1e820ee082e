package publish_test

import (
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

var image = flag.String("image", "", "measure with the image layout in `DIR`, such as dist/image, instead of 100 MB of noise")

// BenchmarkPublish measures a publisher process against go-containerregistry
// registries on loopback, first when they are empty and then when they have the
// image. It reports the time with and without reading the layout, the data
// sent, and the peak memory.
func BenchmarkPublish(b *testing.B) {
	program, err := os.Executable()
	must(b, err)
	dir := *image
	if dir == "" {
		dir = filepath.Join(b.TempDir(), "image")
		must(b, registry.WriteLayout(dir, newContent(b, 50_000_000).index))
	}
	for _, registries := range []int{1, 4, -1, -4} { // negative: over HTTP/2 with TLS
		for _, again := range []bool{false, true} {
			tls := registries < 0
			registries := max(registries, -registries)
			name := fmt.Sprintf("registries=%d", registries)
			if tls {
				name += "/HTTP2"
			}
			if again {
				name += "/again"
			}
			b.Run(name, func(b *testing.B) {
				var sum feat
				var whole time.Duration
				for b.Loop() {
					b.StopTimer()
					var targets []string
					for range registries {
						cmd := exec.Command(program)
						cmd.Env = append(os.Environ(), serve+"="+b.TempDir())
						host := start(b, cmd).host
						if tls {
							host = overTLS(b, host)
						}
						for _, tag := range []string{"4.7.3", "v4.7.3-ls1", "amd64-latest=linux/amd64", "latest"} {
							targets = append(targets, host+"/netbox:"+tag)
						}
					}
					if again {
						if once(b, dir, targets).Changed == 0 {
							b.Fatal("the first push changed nothing")
						}
					}
					b.StartTimer()
					began := time.Now()
					done := once(b, dir, targets)
					whole += time.Since(began)
					sum.Seconds += done.Seconds
					sum.Bytes += done.Bytes
					sum.Blobs += done.Blobs
					sum.Memory = max(sum.Memory, done.Memory)
					if again && (done.Blobs > 0 || done.Changed > 0) {
						b.Fatalf("the second push changed something: %+v", done)
					}
				}
				n := float64(b.N)
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(whole.Seconds()/n, "s/process")
				b.ReportMetric(sum.Seconds/n, "s/publish")
				b.ReportMetric(float64(sum.Bytes)/n/1e6, "MB-sent")
				b.ReportMetric(float64(sum.Blobs)/n, "blobs-sent")
				b.ReportMetric(float64(sum.Memory)/1e6, "MB-memory")
			})
		}
	}
}

// once runs a publisher process and returns its result.
func once(b *testing.B, dir string, targets []string) (done feat) {
	b.Helper()
	p := startPublisher(b, dir, targets...)
	err := json.NewDecoder(p.stdout).Decode(&done)
	if waited := p.cmd.Wait(); waited != nil || err != nil {
		b.Fatalf("publish: %v, %v: %s", waited, err, &p.stderr)
	}
	return done
}

// overTLS starts a reverse proxy with TLS and HTTP/2 in front of a registry.
// Processes started afterwards trust its certificate.
func overTLS(b *testing.B, backend string) (host string) {
	b.Helper()
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: backend})
		r.Out.Host = r.In.Host
	}})
	front.EnableHTTP2 = true
	front.StartTLS()
	b.Cleanup(front.Close)
	file := filepath.Join(b.TempDir(), "ca.pem")
	must(b, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
	b.Setenv("SSL_CERT_FILE", file) // all proxies have the same certificate
	return front.Listener.Addr().String()
}
