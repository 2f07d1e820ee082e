package engine_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
)

var amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}

func image(t *testing.T, created time.Time, env []string, history ...string) v1.Image {
	t.Helper()
	config := &v1.ConfigFile{OS: "linux", Architecture: "amd64", Created: v1.Time{Time: created}, Config: v1.Config{Env: env}}
	for _, h := range history {
		config.History = append(config.History, v1.History{CreatedBy: h, Created: v1.Time{Time: created}, EmptyLayer: true})
	}
	img, err := mutate.ConfigFile(empty.Image, config)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func normalised(t *testing.T, img v1.Image, req engine.BuildRequest) *v1.ConfigFile {
	t.Helper()
	req.Platform = amd64
	out, err := engine.Normalise(img, req)
	if err != nil {
		t.Fatal(err)
	}
	config, err := out.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func TestBuildArgumentsAreTakenOutOfTheEnvironment(t *testing.T) {
	base := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{
		Add:        image(t, time.Time{}, []string{"PATH=/bin", "SHARED=base"}),
		Descriptor: v1.Descriptor{Platform: &amd64},
	})
	for _, c := range []struct {
		name    string
		env     []string
		history []string
		args    map[string]string
		want    []string
	}{
		{"asked for", []string{"PATH=/bin", "VERSION=1"}, nil, map[string]string{"VERSION": "1"}, []string{"PATH=/bin"}},
		{"automatic", []string{"TARGETARCH=amd64", "QEMU_CPU=max", "https_proxy=http://p", "HOME=/config"}, nil, nil, []string{"HOME=/config"}},
		{"declared with a default", []string{"OWN=x", "HOME=/config"}, []string{"ARG OWN=x"}, nil, []string{"HOME=/config"}},
		{"set by ENV as well", []string{"VERSION=1"}, []string{"ARG VERSION", "ENV VERSION=1"}, map[string]string{"VERSION": "1"}, []string{"VERSION=1"}},
		{"set by ENV with others", []string{"A=1", "VERSION=1"}, []string{"ENV A=1 VERSION=1"}, map[string]string{"VERSION": "1"}, []string{"A=1", "VERSION=1"}},
		{"set by the classic builder", []string{"VERSION=1"}, []string{"/bin/sh -c #(nop)  ENV VERSION=1"}, map[string]string{"VERSION": "1"}, []string{"VERSION=1"}},
		{"in the base's environment", []string{"SHARED=base"}, nil, map[string]string{"SHARED": "1"}, []string{"SHARED=base"}},
		{"only alike", []string{"VERSION_ID=13"}, nil, map[string]string{"VERSION": "1"}, []string{"VERSION_ID=13"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := normalised(t, image(t, time.Now(), c.env, c.history...), engine.BuildRequest{Args: c.args, Base: engine.Base{Index: base}})
			if !slices.Equal(config.Config.Env, c.want) {
				t.Errorf("Env is %q, want %q", config.Config.Env, c.want)
			}
		})
	}
}

func TestTheTimeOfTheBuildLeavesNoTrace(t *testing.T) {
	epoch := time.Unix(1_700_000_000, 0)
	var digests []v1.Hash
	for _, built := range []time.Time{time.Now(), time.Now().Add(-time.Hour)} {
		out, err := engine.Normalise(image(t, built, nil, "ENV A=1", "RUN make"), engine.BuildRequest{Platform: amd64, Epoch: epoch})
		if err != nil {
			t.Fatal(err)
		}
		config, err := out.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if !config.Created.Equal(epoch) || !config.History[1].Created.Equal(epoch) {
			t.Errorf("created %s, history %s, want %s", config.Created, config.History[1].Created, epoch)
		}
		d, err := out.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, d)
	}
	if digests[0] != digests[1] {
		t.Errorf("two builds of the same made %s and %s", digests[0], digests[1])
	}
	if config := normalised(t, image(t, time.Now(), nil), engine.BuildRequest{}); config.Created.Unix() != 0 {
		t.Errorf("with no epoch, created is %s, want 1970", config.Created)
	}
}

func TestABuildErrorIsOneLineThatNamesTheInstruction(t *testing.T) {
	err := &engine.BuildError{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Dockerfile: "Dockerfile.aarch64", Line: 31,
		Step: "RUN apt-get update &&\n    apt-get install " + strings.Repeat("x", 200), Output: []string{"one", "E: no such package"},
		Err: errorText("exit code: 1")}
	want := "build linux/arm64: Dockerfile.aarch64:31: RUN apt-get update && apt-get install " + strings.Repeat("x", 82) + "…: exit code: 1: E: no such package"
	if got := err.Error(); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := (&engine.BuildError{Platform: amd64, Dockerfile: "Dockerfile", Err: errorText("no such file")}).Error(); got != "build linux/amd64: Dockerfile: no such file" {
		t.Errorf("with nothing known got %q", got)
	}
}

type errorText string

func (e errorText) Error() string { return string(e) }

func TestImageForFindsThePlatform(t *testing.T) {
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: image(t, time.Time{}, nil), Descriptor: v1.Descriptor{Platform: &amd64}})
	if _, err := engine.ImageFor(index, amd64); err != nil {
		t.Error(err)
	}
	if _, err := engine.ImageFor(index, v1.Platform{OS: "linux", Architecture: "arm64"}); err == nil || !strings.Contains(err.Error(), "linux/arm64") {
		t.Errorf("err is %v, want one that names the platform", err)
	}
}
