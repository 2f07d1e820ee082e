package attest

import (
	"context"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// bundleType is the sigstore bundle's, as cosign attaches it
// (cosign, specs/BUNDLE_SPEC.md).
const bundleType = "application/vnd.dev.sigstore.bundle.v0.3+json"

// Signer signs statements.
type Signer interface {
	// Sign returns the sigstore bundle that holds an in-toto statement and its
	// signature.
	Sign(ctx context.Context, statement []byte) (bundle []byte, err error)
	// String names the signer for people.
	String() string
}

// Limited is a Signer that does not sign what is too long.
type Limited interface {
	Signer
	Limit() int // in bytes
}

// bundle is what this package reads and writes of sigstore's message Bundle.
type bundle struct {
	MediaType            string       `json:"mediaType"`
	VerificationMaterial material     `json:"verificationMaterial"`
	DSSEEnvelope         dsseEnvelope `json:"dsseEnvelope"`
}

// material says whom the signature is by: one of the two is set.
type material struct {
	PublicKey   *publicKeyHint `json:"publicKey,omitempty"`
	Certificate *certificate   `json:"certificate,omitempty"`
}

type certificate struct {
	Raw []byte `json:"rawBytes"` // DER
}

type publicKeyHint struct {
	Hint string `json:"hint"`
}

type dsseEnvelope struct {
	Payload     []byte          `json:"payload"`
	PayloadType string          `json:"payloadType"`
	Signatures  []dsseSignature `json:"signatures"`
}

type dsseSignature struct {
	Sig []byte `json:"sig"`
}

// Sign is Signer's. A key's bundle has no entry of a transparency log: nothing
// but the registry sees it.
func (k *Key) Sign(_ context.Context, statement []byte) ([]byte, error) {
	signature, err := k.sign(dsse.PAE(statementType, statement))
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k, err)
	}
	return json.Marshal(bundle{
		MediaType:            bundleType,
		VerificationMaterial: material{PublicKey: &publicKeyHint{k.hint()}},
		DSSEEnvelope:         dsseEnvelope{statement, statementType, []dsseSignature{{signature}}},
	})
}

// readBundle returns a bundle and the statement in it.
func readBundle(text []byte) (bundle, statement, error) {
	var b bundle
	var s statement
	if err := json.Unmarshal(text, &b); err != nil {
		return b, s, fmt.Errorf("it is no sigstore bundle: %w", err)
	}
	if b.DSSEEnvelope.PayloadType != statementType {
		return b, s, fmt.Errorf("it holds no in-toto statement but %q", b.DSSEEnvelope.PayloadType)
	}
	if err := json.Unmarshal(b.DSSEEnvelope.Payload, &s); err != nil {
		return b, s, fmt.Errorf("its statement is damaged: %w", err)
	}
	return b, s, nil
}

// Verifier knows one signer's signatures.
type Verifier interface {
	// Verify checks the signature in a sigstore bundle, whose statement has
	// subject among its subjects. errOtherSigner says that it is somebody
	// else's, which makes nothing wrong with it.
	Verify(ctx context.Context, bundle []byte, subject v1.Hash) error
	// String names the signer for people.
	String() string
}

var errOtherSigner = errors.New("someone else signed it")

// Verify is Verifier's.
func (k PublicKey) Verify(_ context.Context, text []byte, _ v1.Hash) error {
	b, _, err := readBundle(text)
	if err != nil {
		return err
	}
	for _, s := range b.DSSEEnvelope.Signatures {
		if k.verifies(dsse.PAE(b.DSSEEnvelope.PayloadType, b.DSSEEnvelope.Payload), s.Sig) {
			return nil
		}
	}
	if hint := b.VerificationMaterial.PublicKey; hint != nil && hint.Hint == k.hint() {
		return fmt.Errorf("it says that it is by %s, but the signature does not fit", k)
	}
	return errOtherSigner
}

// signer is whom a bundle says that it is by, for people.
func (m material) signer() string {
	if m.PublicKey != nil {
		if hash, err := base64.StdEncoding.DecodeString(m.PublicKey.Hint); err == nil && len(hash) >= 8 {
			return "key " + hex.EncodeToString(hash[:8])
		}
		return "a key"
	}
	if m.Certificate != nil {
		if who, issuer, err := m.Certificate.identity(); err == nil {
			return fmt.Sprintf("%s, as %s says", who, issuer)
		}
	}
	return "an unknown signer"
}

// identity is whom a certificate is for, and who vouched for that towards Fulcio.
// It proves nothing by itself.
func (c certificate) identity() (who, issuer string, err error) {
	cert, err := x509.ParseCertificate(c.Raw)
	if err != nil {
		return "", "", fmt.Errorf("its certificate is damaged: %w", err)
	}
	switch {
	case len(cert.URIs) > 0:
		who = cert.URIs[0].String()
	case len(cert.EmailAddresses) > 0:
		who = cert.EmailAddresses[0]
	}
	for _, e := range cert.Extensions {
		switch e.Id.String() {
		case "1.3.6.1.4.1.57264.1.8": // Issuer (V2), a DER string
			if _, err := asn1.Unmarshal(e.Value, &issuer); err != nil {
				return "", "", fmt.Errorf("its certificate is damaged: %w", err)
			}
		case "1.3.6.1.4.1.57264.1.1": // Issuer, as it was before
			if issuer == "" {
				issuer = string(e.Value)
			}
		}
	}
	return who, issuer, nil
}
