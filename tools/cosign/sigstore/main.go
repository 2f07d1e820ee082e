// Command sigstore is a Sigstore of its own, for tests: an authority that
// certifies any identity, a transparency log, a time stamp authority. It writes
// their roots of trust to a file, then reads statements from standard input, a
// line each in base64, and answers each with a line that is a keyless bundle.
package main

import (
	"bufio"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"google.golang.org/protobuf/encoding/protojson"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("usage: sigstore IDENTITY ISSUER TRUSTED-ROOT")
	}
	identity, issuer, trustedRoot := args[0], args[1], args[2]
	sigstore, err := ca.NewVirtualSigstore()
	if err != nil {
		return err
	}
	if err := writeRoots(sigstore, trustedRoot); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		statement, err := base64.StdEncoding.DecodeString(lines.Text())
		if err != nil {
			return err
		}
		bundle, err := sign(sigstore, identity, issuer, statement)
		if err != nil {
			return err
		}
		if _, err := fmt.Printf("%s\n", bundle); err != nil {
			return err
		}
	}
	return lines.Err()
}

func writeRoots(sigstore *ca.VirtualSigstore, file string) error {
	logs := sigstore.RekorLogs()
	for id, log := range logs {
		var err error
		if log.ID, err = hex.DecodeString(id); err != nil { // it has the digits themselves
			return err
		}
	}
	roots, err := root.NewTrustedRoot(root.TrustedRootMediaType01, sigstore.FulcioCertificateAuthorities(),
		nil, sigstore.TimestampingAuthorities(), logs)
	if err != nil {
		return err
	}
	text, err := roots.MarshalJSON()
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

func sign(sigstore *ca.VirtualSigstore, identity, issuer string, statement []byte) ([]byte, error) {
	signed, err := sigstore.AttestHashedRekordV2(identity, issuer, statement)
	if err != nil {
		return nil, err
	}
	content, err := signed.VerificationContent()
	if err != nil {
		return nil, err
	}
	signature, err := signed.SignatureContent()
	if err != nil {
		return nil, err
	}
	envelope := signature.EnvelopeContent().RawEnvelope()
	raw, err := base64.StdEncoding.DecodeString(envelope.Signatures[0].Sig)
	if err != nil {
		return nil, err
	}
	material := &protobundle.VerificationMaterial{
		Content:                   &protobundle.VerificationMaterial_Certificate{Certificate: &protocommon.X509Certificate{RawBytes: content.Certificate().Raw}},
		TimestampVerificationData: &protobundle.TimestampVerificationData{},
	}
	entries, err := signed.TlogEntries()
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		material.TlogEntries = append(material.TlogEntries, entry.TransparencyLogEntry())
	}
	stamps, err := signed.Timestamps()
	if err != nil {
		return nil, err
	}
	for _, stamp := range stamps {
		data := material.TimestampVerificationData
		data.Rfc3161Timestamps = append(data.Rfc3161Timestamps, &protocommon.RFC3161SignedTimestamp{SignedTimestamp: stamp})
	}
	return protojson.Marshal(&protobundle.Bundle{
		MediaType:            "application/vnd.dev.sigstore.bundle.v0.3+json",
		VerificationMaterial: material,
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: statement, PayloadType: envelope.PayloadType, Signatures: []*protodsse.Signature{{Sig: raw}},
		}},
	})
}
