package attest_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/attest/attesttest"
)

const (
	workflow = "https://github.com/linuxserver/docker-netbox/.github/workflows/release.yml@refs/heads/main"
	issuer   = "https://token.actions.githubusercontent.com"
)

// testSigstore is a local Sigstore for tests: tools/cosign/sigstore.
type testSigstore struct {
	trustedRoot string

	mu  sync.Mutex
	in  io.Writer
	out *bufio.Reader
}

func newTestSigstore(t testing.TB) *testSigstore {
	t.Helper()
	s := &testSigstore{trustedRoot: filepath.Join(t.TempDir(), "trusted-root.json")}
	cmd := exec.CommandContext(t.Context(), built(t, "github.com/linuxserver/docker-netbox/tools/cosign/sigstore"), workflow, issuer, s.trustedRoot)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	s.in, s.out = in, bufio.NewReader(out)
	return s
}

func (s *testSigstore) String() string { return "a stand-in" }

// Sign implements attest.Signer.
func (s *testSigstore) Sign(_ context.Context, statement []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := io.WriteString(s.in, base64.StdEncoding.EncodeToString(statement)+"\n"); err != nil {
		return nil, err
	}
	return s.out.ReadBytes('\n')
}

// identity believes what s certifies of who. The certificates of the stand-in
// are in no log of certificates.
func (s *testSigstore) identity(t testing.TB, who string) attest.Identity {
	return attest.Identity{Who: who, Issuer: issuer, TrustedRoot: s.trustedRoot, Cosign: attest.Cosign{
		Module: cosignModule(t), Environ: os.Environ(), Home: t.TempDir(), Log: io.Discard,
	}.With("--insecure-ignore-sct", "--use-signed-timestamps")}
}

func TestKeylessSignaturesOfAWorkflowVerifyByItsIdentity(t *testing.T) {
	sigstore, other := newTestSigstore(t), newTestSigstore(t)
	reg := newServer(t)
	idx, _ := index(t)
	reg.publish(t, idx, release(t, idx, sigstore, reg.host+"/lsio/netbox").Attach)

	for _, who := range []string{workflow, "https://github.com/linuxserver/docker-netbox/.github/workflows/release.yml@*"} {
		result := reg.verify(t, policy(sigstore.identity(t, who)))
		must(t, result.Err())
		for _, of := range []string{"index", "linux/amd64", "linux/arm64"} {
			wantLine(t, result, attest.Proven, of, "signature", "signed by "+who+" (sigstore bundle)")
			wantLine(t, result, attest.Proven, of, "provenance")
		}
	}
	for name, who := range map[string]string{
		"another repository": strings.Replace(workflow, "linuxserver", "evil", 1),
		"another branch":     strings.Replace(workflow, "main", "evil", 1),
		"a beginning":        strings.TrimSuffix(workflow, "main"),
	} {
		result := reg.verify(t, policy(sigstore.identity(t, who)))
		if result.Err() == nil {
			t.Errorf("%s was believed", name)
		}
		wantLine(t, result, attest.Missing, "index", "signature", "not signed by "+who+", but by "+workflow+", as "+issuer+" says")
		wantLine(t, result, attest.Missing, "index", "provenance")
	}
	// A certificate by an untrusted issuer can name any identity.
	result := reg.verify(t, policy(other.identity(t, workflow)))
	wantLine(t, result, attest.Wrong, "index", "signature", "it says that it is by "+workflow)
	wantLine(t, result, attest.Wrong, "linux/arm64", "provenance", "it says that it is by "+workflow)
	// A keyless signature does not satisfy a policy that requires a key.
	result = reg.verify(t, policy(attesttest.Key(t).PublicKey))
	wantLine(t, result, attest.Missing, "index", "signature", "but by "+workflow)
}

func TestCosignSignsTheStatementAndReturnsTheBundle(t *testing.T) {
	key := attesttest.Key(t)
	built(t, attest.CosignPackage)
	text, err := os.ReadFile("testdata/cosign/cosign.key")
	must(t, err)
	recorded, err := attest.ReadKey("cosign.key", text, func() string { return "sesame" })
	must(t, err)
	signer := attest.Cosign{
		Module: cosignModule(t), Environ: append(os.Environ(), "COSIGN_PASSWORD=sesame"), Home: t.TempDir(), Log: io.Discard,
	}.With("--key", "testdata/cosign/cosign.key", "--use-signing-config=false", "--tlog-upload=false")
	reg := newServer(t)
	idx, _ := index(t)
	reg.publish(t, idx, release(t, idx, signer, "r/n").Attach)
	result := reg.verify(t, policy(recorded.PublicKey))
	must(t, result.Err())
	wantLine(t, result, attest.Proven, "linux/arm64", "signature", "(sigstore bundle)")
	if reg.verify(t, policy(key.PublicKey)).Err() == nil {
		t.Error("another key was believed")
	}

	broken := signer.With("--key", "testdata/nowhere.key")
	_, err = broken.Sign(t.Context(), []byte("{}"))
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "sign with cosign: ") {
		t.Errorf("error %v", err)
	}
}
