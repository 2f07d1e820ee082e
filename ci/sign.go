package main

import (
	"os"
	"path/filepath"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// attesting returns the signer and builder for the attestations of published images.
func (e env) attesting() (pipeline.Attestation, error) {
	key := e.flags.signKey
	a := pipeline.Attestation{}
	if ref := e.getenv("GITHUB_WORKFLOW_REF"); e.actions != nil && ref != "" {
		a.Builder = e.getenv("GITHUB_SERVER_URL") + "/" + ref
		a.Run = e.actions.RunURL() + "/attempts/" + e.getenv("GITHUB_RUN_ATTEMPT")
	}
	switch {
	case e.flags.signKeyless && key != "":
		return a, failure.Usagef("sign: --sign-key and --sign-keyless exclude each other: pass one")
	case e.flags.signKeyless:
		if e.getenv("ACTIONS_ID_TOKEN_REQUEST_URL") == "" {
			return a, failure.Usagef("sign keyless: this is no GitHub Actions job with the permission id-token: write: pass --sign-key FILE instead")
		}
		a.Signer = e.cosign()
	case key != "":
		text, err := os.ReadFile(key)
		if err != nil {
			return a, failure.Usagef("read the key to sign with: %w", err)
		}
		password := e.getenv("COSIGN_PASSWORD")
		e.mask.Add(password)
		signer, err := attest.ReadKey(key, text, func() string { return password })
		if err != nil {
			return a, err
		}
		a.Signer = signer
	}
	return a, nil
}

// cosign returns the pinned cosign, which is built when it is first needed.
func (e env) cosign() attest.Cosign {
	return attest.Cosign{Module: e.tool("cosign"), Environ: os.Environ(), Home: filepath.Join(e.flags.cache, "sigstore"), Log: e.err}
}
