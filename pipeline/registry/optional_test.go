package registry_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// tags returns the digests that the tags point at.
func (f *faulty) tags(t *testing.T, repository string, tags ...string) (digests []string) {
	t.Helper()
	for _, tag := range tags {
		digests = append(digests, f.tag(t, repository+":"+tag))
	}
	return digests
}

// refuse responds with status to each request with the method and end of the path.
func refuse(status int, method, pathEnd string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == method && strings.HasSuffix(r.URL.Path, pathEnd) {
			w.WriteHeader(status)
			return
		}
		next.ServeHTTP(w, r)
	}
}

func TestLatestMovesOnlyWhenEveryRegistryHasEveryVersion(t *testing.T) {
	one, two := newFaulty(t), newFaulty(t)
	two.setFault(refuse(http.StatusForbidden, http.MethodPut, "/manifests/4.7.3"))
	idx, booted := index(t)
	digest, err := idx.Digest()
	must(t, err)
	var targets []registry.Target
	for _, reg := range []*faulty{one, two} {
		targets = append(targets, reg.target(t, "netbox:latest"), reg.target(t, "netbox:amd64-latest").For("linux/amd64"),
			reg.target(t, "netbox:4.7.3"), reg.target(t, "netbox:version-v4.7.3"))
	}
	done, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	wantError(t, err, two.host+"/netbox:4.7.3: moving the tag", "403")
	if got := one.tags(t, "netbox", "4.7.3", "version-v4.7.3", "latest", "amd64-latest"); !slices.Equal(got, []string{digest.String(), digest.String(), "", ""}) {
		t.Errorf("on the healthy registry the tags are %q", got)
	}
	if len(done) != 2 { // both version tags on the healthy registry
		t.Errorf("said to be published: %+v", done)
	}
	for _, p := range done {
		if p.Digest != digest || p.Err != nil || strings.HasSuffix(p.Target.String(), "latest") {
			t.Errorf("said to be published: %+v", p)
		}
	}
	two.setFault(nil)
	one.takeRequests()
	done, err = registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	must(t, err)
	if len(done) != 8 {
		t.Errorf("the second run published %d targets, want 8", len(done))
	}
	if puts := one.takeRequests("PUT"); len(puts) != 2 {
		t.Errorf("the second run wrote %q, want the two latest tags", puts)
	}
}

func TestAnOptionalRegistryFailsNothingElseAndIsReported(t *testing.T) {
	for name, spoil := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"at once":               refuse(http.StatusForbidden, http.MethodGet, "/v2/"),
		"when blobs are sent":   refuse(http.StatusForbidden, http.MethodPost, "/uploads/"),
		"when a tag is to move": refuse(http.StatusForbidden, http.MethodPut, "/manifests/1"),
		"at the last tag":       refuse(http.StatusForbidden, http.MethodPut, "/manifests/latest"),
	} {
		t.Run(name, func(t *testing.T) {
			good, bad := newFaulty(t), newFaulty(t)
			bad.setFault(spoil)
			idx, _ := index(t)
			digest, err := idx.Digest()
			must(t, err)
			targets := []registry.Target{good.target(t, "netbox:1"), good.target(t, "netbox:latest"), bad.target(t, "netbox:1"), bad.target(t, "netbox:latest")}
			var shown steps
			done, err := registry.Publish(t.Context(), idx, targets, registry.Options{Optional: []string{bad.host}, Step: shown.step})
			must(t, err)
			if got := good.tags(t, "netbox", "1", "latest"); !slices.Equal(got, []string{digest.String(), digest.String()}) {
				t.Errorf("on the healthy registry the tags are %q", got)
			}
			if bad.tag(t, "netbox:latest") != "" {
				t.Error("latest was moved on the failing registry")
			}
			failed := 0
			for _, p := range done {
				if p.Err != nil {
					failed++
					if !strings.HasPrefix(p.Target.String(), bad.host) {
						t.Errorf("%s failed: %v", p.Target, p.Err)
					}
					wantError(t, p.Err, bad.host, "403 Forbidden")
				}
			}
			if len(done) != 4 || failed == 0 {
				t.Errorf("published %+v", done)
			}
			if shown.ends[good.host] != nil || shown.ends[bad.host] == nil {
				t.Errorf("the steps ended with %v", shown.ends)
			}

			bad.setFault(nil)
			_, err = registry.Publish(t.Context(), idx, targets, registry.Options{Optional: []string{bad.host}})
			must(t, err)
			if got := bad.tags(t, "netbox", "1", "latest"); !slices.Equal(got, []string{digest.String(), digest.String()}) {
				t.Errorf("once it is well again the tags are %q", got)
			}
		})
	}
}

func TestAFailingRequiredRegistryMovesNoTagOnAnOptionalOne(t *testing.T) {
	required, optional := newFaulty(t), newFaulty(t)
	required.setFault(refuse(http.StatusForbidden, http.MethodPost, "/uploads/"))
	idx, _ := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{required.target(t, "netbox:1"), optional.target(t, "netbox:1")},
		registry.Options{Optional: []string{optional.host}})
	wantError(t, err, required.host, "403")
	if tag := optional.tag(t, "netbox:1"); tag != "" {
		t.Errorf("the tag points at %s", tag)
	}
}

func TestAnOptionalRegistryMustBeATargetAndNotTheOnlyOne(t *testing.T) {
	reg := newFaulty(t)
	idx, _ := index(t)
	for host, want := range map[string]string{"quay.io": `"quay.io" is optional, but nothing goes there`, reg.host: "every registry is optional"} {
		_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "netbox:1")}, registry.Options{Optional: []string{host}})
		wantError(t, err, want)
		if failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%v: exit status %d", err, failure.ExitCode(err))
		}
	}
	if sent := reg.takeRequests("GET", "HEAD", "PUT", "POST", "PATCH"); len(sent) > 0 {
		t.Errorf("the registry was asked %q", sent)
	}
}
