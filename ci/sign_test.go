package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/report"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

const keyPassword = "open sesame 7731"

// key writes a key pair like `cosign generate-key-pair`.
func (p *project) key(name string) (private, public string) { return p.keyWith(name, keyPassword) }

func (p *project) keyWith(name, password string) (private, public string) {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p.must(err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	p.must(err)
	sealed, err := encrypted.Encrypt(der, []byte(password))
	p.must(err)
	public = filepath.Join(p.dir, name+".pub")
	private = filepath.Join(p.dir, name+".key")
	p.must(os.WriteFile(private, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED SIGSTORE PRIVATE KEY", Bytes: sealed}), 0o600))
	der, err = x509.MarshalPKIXPublicKey(&key.PublicKey)
	p.must(err)
	p.must(os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644))
	return private, public
}

func (p *project) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// proveWithPackages is prove with the package lists that a check writes.
func (p *project) proveWithPackages(plan release.Plan, file string) {
	p.t.Helper()
	for _, platform := range []v1.Platform{amd64, arm64} {
		output, _ := p.prove(platform, labels(plan), func(r *report.Report) {
			of := r.Platforms[0]
			name := "netbox-" + platform.Architecture
			r.Documents = []report.Document{
				{Name: name + ".spdx.json", Platform: of.Platform, Type: sbom.SPDXType, Text: fmt.Appendf(nil,
					`{"spdxVersion":"SPDX-2.3","packages":[{"versionInfo":"%s","primaryPackagePurpose":"CONTAINER"},{"name":"nginx"}]}`, of.Image)},
				{Name: name + ".cdx.json", Platform: of.Platform, Type: sbom.CycloneDXType, Text: fmt.Appendf(nil,
					`{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"version":"%s"}},"components":[{"name":"nginx"}]}`, of.Image)},
			}
		})
		p.good("publish", "--plan", file, "--by-digest", "--output", output)
	}
}

func TestWhatAKeySignsVerifyProves(t *testing.T) {
	p := newProject(t)
	plan, file := p.plan("--published", "none")
	p.proveWithPackages(plan, file)
	private, public := p.key("cosign")
	_, other := p.key("other")
	p.env["COSIGN_PASSWORD"] = keyPassword
	p.env["GITHUB_WORKFLOW_REF"] = "linuxserver/docker-netbox/.github/workflows/release.yml@refs/heads/main"
	p.env["GITHUB_RUN_ATTEMPT"] = "1"
	merge := []string{"merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"), "--sign-key", private}
	stdout, stderr, code := p.ci(merge...)
	if code != 0 {
		t.Fatalf("status %d:\n%s", code, stderr)
	}
	said := stdout + stderr
	if !strings.Contains(stderr, "to attach: 28, signed by key ") {
		t.Errorf("the signer is not named:\n%s", stderr)
	}
	if _, stderr, _ := p.ci(merge...); !strings.Contains(stderr, "have it already: nothing to do") {
		t.Errorf("the second time something was sent:\n%s", stderr)
	}

	for _, repository := range p.repositories {
		for _, tag := range []string{":latest", ":arm64v8-latest"} {
			text := p.good("verify", repository+tag, "--key", public, "--require", "all")
			for _, want := range []string{
				"https://github.com/linuxserver/docker-netbox/.github/workflows/release.yml@refs/heads/main built it from commit " + p.commit,
				"6 inputs by digest", "everything says version v4.7.3-ls1", "SPDX-2.3, 1 packages, of this image", "all 10 stages passed",
			} {
				if !strings.Contains(text, want) {
					t.Errorf("%s: verify does not say %q:\n%s", tag, want, text)
				}
			}
			for line := range strings.Lines(text) {
				if line = strings.TrimSpace(line); strings.HasPrefix(line, "unproven") {
					t.Errorf("%s: %s", tag, line)
				}
			}
			said += text
		}
	}

	var result attest.Result
	p.must(json.Unmarshal([]byte(p.good("verify", p.repositories[0], "--json")), &result))
	if !result.Passed || !slices.ContainsFunc(result.Lines, func(l attest.Line) bool { return l.Verdict == attest.Unproven && l.What == "signature" }) {
		t.Errorf("without a key: %+v", result)
	}
	_, stderr, code = p.ci("verify", p.repositories[0], "--key", other)
	if code != failure.ExitCheck || !strings.Contains(stderr, "signature of index: it is not signed by key ") {
		t.Errorf("another key: status %d, %s", code, stderr)
	}

	key, err := os.ReadFile(private)
	p.must(err)
	secrets := []string{keyPassword, strings.Split(string(key), "\n")[1]}
	p.must(filepath.WalkDir(p.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == private || strings.HasSuffix(path, ".key") {
			return err
		}
		text, err := os.ReadFile(path)
		said += string(text)
		return err
	}))
	for _, secret := range secrets {
		// The mask commands for Actions contain the secrets themselves.
		if strings.Contains(strings.ReplaceAll(said, "::add-mask::"+secret, ""), secret) {
			t.Errorf("%q was shown", secret)
		}
	}
}

// A password may also occur in the attestations: they stay unmasked, as they are in
// the registry.
func TestAttestationsAreNotMasked(t *testing.T) {
	for _, test := range []struct{ key, registry string }{{"1", "netbox"}, {"a", "linux"}, {"4", "sha256"}} {
		t.Run(test.key+" "+test.registry, func(t *testing.T) {
			p := newProject(t)
			plan, file := p.plan("--published", "none")
			private, public := p.keyWith("cosign", test.key)
			p.env["COSIGN_PASSWORD"] = test.key
			for _, repository := range p.repositories {
				host, _, _ := strings.Cut(repository, "/")
				suffix := strings.NewReplacer(".", "_", ":", "_").Replace(host)
				p.env["REGISTRY_USERNAME_"+suffix], p.env["REGISTRY_PASSWORD_"+suffix] = "robot", test.registry
			}
			p.proveWithPackages(plan, file)
			_, stderr, code := p.ci("merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven"), "--sign-key", private)
			if code != 0 || strings.Count(stderr, "warning: a password or token of this run has fewer than 8 characters") != 1 {
				t.Errorf("status %d:\n%s", code, stderr)
			}
			text := p.good("verify", p.repositories[0]+":latest", "--key", public, "--require", "all")
			if !strings.Contains(text, "all 10 stages passed") {
				t.Errorf("verify says\n%s", text)
			}
		})
	}
}

func TestInvalidSigningFlagsStopAReleaseBeforeItStarts(t *testing.T) {
	p := newProject(t)
	plan, file := p.plan("--published", "none")
	p.proveWithPackages(plan, file)
	private, public := p.key("cosign")
	for name, test := range map[string]struct {
		password string
		args     []string
		says     string
	}{
		"a wrong password": {"wrong", []string{"--sign-key", private}, "it cannot be decrypted; set COSIGN_PASSWORD"},
		"no password":      {"", []string{"--sign-key", private}, "it cannot be decrypted; set COSIGN_PASSWORD"},
		"a public key":     {"", []string{"--sign-key", public}, `it is a "PUBLIC KEY", not a private key`},
		"no such key":      {"", []string{"--sign-key", "/nowhere"}, "read the key to sign with: open /nowhere"},
		"no identity":      {"", []string{"--sign-keyless"}, "id-token: write"},
		"two signers":      {"", []string{"--sign-keyless", "--sign-key", private}, "--sign-key and --sign-keyless exclude each other"},
	} {
		t.Run(name, func(t *testing.T) {
			p.env["COSIGN_PASSWORD"] = test.password
			_, stderr, code := p.ci(append([]string{"merge", "--plan", file, "--reports", filepath.Join(p.dir, "proven")}, test.args...)...)
			if code != failure.ExitUsage || !strings.Contains(stderr, test.says) {
				t.Errorf("status %d, %s", code, stderr)
			}
			if tags := p.tags(p.repositories[0]); len(tags) != 0 {
				t.Errorf("tags: %v", tags)
			}
		})
	}
}

func TestVerifyRefusesInvalidArguments(t *testing.T) {
	p := newProject(t)
	_, public := p.key("cosign")
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"verify"}, failure.ExitUsage, "pass one REFERENCE"},
		{[]string{"verify", "a/b", "c/d"}, failure.ExitUsage, "2 were given"},
		{[]string{"verify", "UPPER"}, failure.ExitUsage, "UPPER"},
		{[]string{"verify", "oci:/nowhere"}, failure.ExitUsage, "there is none"},
		{[]string{"verify", p.repositories[0], "--require", "luck"}, failure.ExitUsage, `"luck"`},
		{[]string{"verify", p.repositories[0], "--key", "/nowhere"}, failure.ExitUsage, "/nowhere"},
		{[]string{"verify", p.repositories[0], "--key", filepath.Join(p.repo, "versions.yml")}, failure.ExitUsage, "no public key"},
		{[]string{"verify", p.repositories[0], "--key", public, "--identity", "me"}, failure.ExitUsage, "--key and --identity exclude each other"},
		{[]string{"verify", p.repositories[0] + ":never"}, failure.ExitCheck, "the registry has no such thing"},
	} {
		stdout, stderr, code := p.ci(test.args...)
		lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(stderr), "\n"), func(l string) bool { return strings.HasPrefix(l, "::") })
		if code != test.code || len(lines) != 1 || !strings.Contains(stderr, test.says) || stdout != "" {
			t.Errorf("%v: status %d, %q %q", test.args, code, stdout, stderr)
		}
	}
}
