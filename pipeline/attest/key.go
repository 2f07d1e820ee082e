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

const howToMakeAKey = `make one with "cosign generate-key-pair" or "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"`

// Key signs. It is an ECDSA key on the curve P-256, what cosign makes.
type Key struct {
	private *ecdsa.PrivateKey
	PublicKey
}

// PublicKey is what a Key's signatures are checked with.
type PublicKey struct{ key *ecdsa.PublicKey }

// ReadKey reads a private key as PEM: PKCS #8 in plain, SEC 1, or as cosign
// encrypts it. password is asked for the latter only. file is how errors call
// it; they never show any part of the key.
func ReadKey(file string, text []byte, password func() string) (*Key, error) {
	bad := func(format string, args ...any) (*Key, error) {
		return nil, failure.Usagef("read the key %s: "+format, append([]any{file}, args...)...)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return bad("it is no PEM text; %s", howToMakeAKey)
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
		return bad("it is a %q, not a private key; %s", block.Type, howToMakeAKey)
	}
	if err != nil {
		return bad("it is damaged; %s", howToMakeAKey)
	}
	private, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || private.Curve != elliptic.P256() {
		return bad("it is not an ECDSA key on P-256; %s", howToMakeAKey)
	}
	return &Key{private, PublicKey{&private.PublicKey}}, nil
}

// ReadPublicKey reads a public key as PEM (PKIX), what cosign writes to
// cosign.pub. file is how errors call it.
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
	der, _ := x509.MarshalPKIXPublicKey(k.key) // a key on P-256 has that form
	return der
}

// PEM is the key as ReadPublicKey reads it.
func (k PublicKey) PEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der()})
}

func (k PublicKey) hash() []byte {
	sum := sha256.Sum256(k.der())
	return sum[:]
}

// String names the key for people: the beginning of its hash.
func (k PublicKey) String() string { return "key " + hex.EncodeToString(k.hash()[:8]) }

// hint is how a bundle names the key that signed it, as cosign makes it.
func (k PublicKey) hint() string { return base64.StdEncoding.EncodeToString(k.hash()) }

// hasSigned reports whether signature is the key's under message.
func (k PublicKey) hasSigned(message, signature []byte) bool {
	sum := sha256.Sum256(message)
	return ecdsa.VerifyASN1(k.key, sum[:], signature)
}

// sign returns the signature of message, always the same (RFC 6979): publishing
// the same again then finds it there.
func (k *Key) sign(message []byte) ([]byte, error) {
	sum := sha256.Sum256(message)
	return k.private.Sign(nil, sum[:], crypto.SHA256)
}
