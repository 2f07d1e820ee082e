package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
)

// cosign replaces only keyless signing: it sends the statement to the Sigstore of
// the rehearsal. The real cosign verifies, with the trusted root of that Sigstore.
// If that is not built, the stand-in checks only that the bundle was signed here.
func cosign(args []string) error {
	if err := appendLine(state("cosign"), args[0]); err != nil {
		return err
	}
	value := func(flag string) string {
		if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	switch args[0] {
	case "attest-blob":
		if err := may("id-token:write"); err != nil {
			return err
		}
		statement, err := os.ReadFile(value("--statement"))
		if err != nil {
			return err
		}
		resp, err := http.Post(os.Getenv("REHEARSAL_SIGSTORE"), "application/json", bytes.NewReader(statement))
		if err != nil {
			return err
		}
		bundle, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("sign: %s: %s", resp.Status, bundle)
		}
		if err := os.MkdirAll(state("signed"), 0o755); err != nil {
			return err
		}
		return errors.Join(os.WriteFile(signed(bundle), nil, 0o644), os.WriteFile(value("--bundle"), bundle, 0o644))
	case "verify-blob-attestation":
		if os.Getenv("REHEARSAL_COSIGN") == "" {
			bundle, err := os.ReadFile(value("--bundle"))
			if err != nil {
				return err
			}
			if _, err := os.Stat(signed(bundle)); err != nil {
				return errors.New("nobody has signed that here")
			}
			return nil
		}
		// The certificates of the rehearsal are not in a certificate transparency log.
		cmd := exec.Command(os.Getenv("REHEARSAL_COSIGN"), append(args, "--trusted-root", os.Getenv("REHEARSAL_ROOTS"), "--insecure-ignore-sct", "--use-signed-timestamps")...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		return cmd.Run()
	}
	return fmt.Errorf("there is no stand-in for cosign %s", args[0])
}

// signed returns the path of the file that exists if a bundle was signed here.
func signed(bundle []byte) string {
	return state("signed", fmt.Sprintf("%x", sha256.Sum256(bundle)))
}
