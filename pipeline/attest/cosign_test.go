package attest_test

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ggcr "github.com/google/go-containerregistry/pkg/registry"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/attest/attesttest"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

var (
	soak   = flag.Bool("soak", false, "build cosign, which takes minutes, where it has not been built yet")
	record = flag.Bool("record", false, "keep in testdata what cosign has signed")
)

// cosign runs the pinned cosign, as a second implementation of signing and verifying.
func cosign(t testing.TB, environ ...string) func(args ...string) (out string, err error) {
	t.Helper()
	program := built(t, attest.CosignPackage)
	dir := t.TempDir()
	return func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Dir = dir
		cmd.Env = append(append(os.Environ(), "HOME="+dir, "TUF_ROOT="+dir, "DOCKER_CONFIG="+dir), environ...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
}

// built returns a program of the module that pins cosign.
func built(t testing.TB, pkg string) string {
	t.Helper()
	module := cosignModule(t)
	bin, err := module.Bin(t.Context())
	must(t, err)
	if _, err := os.Stat(filepath.Join(bin, filepath.Base(pkg))); err != nil && !*soak {
		t.Skipf("SKIPPED: %s is not built yet: run with -soak; TestWhatCosignHasSignedVerifies reads what cosign has left", filepath.Base(pkg))
	}
	program, err := module.Program(t.Context(), os.Stderr, pkg)
	must(t, err)
	return program
}

func cosignModule(t testing.TB) gotool.Module {
	t.Helper()
	cache, err := os.UserCacheDir()
	must(t, err)
	return gotool.Module{Dir: "../../tools/cosign", Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 20 * time.Minute}
}

// file writes a file in a temporary directory of the test.
func file(t testing.TB, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

func TestCosignVerifiesWhatAKeySigns(t *testing.T) {
	cosign := cosign(t)
	for kind, lists := range map[string]bool{"a registry that lists referrers": true, "a registry that has to be given the list": false} {
		t.Run(kind, func(t *testing.T) {
			reg, key := newServer(t, ggcr.WithReferrersSupport(lists)), attesttest.Key(t)
			idx, images := index(t)
			reg.publish(t, idx, release(t, idx, key, reg.host+"/lsio/netbox").Attach)
			public := file(t, "cosign.pub", key.PEM())
			other := file(t, "other.pub", attesttest.Key(t).PEM())

			one, err := images[1].Image.Digest()
			must(t, err)
			for _, where := range []string{":latest", "@" + one.String()} {
				reference := reg.host + "/lsio/netbox" + where
				for form, args := range map[string][]string{
					"bundle":         {"verify", "--insecure-ignore-tlog=true"},
					"simple signing": {"verify", "--insecure-ignore-tlog=true", "--new-bundle-format=false"},
					"provenance":     {"verify-attestation", "--insecure-ignore-tlog=true", "--type", "slsaprovenance1"},
					"SPDX":           {"verify-attestation", "--insecure-ignore-tlog=true", "--type", "spdxjson"},
					"CycloneDX":      {"verify-attestation", "--insecure-ignore-tlog=true", "--type", "cyclonedx"},
				} {
					out, err := cosign(append(args, "--allow-http-registry", "--key", public, reference)...)
					if err != nil || args[0] == "verify-attestation" && !strings.Contains(out, "The signatures were verified against the specified public key") {
						t.Errorf("%s of %s: %v\n%s", form, where, err, out)
					}
					if out, err := cosign(append(args, "--allow-http-registry", "--key", other, reference)...); err == nil {
						t.Errorf("%s of %s is another key's too:\n%s", form, where, out)
					}
				}
			}
		})
	}
}

func TestWhatCosignSignsVerifies(t *testing.T) {
	cosign := cosign(t, "COSIGN_PASSWORD=sesame")
	private := filepath.Join(t.TempDir(), "cosign")
	out, err := cosign("generate-key-pair", "--output-key-prefix", private)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(private + ".pub")
	must(t, err)
	public, err := attest.ReadPublicKey("cosign.pub", text)
	must(t, err)
	recorded := newServer(t)
	idx, _ := index(t)
	recorded.publish(t, idx, nil)
	for _, args := range [][]string{nil, {"--new-bundle-format=false"}} {
		args = append(args, "sign", "--yes", "--recursive", "--allow-http-registry", "--tlog-upload=false", "--use-signing-config=false", "--key", private+".key")
		if out, err := cosign(append(args, recorded.host+"/lsio/netbox:latest")...); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	wantSignedByCosign(t, recorded.verify(t, attest.Policy{Signer: public, Require: []string{"signature"}}))
	if *record {
		recorded.save(t, "testdata/cosign", idx)
		for _, name := range []string{".key", ".pub"} {
			text, err := os.ReadFile(private + name)
			must(t, err)
			must(t, os.WriteFile("testdata/cosign/cosign"+name, text, 0o644))
		}
	}

	// cosign verifies what this package signs with cosign's key.
	text, err = os.ReadFile(private + ".key")
	must(t, err)
	key, err := attest.ReadKey("cosign.key", text, func() string { return "sesame" })
	must(t, err)
	reg := newServer(t)
	reg.publish(t, idx, release(t, idx, key, reg.host+"/lsio/netbox").Attach)
	if out, err := cosign("verify", "--insecure-ignore-tlog=true", "--allow-http-registry", "--key", private+".pub", reg.host+"/lsio/netbox:latest"); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// wantSignedByCosign checks for both signature formats on every subject.
func wantSignedByCosign(t *testing.T, result attest.Result) {
	t.Helper()
	must(t, result.Err())
	for _, of := range []string{"index", "linux/amd64", "linux/arm64"} {
		wantLine(t, result, attest.Proven, of, "signature", "(sigstore bundle, simple signing)")
	}
}

// The record is what `go test -run WhatCosignSigns -soak -record` has left: the
// layout of a registry after cosign's own signing.
func TestWhatCosignHasSignedVerifies(t *testing.T) {
	text, err := os.ReadFile("testdata/cosign/cosign.pub")
	must(t, err)
	public, err := attest.ReadPublicKey("cosign.pub", text)
	must(t, err)
	at, err := registry.OpenLayout("testdata/cosign")
	must(t, err)
	result, err := attest.Verify(t.Context(), "record", at, attest.Policy{Signer: public, Platforms: []string{"linux/amd64", "linux/arm64"}})
	must(t, err)
	wantSignedByCosign(t, result)

	result, err = attest.Verify(t.Context(), "record", at, attest.Policy{Signer: attesttest.Key(t).PublicKey})
	must(t, err)
	wantLine(t, result, attest.Missing, "index", "signature", "but by "+public.String())

	text, err = os.ReadFile("testdata/cosign/cosign.key")
	must(t, err)
	key, err := attest.ReadKey("cosign.key", text, func() string { return "sesame" })
	must(t, err)
	if key.String() != public.String() {
		t.Errorf("the key is %s, its public half %s", key, public)
	}
}
