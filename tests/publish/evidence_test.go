package publish_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocilayout "github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// others returns a function that runs third-party programs with an empty home directory.
func others(t *testing.T, module string, packages ...string) func(args ...string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	must(t, err)
	m := gotool.Module{Dir: filepath.Join(repository, "tools", module), Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 20 * time.Minute}
	bin, err := m.Bin(t.Context())
	must(t, err)
	programs := map[string]string{}
	for _, pkg := range packages {
		if _, err := os.Stat(filepath.Join(bin, filepath.Base(pkg))); err != nil && module == "cosign" && !*soak {
			t.Skip("SKIPPED: cosign is not built yet, which takes minutes: run with -soak")
		}
		programs[filepath.Base(pkg)], err = m.Program(t.Context(), os.Stderr, pkg)
		must(t, err)
	}
	home := t.TempDir()
	return func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, programs[args[0]], args[1:]...)
		cmd.Dir, cmd.Env = home, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "DOCKER_CONFIG=" + home, "TUF_ROOT=" + home}
		return output(t, cmd, args)
	}
}

// Third-party tools list, pull and verify what the program published and signed
// with a key, from a registry that implements the referrers API and from one
// that needs the referrers tag.
func TestToolsOfOthersFindAndPullAllThatIsPublished(t *testing.T) {
	p := newProject(t)
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			host, repo := kind.start(t).host, newRepository()
			at := host + "/" + repo
			keys := filepath.Join(repository, "pipeline/attest/testdata/cosign")
			output, code := p.ci(t, []string{"COSIGN_PASSWORD=sesame"}, "publish", "--to", at+":1.0", "--to", at+":latest", "--sign-key", filepath.Join(keys, "cosign.key"))
			if code != 0 {
				t.Fatalf("status %d:\n%s", code, output)
			}
			images := []string{p.content.digest, p.content.booted["linux/amd64"].String(), p.content.booted["linux/arm64"].String()}
			attached := map[string][]string{} // digests by image
			for _, image := range images {
				digest, err := v1.NewHash(image)
				must(t, err)
				attached[image] = attachedTo(t, host, repo, digest)
				if len(attached[image]) < 3 {
					t.Errorf("only %d documents are attached to %s", len(attached[image]), image)
				}
			}
			t.Run("crane, regctl and oras", func(t *testing.T) { list(t, at, images, attached, kind.name == "docker-registry") })
			t.Run("skopeo", func(t *testing.T) {
				if tags := within(t, "skopeo", "list-tags", "--tls-verify=false", "docker://"+at); !strings.Contains(tags, `"1.0"`) || !strings.Contains(tags, `"latest"`) {
					t.Errorf("it lists %s", tags)
				}
			})
			t.Run("cosign", func(t *testing.T) { attested(t, at, images, filepath.Join(keys, "cosign.pub")) })
		})
	}
}

// list checks that each tool lists and pulls everything. typed reports whether
// the registry lists referrers under their artifact type. go-containerregistry
// lists the type of the configuration, which is the same for all of them.
func list(t *testing.T, at string, images []string, attached map[string][]string, typed bool) {
	run := others(t, "clients", "github.com/google/go-containerregistry/cmd/crane", "github.com/regclient/regclient/cmd/regctl", "oras.land/oras/cmd/oras")
	host, _, _ := strings.Cut(at, "/")
	run("regctl", "registry", "set", "--tls=disabled", host)
	for tool, tags := range map[string]string{
		"crane": run("crane", "ls", "--omit-digest-tags", at), "regctl": run("regctl", "tag", "ls", at), "oras": run("oras", "repo", "tags", "--plain-http", at),
	} {
		if found := strings.Fields(tags); !slices.Contains(found, "1.0") || !slices.Contains(found, "latest") {
			t.Errorf("%s lists the tags %q", tool, found)
		}
	}
	for _, platform := range platforms {
		for tool, digest := range map[string]string{
			"crane": run("crane", "digest", "--platform", platform.String(), at+":1.0"), "regctl": run("regctl", "image", "digest", "--platform", platform.String(), at+":1.0"),
			"oras": run("oras", "manifest", "fetch", "--plain-http", "--descriptor", "--platform", platform.String(), at+":1.0"),
		} {
			if want := images[1+slices.IndexFunc(platforms, platform.Equals)]; !strings.Contains(digest, want) {
				t.Errorf("%s finds %q for %s, want %s", tool, digest, platform, want)
			}
		}
	}
	run("crane", "validate", "--remote", at+":latest")

	dir := t.TempDir()
	run("crane", "pull", "--format=oci", at+":1.0", filepath.Join(dir, "crane"))
	run("regctl", "image", "copy", "--referrers", at+":1.0", "ocidir://"+filepath.Join(dir, "regctl")+":1.0")
	run("oras", "cp", "--recursive", "--from-plain-http", "--to-oci-layout", at+":1.0", filepath.Join(dir, "oras")+":1.0")
	for _, image := range images {
		var answer struct{ Referrers []struct{ Digest string } }
		must(t, json.Unmarshal([]byte(run("oras", "discover", "--plain-http", "--format=json", "--depth=1", at+"@"+image)), &answer))
		var discovered []string
		for _, r := range answer.Referrers {
			discovered = append(discovered, r.Digest)
		}
		var listed v1.IndexManifest
		must(t, json.Unmarshal([]byte(run("regctl", "artifact", "list", "--format", "{{json .Manifest}}", at+"@"+image)), &listed))
		var artifacts []string
		for _, d := range listed.Manifests {
			artifacts = append(artifacts, d.Digest.String())
		}
		for tool, found := range map[string][]string{"oras": discovered, "regctl": artifacts} {
			if !sameSet(found, attached[image]) {
				t.Errorf("%s finds %q attached to %s, want %q", tool, found, image, attached[image])
			}
		}
		for tool, wanted := range map[string][]string{"crane": {image}, "regctl": append([]string{image}, attached[image]...), "oras": append([]string{image}, attached[image]...)} {
			pulled := ocilayout.Path(filepath.Join(dir, tool))
			for _, digest := range wanted {
				hash, err := v1.NewHash(digest)
				must(t, err)
				if _, err := pulled.Bytes(hash); err != nil {
					t.Errorf("%s has not pulled %s: %v", tool, digest, err)
				}
			}
		}
	}
	if !typed {
		return
	}
	for _, kind := range []string{sbom.SPDXType, sbom.CycloneDXType} {
		if got := run("regctl", "artifact", "get", "--subject", at+":1.0", "--platform", "linux/amd64", "--filter-artifact-type", kind); got != string(document(kind, "linux/amd64")) {
			t.Errorf("regctl reads %q of type %s", got, kind)
		}
	}
}

// attested checks that cosign verifies the signatures, provenance and package lists.
func attested(t *testing.T, at string, images []string, key string) {
	run := others(t, "cosign", attest.CosignPackage)
	key, err := filepath.Abs(key)
	must(t, err)
	for i, image := range images {
		forms := [][]string{{"verify"}, {"verify", "--new-bundle-format=false"}, {"verify-attestation", "--type", "slsaprovenance1"}}
		if i > 0 {
			forms = append(forms, []string{"verify-attestation", "--type", "spdxjson"}, []string{"verify-attestation", "--type", "cyclonedx"})
		}
		for _, form := range forms {
			out := run(slices.Concat([]string{"cosign"}, form, []string{"--insecure-ignore-tlog=true", "--allow-http-registry", "--key", key, at + "@" + image})...)
			if !strings.Contains(out, `"`) {
				t.Errorf("%v of %s prints %q", form, image, out)
			}
		}
	}
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
