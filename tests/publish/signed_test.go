package publish_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/attest/attesttest"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
)

// policed returns a function that runs Debian's skopeo with a policy that accepts
// only images signed with a key.
func policed(t *testing.T, root, host string, key *attest.Key) func(args ...string) error {
	t.Helper()
	dir := newDir(t, root)
	write := func(name, text string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, dir, name)), 0o755))
		must(t, os.WriteFile(filepath.Join(root, dir, name), []byte(text), 0o644))
	}
	write("key.pub", string(key.PEM()))
	policy, err := json.Marshal(map[string]any{
		"default": []any{map[string]any{"type": "reject"}},
		"transports": map[string]any{"docker": map[string]any{host: []any{map[string]any{
			"type": "sigstoreSigned", "keyPath": dir + "/key.pub", "signedIdentity": map[string]string{"type": "matchRepository"},
		}}}},
	})
	must(t, err)
	write("policy.json", string(policy))
	write("registries.d/all.yaml", "default-docker:\n  use-sigstore-attachments: true\n")
	return func(args ...string) error {
		to := newDir(t, root)
		cmd := exec.CommandContext(t.Context(), "chroot", append([]string{root, "skopeo", "--policy", dir + "/policy.json", "--registries.d", dir + "/registries.d"},
			append(args, "dir:"+to)...)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

// skopeo, like podman, pulls an image only when it is signed for the name it
// is pulled by.
func TestAMachineThatWantsSignaturesPullsWhatTheKeySigned(t *testing.T) {
	root := debianRoot(t)
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			host := kind.start(t).host
			key, other := attesttest.Key(t), attesttest.Key(t)
			c, repo := newContent(t, 2000), newRepository()
			release := attest.Release{Signer: key, Repositories: []string{"ghcr.io/linuxserver/netbox", host + "/" + repo}}
			list := targets(t, host, repo, "1.0")
			_, err := registry.Publish(t.Context(), c.index, list, registry.Options{Booted: c.booted, Attach: release.Attach})
			must(t, err)
			done, err := registry.Publish(t.Context(), c.index, list, registry.Options{Booted: c.booted, Attach: release.Attach})
			must(t, err)
			if !done[0].Unchanged {
				t.Errorf("the second time something was sent: %+v", done[0])
			}

			trusting, strict := policed(t, root, host, key), policed(t, root, host, other)
			for _, platform := range platforms {
				pull := []string{"--override-arch", platform.Architecture, "copy", "--quiet", "--src-tls-verify=false", "--remove-signatures", "docker://" + host + "/" + repo + ":1.0"}
				if err := trusting(pull...); err != nil {
					t.Errorf("%s: %v", platform, err)
				}
				if err := strict(pull...); err == nil || !strings.Contains(err.Error(), "cryptographic signature verification failed") {
					t.Errorf("%s by another key: %v", platform, err)
				}
			}

			// The same content signed for another name is refused.
			elsewhere := newRepository()
			release.Repositories = release.Repositories[:1]
			_, err = registry.Publish(t.Context(), c.index, targets(t, host, elsewhere, "1.0"), registry.Options{Booted: c.booted, Attach: release.Attach})
			must(t, err)
			if err := trusting("copy", "--quiet", "--src-tls-verify=false", "--remove-signatures", "docker://"+host+"/"+elsewhere+":1.0"); err == nil || !strings.Contains(err.Error(), "is not accepted") {
				t.Errorf("signed for another name: %v", err)
			}

			// attest.Verify reads the signatures from the registry too.
			at, err := registry.Source{}.Open(t.Context(), host+"/"+repo+":1.0")
			must(t, err)
			result, err := attest.Verify(t.Context(), repo, at, attest.Policy{Signer: key.PublicKey, Platforms: []string{"linux/amd64", "linux/arm64"}})
			must(t, err)
			for _, line := range result.Lines {
				if line.What == "signature" && line.Verdict != attest.Proven {
					t.Errorf("%+v", line)
				}
			}
		})
	}
}
