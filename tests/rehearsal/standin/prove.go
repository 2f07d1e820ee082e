package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// prove replaces the check of one platform, which takes minutes. It writes a
// small image with the labels of the plan, and a report that all stages passed.
// The file red-ARCH in the state makes the smoke check fail, and endless-ARCH
// makes the check hang.
func prove() error {
	plan, err := release.Load("dist/plan.json")
	if err != nil {
		return err
	}
	platforms, err := platform.Parse([]string{os.Getenv("PLATFORM")})
	if err != nil {
		return err
	}
	on := platforms[0]
	key := registry.Key(on)
	img, err := image(plan, on)
	if err != nil {
		return err
	}
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	idx, err := registry.Index([]registry.PlatformImage{{Platform: on, Image: img}}, map[string]string{
		registry.TitleLabel: "netbox", registry.VersionLabel: plan.Version, registry.RevisionLabel: plan.Commit, registry.BaseNameLabel: plan.Base.Name,
	})
	if err != nil {
		return err
	}
	if err := registry.WriteLayout("dist/image", idx); err != nil {
		return err
	}
	r := report.Report{
		Project: "docker-netbox", Commit: plan.Commit, Version: plan.NetBox.Value, Engine: "local",
		Base: report.Base{Name: plan.Base.Reference()}, Started: time.Now().UTC(), Seconds: 1, Index: digest.String(),
		Platforms: []report.Platform{{Platform: key, Image: digest.String(), Boot: &report.Boot{FirstOK: 5}, Smoke: []report.Check{{Name: "log-in page"}}}},
	}
	for _, stage := range []string{"build", "graph", "boot", "smoke", "stop"} {
		key := report.Key{Stage: stage, Platform: key}
		r.Expected = append(r.Expected, key)
		r.Stages = append(r.Stages, report.Stage{Key: key, Seconds: 1})
	}
	for _, d := range []struct{ end, kind, text string }{
		{"spdx.json", sbom.SPDXType, `{"spdxVersion":"SPDX-2.3","packages":[{"name":"netbox","versionInfo":%q,"primaryPackagePurpose":"CONTAINER"},{"name":"nginx","versionInfo":"1"}]}`},
		{"cdx.json", sbom.CycloneDXType, `{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"name":"netbox","version":%q}},` +
			`"components":[{"name":"nginx","version":"1","properties":[{"name":"syft:package:type","value":"deb"}]}]}`},
		{"packages.txt", sbom.ListType, "NAME   VERSION  TYPE\nnginx  1        deb\n%.0s"},
	} {
		r.Documents = append(r.Documents, report.Document{
			Name: on.Architecture + "." + d.end, Platform: key, Type: d.kind, Text: fmt.Appendf(nil, d.text, digest.String()),
		})
	}
	_, failing := os.Stat(state("red-" + on.Architecture))
	if failing == nil {
		r.Stages[3].Errors = []string{"log-in page: it answered 502"}
		r.Platforms[0].Smoke[0].Error = "it answered 502"
	}
	if err := r.Write("dist/report", func(s string) string { return s }); err != nil {
		return err
	}
	if failing == nil {
		return errors.New("smoke linux/" + on.Architecture + ": " + r.Stages[3].Errors[0])
	}
	if _, err := os.Stat(state("endless-" + on.Architecture)); err == nil {
		if err := os.WriteFile(state("endless"), []byte(fmt.Sprint(os.Getpid())), 0o644); err != nil {
			return err
		}
		time.Sleep(time.Hour)
	}
	fmt.Printf("%s: %s is good\n", key, filepath.Base(digest.String()))
	return nil
}

// image returns a reproducible image: the same plan gives the same digest.
func image(plan release.Plan, on v1.Platform) (v1.Image, error) {
	layer, err := registrytest.Files(fstest.MapFS{"build_version": {Data: []byte(plan.Version + " for " + on.String()), Mode: 0o644}})
	if err != nil {
		return nil, err
	}
	return registrytest.New(on, map[string]string{
		"build_version":                    "Linuxserver.io version:- " + plan.Version + " Build-date:- 2026-11-26T00:00:00+00:00",
		"org.opencontainers.image.version": plan.Version, "org.opencontainers.image.revision": plan.Commit,
		"org.opencontainers.image.source": "https://github.com/linuxserver/docker-netbox",
	}, layer)
}
