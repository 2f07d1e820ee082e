package publish_test

import (
	"bytes"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// habits lists permanent behaviors of registries that other clients fail on.
var habits = []struct {
	name string
	make func() habit  // nil when nothing listens on the port
	says string        // part of the error; "" when the publish must succeed
	wait time.Duration // limit for the sum of all waits
}{
	{"token for 1 s, blobs take longer", func() habit {
		return both(tokens(time.Second, 1e6), at("end a blob", first(1, func(_ http.ResponseWriter, _ *http.Request, _ []byte, next func() *reply) *reply {
			time.Sleep(1100 * time.Millisecond)
			return next()
		})))
	}, "", 5 * time.Second},
	{"token for 5 min", func() habit { return tokens(5*time.Minute, 1e6) }, "", 0},
	{"token for 1 request", func() habit { return tokens(time.Minute, 1) }, "", time.Minute},
	{"token for 2 requests", func() habit { return tokens(time.Minute, 2) }, "", time.Minute},
	{"token for 3 requests", func() habit { return tokens(time.Minute, 3) }, "", time.Minute},
	{"token for 7 requests", func() habit { return tokens(time.Minute, 7) }, "", 30 * time.Second},
	{"referrers: 303 to a page", func() habit {
		return at("ask for attachments", always(func() *reply { return says(303, "", "Location", "https://registry.invalid/page") }))
	}, "", 0},
	{"referrers: 404", func() habit { return at("ask for attachments", always(notFound)) }, "", 0},
	{"referrers: 401", func() habit {
		return at("ask for attachments", always(func() *reply { return says(401, "") }))
	}, "", 0},
	{"referrers: 403", func() habit { return at("ask for attachments", always(func() *reply { return says(403, "") })) }, "", 0},
	{"referrers: 405", func() habit { return at("ask for attachments", always(func() *reply { return says(405, "") })) }, "", 0},
	{"referrers: 429", func() habit {
		return at("ask for attachments", always(func() *reply { return says(429, "", "Retry-After", "60") }))
	}, "", 15 * time.Second},
	{"referrers: 500", func() habit { return at("ask for attachments", always(func() *reply { return says(500, "") })) }, "", 15 * time.Second},
	{"referrers: 200 and a page", func() habit {
		return at("ask for attachments", always(func() *reply { return says(200, "<html>sign in</html>", "Content-Type", "text/html") }))
	}, "", 0},
	{"referrers: 200 and no index", func() habit {
		return at("ask for attachments", always(func() *reply { return says(200, "{}", "Content-Type", "application/json") }))
	}, "", 0},
	{"referrers: 200 and always none", func() habit {
		return at("ask for attachments", always(func() *reply {
			return says(200, nothingListed, "Content-Type", "application/vnd.oci.image.index.v1+json")
		}))
	}, "", 70 * time.Second},
	{"manifests shown late", func() habit { return late(2, byDigest) }, "", 45 * time.Second},
	{"tags shown late", func() habit { return late(2, isTag) }, "", 30 * time.Second},
	{"tags never shown", func() habit { return late(1e6, isTag) }, "still so 30s after it was sent", 70 * time.Second},
	{"list of attachments shown late", func() habit {
		return both(at("ask for attachments", always(notFound)), late(2, isList))
	}, "", 15 * time.Second},
	{"artifactType refused", func() habit { return refusing(`"artifactType"`, "unknown field artifactType") }, "", 0},
	{"empty config refused", func() habit {
		return refusing(`"mediaType":"application/vnd.oci.empty.v1+json"`, "unsupported config type")
	}, "", 0},
	{"subject refused", func() habit { return refusing(`"subject"`, "unknown field subject") }, "takes no artifacts: publish without what is attached by --attach=optional", 0},
	{"nobody listens there", nil, "connection refused, 5 times in ", 190 * time.Second},
	{"quota used up", func() habit {
		return at("begin a blob", always(func() *reply {
			return says(403, `{"errors":[{"code":"DENIED","message":"storage quota exceeded"}]}`)
		}))
	}, "make room there", 0},
	{"HEAD says no digest and no length", func() habit {
		return func(_ http.ResponseWriter, r *http.Request, _ []byte, next func() *reply) *reply {
			a := next()
			if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
				a.header = without(without(a.header, "Docker-Content-Digest"), "Content-Length")
			}
			return a
		}
	}, "", 0},
	{"HEAD of a tag says a digest that it does not have", func() habit {
		return func(_ http.ResponseWriter, r *http.Request, _ []byte, next func() *reply) *reply {
			a := next()
			if _, reference, _ := strings.Cut(r.URL.Path, "/manifests/"); r.Method == http.MethodHead && a.status == 200 && reference != "" && isTag(reference) {
				a.header = a.header.Clone()
				a.header.Set("Docker-Content-Digest", "sha256:"+strings.Repeat("0", 64))
			}
			return a
		}
	}, "which it does not have: its answer is wrong", 0},
	{"HEAD of manifests not allowed", func() habit {
		return func(_ http.ResponseWriter, r *http.Request, _ []byte, next func() *reply) *reply {
			if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/manifests/") {
				return says(405, "")
			}
			return next()
		}
	}, "", 0},
}

func TestRegistriesOfEveryHabitGetAWholeReleaseOrOneTrueLine(t *testing.T) {
	var outcomes table
	backend := startLoopback(t).host
	for _, h := range habits {
		for _, protocol := range protocols {
			t.Run(h.name+" over "+protocol, func(t *testing.T) {
				t.Parallel()
				c := newTry(t, backend)
				p := newProxyOver(t, protocol, backend, nil)
				if h.make == nil {
					p.host = nobody(t)
				} else {
					p.habit = h.make()
				}
				var waited atomic.Int64
				opts := slowly(c.after, func(d time.Duration) { waited.Add(int64(d)) })
				var watch stopwatch
				opts.Transport, opts.Clock = registry.NewTransport(0, p.roots), watch.over(opts.Clock)
				_, err := registry.Publish(t.Context(), c.after.index, targets(t, p.host, c.repo, "2.0"), opts)
				seconds, wait := watch.read().Seconds(), time.Duration(waited.Load())
				p.mu.Lock()
				requests := p.count
				p.mu.Unlock()
				outcomes.add(row{Registry: "habits", Protocol: protocol, Fault: h.name, Request: "all", Requests: requests,
					Outcome: outcome(err, int64(wait)), Seconds: seconds})
				if wait > h.wait {
					t.Errorf("it waited for %s, want %s at most", wait, h.wait)
				}
				most := int64(4)
				if protocol != "HTTP/2" { // the server closes a connection after it refuses a body
					most = max(8, int64(requests)/2)
				}
				if p.lines.Load() > most {
					t.Errorf("%d connections were made for %d requests", p.lines.Load(), requests)
				}
				if h.says != "" {
					if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), h.says) || strings.Contains(err.Error(), "another run") || strings.Contains(err.Error(), "log in") {
						t.Errorf("the error is not one line that says %q: %v", h.says, err)
					}
					if err := c.judge(false); err != nil {
						t.Error(err)
					}
					return
				}
				must(t, err)
				must(t, c.judge(true))
				// A reader of this registry finds the attached documents.
				at, err := registry.Source{Clock: opts.Clock, Transport: registry.NewTransport(0, p.roots)}.Open(t.Context(), p.host+"/"+c.repo+":2.0")
				must(t, err)
				for _, subject := range c.after.subjects() {
					found, err := at.Referrers(subject)
					if (err != nil || len(found) != 1) && h.name != "referrers: 429" && h.name != "referrers: 500" {
						t.Errorf("%d documents are attached to %s, want 1 (%v)", len(found), subject, err)
					}
				}
			})
		}
	}
	t.Cleanup(func() {
		rows, runs := outcomes.sorted("")
		t.Logf("%d publishes to registries with habits:\n%s", runs, text(rows))
		keep(t, &outcomes, "-habits")
	})
}

func TestATokenThatRunsOutWhileAnotherRegistryIsSlowIsRenewed(t *testing.T) {
	lifetime := time.Second
	if *soak {
		lifetime = 3 * time.Second
	}
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			backend, content, repo := startLoopback(t).host, newContent(t, 2000), newRepository()
			quick, slow := newProxyOver(t, protocol, backend, nil), newProxyOver(t, protocol, startLoopback(t).host, nil)
			quick.habit = tokens(lifetime, 1e6)
			slow.habit = at("read a blob", first(1, func(_ http.ResponseWriter, _ *http.Request, _ []byte, next func() *reply) *reply {
				time.Sleep(lifetime + 200*time.Millisecond)
				return next()
			}))
			var list []registry.Target
			for _, p := range []*proxy{quick, slow} {
				list = append(list, targets(t, p.host, repo, "1.0")...)
			}
			opts := options(content, new(atomic.Int64))
			opts.Transport = trusting(quick, slow)
			_, err := registry.Publish(t.Context(), content.index, list, opts)
			must(t, err)
			tags, err := walk(backend, repo)
			if err != nil || tags["latest"] != content.digest || tags["1.0"] != content.digest {
				t.Errorf("the tags are %v (%v)", tags, err)
			}
		})
	}
}

func TestReadersWaitAsPublishersDoAndReadOnWhereABodyBrokeOff(t *testing.T) {
	backend, content, repo := startLoopback(t).host, newContent(t, 200_000), newRepository()
	_, err := publish(t.Context(), t, content, backend, repo, "1.0")
	must(t, err)
	for _, protocol := range protocols {
		for _, f := range faults {
			if f.name == "stalled" || f.name == "wrong content" {
				continue
			}
			t.Run(f.name+" over "+protocol, func(t *testing.T) {
				p := newProxyOver(t, protocol, backend, nil)
				var mu sync.Mutex
				seen := map[string]bool{}
				p.with(func(_ int, kind string) *fault {
					mu.Lock()
					defer mu.Unlock()
					if seen[kind] {
						return nil
					}
					seen[kind] = true
					return &f
				})
				var waited atomic.Int64
				source := registry.Source{Transport: registry.NewTransport(0, p.roots), Clock: slowly(content, func(d time.Duration) { waited.Add(int64(d)) }).Clock}
				at, err := source.Open(t.Context(), p.host+"/"+repo+":1.0")
				must(t, err)
				if at.Digest.String() != content.digest {
					t.Errorf("read %s, want %s", at.Digest, content.digest)
				}
				images, err := registry.Images(at.Index)
				must(t, err)
				for _, img := range images {
					layers, err := img.Image.Layers()
					must(t, err)
					for _, l := range layers {
						rc, err := l.Compressed()
						must(t, err)
						_, err = new(bytes.Buffer).ReadFrom(rc)
						must(t, err)
						must(t, rc.Close())
					}
				}
				if list, err := at.Referrers(at.Digest); err != nil || len(list) != 1 {
					t.Errorf("attached: %d documents (%v)", len(list), err)
				}
				if waited.Load() == 0 {
					t.Error("nothing was waited for")
				}
				if f.name == "429" && time.Duration(waited.Load()) < 6*time.Second {
					t.Errorf("waited for %s in all, but each of three kinds of requests was to come back after 2 s", time.Duration(waited.Load()))
				}
			})
		}
	}
}

func TestATagOfAVersionIsNotGivenToAnotherImage(t *testing.T) {
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			c := newTry(t, kind.start(t).host)
			_, err := publish(t.Context(), t, c.after, c.backend, c.repo, "1.0")
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), c.before.digest) || !strings.Contains(err.Error(), "--move") {
				t.Errorf("want one line that names what is there: %v", err)
			}
			if tags, err := walk(c.backend, c.repo); err != nil || tags["1.0"] != c.before.digest || tags["latest"] != c.before.digest {
				t.Errorf("the tags are %v (%v)", tags, err)
			}
			opts := options(c.after, new(atomic.Int64))
			opts.Move = true
			_, err = registry.Publish(t.Context(), c.after.index, targets(t, c.backend, c.repo, "1.0"), opts)
			must(t, err)
			if tags, err := walk(c.backend, c.repo); err != nil || tags["1.0"] != c.after.digest {
				t.Errorf("the tags are %v (%v)", tags, err)
			}
		})
	}
}

func TestACertificateNobodyKnowsIsSaidWithWhatToDo(t *testing.T) {
	p := newProxyOver(t, "HTTP/2", startLoopback(t).host, nil)
	content := newContent(t, 2000)
	began := time.Now()
	_, err := publish(t.Context(), t, content, p.host, newRepository(), "1.0")
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "SSL_CERT_FILE") || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("after %s: %v", time.Since(began), err)
	}
}

func TestARegistryThatRefusesAttachmentsGetsTheImageWhenThatIsAllowed(t *testing.T) {
	p := newProxyOver(t, "HTTP/2", startLoopback(t).host, nil)
	p.habit = refusing(`"subject"`, "unknown field subject")
	content, repo := newContent(t, 2000), newRepository()
	opts := options(content, new(atomic.Int64))
	opts.Transport = registry.NewTransport(0, p.roots)
	list := targets(t, p.host, repo, "1.0")
	opts.AttachOptional = true
	done, err := registry.Publish(t.Context(), content.index, list, opts)
	if err != nil || len(done) != 3 {
		t.Errorf("published %v: %v", done, err)
	}
}
