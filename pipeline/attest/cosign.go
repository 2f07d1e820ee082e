package attest

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/filelock"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// CosignPackage is the Go package of cosign.
const CosignPackage = "github.com/sigstore/cosign/v3/cmd/cosign"

// cosignTimeout limits one run of cosign. A signature takes a few seconds for the
// requests to Fulcio, Rekor and the time stamp authority.
const cosignTimeout = 3 * time.Minute

// Cosign signs and verifies keyless. The cosign program handles all of Sigstore:
// identities and their certificates, the transparency log, the roots of trust.
type Cosign struct {
	Module  gotool.Module // pins cosign's version
	Environ []string      // cosign reads the identity token of GitHub Actions from it
	Home    string        // directory in which cosign keeps Sigstore's roots of trust
	Log     io.Writer

	flags []string // additional ones, set by tests
}

func (c Cosign) String() string { return "the job's identity, by cosign" }

// Limit implements Limited. Keyless signing uploads the whole statement to the public
// log, which guarantees 100 kB and closes the connection on lists of a few megabytes
// (github.com/sigstore/rekor, issue 2808): the release would fail.
func (c Cosign) Limit() int { return 100_000 }

// Sign implements Signer: it signs keyless with the identity of the job. Signatures
// differ from run to run, because each has its own ephemeral key.
func (c Cosign) Sign(ctx context.Context, statement []byte) (bundle []byte, err error) {
	err = withTempFile(statement, func(file string) error {
		if err := c.run(ctx, "attest-blob", "--yes", "--statement", file, "--bundle", file+".bundle"); err != nil {
			return err
		}
		bundle, err = os.ReadFile(file + ".bundle")
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign with cosign: %w", err)
	}
	return bundle, nil
}

// withTempFile calls use with a temporary file that holds text, alone in its directory.
func withTempFile(text []byte, use func(file string) error) error {
	dir, err := os.MkdirTemp("", "docker-netbox-cosign-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "text")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	return use(file)
}

// run runs cosign.
func (c Cosign) run(ctx context.Context, args ...string) error {
	program, err := c.Module.Program(ctx, c.Log, CosignPackage)
	if err != nil {
		return err
	}
	// One at a time: each run updates Sigstore's roots of trust in Home.
	unlock, err := filelock.Lock(ctx, filepath.Join(c.Home, "lock"), filelock.Exclusive, "Sigstore's roots of trust in "+c.Home, c.Module.Wait, c.Log)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, cosignTimeout, fmt.Errorf("it has not ended after %s: look whether Sigstore can be reached", cosignTimeout))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, c.flags...)...)
	cmd.Env = append(append([]string{}, c.Environ...), "TUF_ROOT="+c.Home)
	return proc.Run(ctx, cmd)
}

// Identity is a Verifier of keyless signatures.
type Identity struct {
	Who    string // URL of a workflow or an e-mail address; a * at the end matches any suffix
	Issuer string // URL of the OIDC issuer
	// TrustedRoot is a file with Sigstore's roots of trust; when it is "", cosign
	// downloads them from Sigstore.
	TrustedRoot string
	Cosign      Cosign
}

func (i Identity) String() string { return i.Who }

// verify implements Verifier.
func (i Identity) verify(ctx context.Context, s signed, subject v1.Hash) error {
	// Cosign reports the same error for another signer and for a bad signature.
	certificate := s.VerificationMaterial.Certificate
	if certificate == nil {
		return errOtherSigner
	}
	who, issuer, err := certificate.identity()
	if err != nil {
		return err
	}
	prefix, open := strings.CutSuffix(i.Who, "*")
	if who != i.Who && !(open && strings.HasPrefix(who, prefix)) || issuer != i.Issuer {
		return errOtherSigner
	}
	args := []string{
		"verify-blob-attestation", "--type", s.PredicateType,
		"--certificate-identity", who, "--certificate-oidc-issuer", i.Issuer,
		"--digest", subject.Hex, "--digestAlg", subject.Algorithm,
	}
	if i.TrustedRoot != "" {
		args = append(args, "--trusted-root", i.TrustedRoot)
	}
	err = withTempFile(s.text, func(file string) error { return i.Cosign.run(ctx, append(args, "--bundle", file)...) })
	if err != nil {
		return fmt.Errorf("it says that it is by %s: %w", who, err)
	}
	return nil
}
