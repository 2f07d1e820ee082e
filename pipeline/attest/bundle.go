package attest

import (
	"context"
	"encoding/json"
	"fmt"

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
