package registry_test

import (
	"encoding/base64"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

func TestATagOfOneArchitecturePointsAtItsImage(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	targets := []registry.Target{
		reg.target(t, "lsio/netbox:amd64-latest").For("linux/amd64"),
		reg.target(t, "lsio/netbox:arm64v8-latest").For("linux/arm64"),
		reg.target(t, "lsio/netbox:latest"),
	}
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	must(t, err)
	digest, err := idx.Digest()
	must(t, err)
	for tag, want := range map[string]v1.Hash{"amd64-latest": booted["linux/amd64"], "arm64v8-latest": booted["linux/arm64"], "latest": digest} {
		if got := reg.tag(t, "lsio/netbox:"+tag); got != want.String() {
			t.Errorf("%s is %s, want %s", tag, got, want)
		}
	}
	again, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	must(t, err)
	for _, p := range again {
		if !p.Unchanged {
			t.Errorf("the second time %s was changed", p.Target)
		}
	}
}

func TestATagForAnArchitectureThatTheIndexLacksStopsEverything(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	targets := []registry.Target{reg.target(t, "lsio/netbox:latest"), reg.target(t, "lsio/netbox:riscv-latest").For("linux/riscv64")}
	_, err := registry.Publish(t.Context(), idx, targets, registry.Options{Booted: booted})
	wantError(t, err, "riscv-latest", "no image for linux/riscv64")
	if sent := reg.takeRequests("PUT", "POST", "PATCH"); len(sent) != 0 {
		t.Errorf("something was sent: %v", sent)
	}
}

func TestByDigestPublishesEverythingButTheTag(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	done, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "lsio/netbox:latest")}, registry.Options{Booted: booted, ByDigest: true})
	must(t, err)
	if reg.tag(t, "lsio/netbox:latest") != "" {
		t.Error("the tag was moved")
	}
	digest, err := idx.Digest()
	must(t, err)
	if len(done) != 1 || done[0].Digest != digest || done[0].Target.Repository() != reg.host+"/lsio/netbox" {
		t.Errorf("published %+v", done)
	}
	images, err := registry.Source{}.Fetch(t.Context(), reg.host+"/lsio/netbox", booted)
	must(t, err)
	joined, err := registry.Index(images, map[string]string{registry.TitleLabel: "netbox", registry.VersionLabel: "4.7.3"})
	must(t, err)
	if got, err := joined.Digest(); err != nil || got != digest {
		t.Errorf("joined again it is %s (%v), want %s", got, err, digest)
	}
}

func TestAnImageOfAnotherArchitectureIsRejected(t *testing.T) {
	reg := newFaulty(t)
	idx, booted := index(t)
	_, err := registry.Publish(t.Context(), idx, []registry.Target{reg.target(t, "lsio/netbox")}, registry.Options{ByDigest: true})
	must(t, err)
	_, err = registry.Source{}.Fetch(t.Context(), reg.host+"/lsio/netbox", map[string]v1.Hash{"linux/amd64": booted["linux/arm64"]})
	wantError(t, err, "read the image of linux/amd64", "is for linux/arm64/v8")
	_, err = registry.Source{}.Fetch(t.Context(), "UPPER", booted)
	wantError(t, err, "UPPER", "REGISTRY/NAME")
}

func TestCredentialsInVariablesBelongToOneRegistry(t *testing.T) {
	env := map[string]string{
		"REGISTRY_USERNAME_DOCKER_IO": "hub", "REGISTRY_PASSWORD_DOCKER_IO": "secret-1",
		"REGISTRY_USERNAME_REGISTRY_GITLAB_COM": "lab", "REGISTRY_PASSWORD_REGISTRY_GITLAB_COM": "secret-2",
		"REGISTRY_PASSWORD_127_0_0_1_5000": "secret-3",
	}
	var hidden []string
	t.Setenv("DOCKER_CONFIG", t.TempDir()) // no other credentials
	keys := registry.Environment(func(name string) string { return env[name] }, func(values ...string) { hidden = append(hidden, values...) }, time.Minute)
	for repository, want := range map[string]authn.AuthConfig{
		"docker.io/linuxserver/netbox":                     {Username: "hub", Password: "secret-1"},
		"registry.gitlab.com/linuxserver.io/docker-netbox": {Username: "lab", Password: "secret-2"},
		"127.0.0.1:5000/netbox":                            {Password: "secret-3"},
		"ghcr.io/linuxserver/netbox":                       {},
	} {
		repo, err := name.NewRepository(repository)
		must(t, err)
		auth, err := keys.Resolve(repo)
		must(t, err)
		got, err := auth.Authorization()
		must(t, err)
		if *got != want {
			t.Errorf("%s: %+v, want %+v", repository, *got, want)
		}
	}
	slices.Sort(hidden)
	encoded := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	want := []string{"", encoded(":secret-3"), encoded("hub:secret-1"), encoded("lab:secret-2"), "secret-1", "secret-2", "secret-3"}
	slices.Sort(want)
	if got := slices.Compact(hidden); !slices.Equal(got, want) {
		t.Errorf("hidden: %q, want %q", got, want)
	}
}
