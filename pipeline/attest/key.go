package attest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

const createKeyHint = `make one with "cosign generate-key-pair" or "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"`

// Key is a private key to sign with: ECDSA on the curve P-256, as cosign creates.
type Key struct {
	private *ecdsa.PrivateKey
	PublicKey
}

// PublicKey verifies the signatures of a Key.
type PublicKey struct{ key *ecdsa.PublicKey }

// ReadKey parses a private key in PEM: unencrypted PKCS #8, SEC 1, or encrypted by
// cosign. password is called for an encrypted key only. Errors name the key by
// file; they never contain any part of the key.
func ReadKey(file string, text []byte, password func() string) (*Key, error) {
	bad := func(format string, args ...any) (*Key, error) {
		return nil, failure.Usagef("read the key %s: "+format, append([]any{file}, args...)...)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return bad("it is no PEM text; %s", createKeyHint)
	}
	var parsed any
	var err error
	switch block.Type {
	case "ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY":
		der, decryptErr := encrypted.Decrypt(block.Bytes, []byte(password()))
		if decryptErr != nil {
			return bad("it cannot be decrypted; set COSIGN_PASSWORD to its password")
		}
		parsed, err = x509.ParsePKCS8PrivateKey(der)
	case "PRIVATE KEY":
		parsed, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		parsed, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return bad("it is a %q, not a private key; %s", block.Type, createKeyHint)
	}
	if err != nil {
		return bad("it is damaged; %s", createKeyHint)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return bad("it is not an ECDSA key on P-256; %s", createKeyHint)
	}
	return &Key{private, PublicKey{&private.PublicKey}}, nil
}

// ReadPublicKey parses a public key in PEM (PKIX), as in cosign's cosign.pub. Errors
// name the key by file.
func ReadPublicKey(file string, text []byte) (PublicKey, error) {
	bad := func(format string, args ...any) (PublicKey, error) {
		return PublicKey{}, failure.Usagef("read the public key %s: "+format, append([]any{file}, args...)...)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PUBLIC KEY" {
		return bad(`it is no public key as PEM; get it with "cosign public-key --key FILE" or "openssl pkey -in FILE -pubout"`)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return bad("it is damaged: %v", err)
	}
	key, ok := parsed.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return bad("it is not an ECDSA key on P-256")
	}
	return PublicKey{key}, nil
}

func (k PublicKey) der() []byte {
	der, _ := x509.MarshalPKIXPublicKey(k.key) // cannot fail for a key on P-256
	return der
}

// PEM encodes the key in the form that ReadPublicKey parses.
func (k PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der()})
}

func (k PublicKey) hash() []byte {
	sum := sha256.Sum256(k.der())
	return sum[:]
}

// String returns a short name for people: the first 8 bytes of the key's hash.
func (k PublicKey) String() string { return "key " + hex.EncodeToString(k.hash()[:8]) }

// hint returns the name of the key in a bundle, computed as cosign does.
func (k PublicKey) hint() string { return base64.StdEncoding.EncodeToString(k.hash()) }

// hasSigned reports whether signature is the key's signature of message.
func (k PublicKey) hasSigned(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(k.key, sum[:], signature)
}

// sign returns the signature of message. It is deterministic (RFC 6979), so that
// publishing the same again finds the signature already there.
func (k *Key) sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return k.private.Sign(nil, sum[:], crypto.SHA256)
}
