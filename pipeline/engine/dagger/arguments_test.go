package dagger

import (
	"slices"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

func imageWithEnv(t *testing.T, env ...string) v1.Image {
	t.Helper()
	img, err := mutate.Config(empty.Image, v1.Config{Env: env})
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func TestBuildArgumentsAreRemovedFromTheEnvironment(t *testing.T) {
	amd64 := v1.Platform{OS: "linux", Architecture: "amd64"}
	base := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add: imageWithEnv(t, "PATH=/bin", "SHARED=base"), Descriptor: v1.Descriptor{Platform: &amd64},
	})
	version := map[string]string{"VERSION": "1"}
	for _, c := range []struct {
		name       string
		env        []string
		dockerfile string
		args       map[string]string
		want       []string
	}{
		{"asked for", []string{"PATH=/bin", "VERSION=1"}, "", version, []string{"PATH=/bin"}},
		{"automatic", []string{"TARGETARCH=amd64", "QEMU_CPU=max", "https_proxy=http://p", "HOME=/config"}, "", nil, []string{"HOME=/config"}},
		{"declared with a default", []string{"OWN=x", "HOME=/config"}, "ARG OWN=x", nil, []string{"HOME=/config"}},
		{"set by ENV as well", []string{"VERSION=1"}, "ENV VERSION=1\nARG VERSION", version, []string{"VERSION=1"}},
		{"set by ENV with others", []string{"A=1", "VERSION=1"}, "ENV A=1 VERSION=1", version, []string{"A=1", "VERSION=1"}},
		{"set by ENV after a value with blanks", []string{"A=b c", "VERSION=1"}, `ENV A="b c" VERSION=1`, version, []string{"A=b c", "VERSION=1"}},
		{"in the base's environment", []string{"SHARED=base"}, "", map[string]string{"SHARED": "1"}, []string{"SHARED=base"}},
		{"only alike", []string{"VERSION_ID=13"}, "", version, []string{"VERSION_ID=13"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := engine.BuildRequest{Platform: amd64, Args: c.args, Base: engine.Base{Index: base}}
			img, err := withoutArguments(imageWithEnv(t, c.env...), req, c.dockerfile)
			if err != nil {
				t.Fatal(err)
			}
			config, err := img.ConfigFile()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(config.Config.Env, c.want) {
				t.Errorf("Env is %q, want %q", config.Config.Env, c.want)
			}
		})
	}
}

// The history of a base in a registry is part of the built image's history.
func TestWhatABaseInARegistrySetsStaysInTheEnvironment(t *testing.T) {
	for created, want := range map[string][]string{
		"ENV A=b c VERSION=1":               {"PATH=/bin", "VERSION=1"},
		"/bin/sh -c #(nop)  ENV VERSION=1":  {"PATH=/bin", "VERSION=1"},
		"ARG VERSION=1":                     {"PATH=/bin"},
		"RUN |1 VERSION=1 /bin/sh -c build": {"PATH=/bin"},
	} {
		img := imageWithEnv(t, "PATH=/bin", "VERSION=1", "OWN=2")
		config, err := img.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		config = config.DeepCopy()
		config.History = []v1.History{{CreatedBy: created, EmptyLayer: true}}
		if img, err = mutate.ConfigFile(img, config); err != nil {
			t.Fatal(err)
		}
		req := engine.BuildRequest{Args: map[string]string{"VERSION": "2"}, Base: engine.Base{Reference: "base:1"}}
		if img, err = withoutArguments(img, req, "ARG VERSION\nARG OWN"); err != nil {
			t.Fatal(err)
		}
		if config, err = img.ConfigFile(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(config.Config.Env, want) {
			t.Errorf("%s: Env is %q, want %q", created, config.Config.Env, want)
		}
	}
}
