package attest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/secure-systems-lab/go-securesystemslib/encrypted"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestKeysAreReadInTheFormsTheyComeIn(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	must(t, err)
	sec1, err := x509.MarshalECPrivateKey(private)
	must(t, err)
	sealed, err := encrypted.Encrypt(pkcs8, []byte("sesame"))
	must(t, err)
	pkix, err := x509.MarshalPKIXPublicKey(&private.PublicKey)
	must(t, err)
	public, err := attest.ReadPublicKey("cosign.pub", block("PUBLIC KEY", pkix))
	must(t, err)
	for kind, der := range map[string][]byte{
		"PRIVATE KEY": pkcs8, "EC PRIVATE KEY": sec1, "ENCRYPTED SIGSTORE PRIVATE KEY": sealed, "ENCRYPTED COSIGN PRIVATE KEY": sealed,
	} {
		key, err := attest.ReadKey("cosign.key", block(kind, der), func() string { return "sesame" })
		must(t, err)
		if key.String() != public.String() {
			t.Errorf("%s: %s, want %s", kind, key, public)
		}
		if again := key.PEM(); string(again) != string(block("PUBLIC KEY", pkix)) {
			t.Errorf("%s: written as %s", kind, again)
		}
	}
}

func TestAKeyThatCannotBeUsedIsOneLineWithoutTheKey(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	must(t, err)
	wrongCurve, err := x509.MarshalPKCS8PrivateKey(p384)
	must(t, err)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	wrongKind, err := x509.MarshalPKCS8PrivateKey(other)
	must(t, err)
	sealed, err := encrypted.Encrypt(wrongCurve, []byte("sesame"))
	must(t, err)
	for name, test := range map[string]struct {
		text []byte
		says string
	}{
		"nothing":        {nil, "no PEM text"},
		"a damaged key":  {block("PRIVATE KEY", []byte("secret-bytes")), "it is damaged"},
		"another curve":  {block("PRIVATE KEY", wrongCurve), "not an ECDSA key on P-256"},
		"another kind":   {block("PRIVATE KEY", wrongKind), "not an ECDSA key on P-256"},
		"a certificate":  {block("CERTIFICATE", []byte("x")), `it is a "CERTIFICATE"`},
		"wrong password": {block("ENCRYPTED SIGSTORE PRIVATE KEY", sealed), "set COSIGN_PASSWORD"},
	} {
		_, err := attest.ReadKey("some.key", test.text, func() string { return "open-7731" })
		if err == nil || failure.ExitCode(err) != failure.ExitUsage {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, bad := range []string{"\n", "secret-bytes", "open-7731"} {
			if strings.Contains(err.Error(), bad) {
				t.Errorf("%s: %q is shown: %v", name, bad, err)
			}
		}
		if !strings.Contains(err.Error(), "some.key") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
	}
	for name, text := range map[string][]byte{"nothing": nil, "a private key": block("PRIVATE KEY", wrongCurve), "damaged": block("PUBLIC KEY", []byte("x"))} {
		if _, err := attest.ReadPublicKey("some.pub", text); err == nil || failure.ExitCode(err) != failure.ExitUsage || !strings.Contains(err.Error(), "some.pub") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
