package dagger_test

import (
	"io"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/engine"
	"github.com/linuxserver/docker-netbox/pipeline/engine/enginetest"
	"github.com/linuxserver/docker-netbox/pipeline/provider"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

func TestTheBrowserIsBuiltOnTheBaseImage(t *testing.T) {
	built, err := engine.ImageFor(enginetest.Base(t, amd64), amd64)
	if err != nil {
		t.Fatal(err)
	}
	e, f := offline(t, exporting(t, built))
	pins, err := versions.Load("../../..")
	if err != nil {
		t.Fatal(err)
	}
	browser, err := provider.Dagger{Engine: e, Repo: "../../..", BaseName: pins.Base.Published}.Browser(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if browser.Image == nil || len(browser.Entrypoint) == 0 || len(browser.Ready) == 0 || browser.Args == nil {
		t.Errorf("got %+v; without Args the image's own command would follow the entrypoint", browser)
	}
	f.want("asTarball(forcedCompression:Zstd){export(", "dockerBuild(", `dockerfile:"Dockerfile"`, `platform:"linux/amd64"`,
		`{name:"BASE_IMAGE",value:"`+pins.Base.Published+`"}`, `pipeline/base/browser"`)
}
