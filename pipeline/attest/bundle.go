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
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// bundleType is the media type of a sigstore bundle, as cosign attaches it
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

// Limited is a Signer that limits the length of a statement.
type Limited interface {
	Signer
	Limit() int // in bytes
}

// bundle has the fields of sigstore's message Bundle that this package uses.
type bundle struct {
	MediaType            string               `json:"mediaType"`
	VerificationMaterial verificationMaterial `json:"verificationMaterial"`
	DSSEEnvelope         dsseEnvelope         `json:"dsseEnvelope"`
}

// verificationMaterial identifies the signer: one of the two fields is set.
type verificationMaterial struct {
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

// Sign implements Signer. The bundle has no entry of a transparency log: it is
// sent to the registry only.
func (k *Key) Sign(_ context.Context, statement []byte) ([]byte, error) {
	signature, err := k.sign(dsse.PAE(statementType, statement))
	if err != nil {
		return nil, fmt.Errorf("sign with %s: %w", k, err)
	}
	return json.Marshal(bundle{
		MediaType:            bundleType,
		VerificationMaterial: verificationMaterial{PublicKey: &publicKeyHint{k.hint()}},
		DSSEEnvelope:         dsseEnvelope{statement, statementType, []dsseSignature{{signature}}},
	})
}

// signed is an in-toto statement with its signature, where it has one.
type signed struct {
	bundle
	statement
	text []byte // of the bundle
	err  error  // nil when the required signer signed it, or no signer is required
}

// readStatement parses a statement in a sigstore bundle, or an unsigned one.
func readStatement(kind string, text []byte) (s signed, err error) {
	s.text = text
	if kind == bundleType {
		err = json.Unmarshal(text, &s.bundle)
	} else {
		s.DSSEEnvelope = dsseEnvelope{Payload: text, PayloadType: statementType}
	}
	if err != nil {
		return s, fmt.Errorf("it is no sigstore bundle: %w", err)
	}
	if s.DSSEEnvelope.PayloadType != statementType {
		return s, fmt.Errorf("it holds no in-toto statement but %q", s.DSSEEnvelope.PayloadType)
	}
	if err := json.Unmarshal(s.DSSEEnvelope.Payload, &s.statement); err != nil {
		return s, fmt.Errorf("its statement is damaged: %w", err)
	}
	return s, nil
}

// Verifier verifies the signatures of one signer: a PublicKey or an Identity.
type Verifier interface {
	// verify checks the signature of a statement that has subject among its
	// subjects. It returns errOtherSigner for a statement that is unsigned or signed
	// by another signer, which is not wrong in itself.
	verify(ctx context.Context, s signed, subject v1.Hash) error
	// String names the signer for people.
	String() string
}

var errOtherSigner = errors.New("someone else signed it")

// verify implements Verifier.
func (k PublicKey) verify(_ context.Context, s signed, _ v1.Hash) error {
	message := dsse.PAE(s.DSSEEnvelope.PayloadType, s.DSSEEnvelope.Payload)
	if slices.ContainsFunc(s.DSSEEnvelope.Signatures, func(each dsseSignature) bool { return k.hasSigned(message, each.Sig) }) {
		return nil
	}
	if hint := s.VerificationMaterial.PublicKey; hint != nil && hint.Hint == k.hint() {
		return fmt.Errorf("it says that it is by %s, but the signature does not fit", k)
	}
	return errOtherSigner
}

// signer describes the claimed signer of a statement for people.
func (s signed) signer() string {
	by := s.VerificationMaterial
	if by.PublicKey != nil {
		if hash, err := base64.StdEncoding.DecodeString(by.PublicKey.Hint); err == nil && len(hash) >= 8 {
			return "key " + hex.EncodeToString(hash[:8])
		}
		return "a key"
	}
	if by.Certificate != nil {
		if who, issuer, err := by.Certificate.identity(); err == nil {
			return fmt.Sprintf("%s, as %s says", who, issuer)
		}
	}
	if len(s.DSSEEnvelope.Signatures) == 0 {
		return "nobody"
	}
	return "an unknown signer"
}

// identity returns the identity that a certificate was issued for, and the OIDC
// issuer that confirmed it to Fulcio. It does not verify the certificate.
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
		case "1.3.6.1.4.1.57264.1.1": // Issuer (V1), which V2 replaces
			if issuer == "" {
				issuer = string(e.Value)
			}
		}
	}
	return who, issuer, nil
}
