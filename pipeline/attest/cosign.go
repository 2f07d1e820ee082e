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

// cosignLimit bounds one signature, which takes a few seconds: Fulcio, Rekor
// and the time stamp authority are asked.
const cosignLimit = 3 * time.Minute

// Cosign is the program that is left to deal with Sigstore: identities and
// their certificates, the transparency log, its roots of trust.
type Cosign struct {
	Module  gotool.Module // that pins it
	Environ []string      // where it finds the identity's token, in Actions
	Home    string        // directory that it keeps Sigstore's roots in
	Log     io.Writer

	flags []string // more of them, in tests
}

func (c Cosign) String() string { return "the job's identity, by cosign" }

// Limit is Limited's. What is signed keyless goes whole into the public log, which
// promises to take 100 kB and closes the connection for lists of a few megabytes
// (github.com/sigstore/rekor, issue 2808): the release would fail.
func (c Cosign) Limit() int { return 100_000 }

// Sign is Signer's: keyless, as the identity at hand. Its signatures differ
// from run to run, for each has a key of its own.
func (c Cosign) Sign(ctx context.Context, statement []byte) (bundle []byte, err error) {
	err = inFile(statement, func(file string) error {
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

// inFile hands on a text in a file that is alone in its directory.
func inFile(text []byte, use func(file string) error) error {
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

// run calls cosign.
func (c Cosign) run(ctx context.Context, args ...string) error {
	program, err := c.Module.Program(ctx, c.Log, CosignPackage)
	if err != nil {
		return err
	}
	// One at a time: each brings Sigstore's roots in Home up to date.
	unlock, err := filelock.Lock(ctx, filepath.Join(c.Home, "lock"), filelock.Exclusive, "Sigstore's roots of trust in "+c.Home, c.Module.Wait, c.Log)
	if err != nil {
		return err
	}
	defer unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, cosignLimit, fmt.Errorf("it has not ended after %s: look whether Sigstore can be reached", cosignLimit))
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, c.flags...)...)
	cmd.Env = append(append([]string{}, c.Environ...), "TUF_ROOT="+c.Home)
	return proc.Run(ctx, cmd)
}

// Identity is a Verifier for what was signed keyless.
type Identity struct {
	Who    string // URL of a workflow, or an e-mail address; a * at its end stands for any end
	Issuer string // URL of who vouched for that
	// TrustedRoot is a file with Sigstore's roots of trust; without one cosign
	// gets them from Sigstore.
	TrustedRoot string
	Cosign      Cosign
}

func (i Identity) String() string { return i.Who }

// verify is Verifier's.
func (i Identity) verify(ctx context.Context, s signed, subject v1.Hash) error {
	// Cosign says the same of another's signature and of a bad one.
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
	err = inFile(s.text, func(file string) error { return i.Cosign.run(ctx, append(args, "--bundle", file)...) })
	if err != nil {
		return fmt.Errorf("it says that it is by %s: %w", who, err)
	}
	return nil
}
