package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// signFlags say who signs what is published.
type signFlags struct {
	key     string
	keyless bool
}

// addSign adds the flags that say who signs.
func addSign(cmd *cobra.Command, f *signFlags) {
	cmd.Flags().StringVar(&f.key, "sign-key", "", "sign with the private key in `file`, whose password is in COSIGN_PASSWORD")
	cmd.Flags().BoolVar(&f.keyless, "sign-keyless", false, "sign with cosign as the identity of the GitHub Actions job")
}

// attesting is who vouches for what is published.
func (e env) attesting(f signFlags) (pipeline.Attesting, error) {
	a := pipeline.Attesting{}
	if ref := e.getenv("GITHUB_WORKFLOW_REF"); e.actions != nil && ref != "" {
		server := e.getenv("GITHUB_SERVER_URL")
		a.Builder = server + "/" + ref
		a.Run = fmt.Sprintf("%s/%s/actions/runs/%s/attempts/%s", server,
			e.getenv("GITHUB_REPOSITORY"), e.getenv("GITHUB_RUN_ID"), e.getenv("GITHUB_RUN_ATTEMPT"))
	}
	switch {
	case f.keyless && f.key != "":
		return a, failure.Usagef("sign: --sign-key and --sign-keyless exclude each other: pass one")
	case f.keyless:
		if e.getenv("ACTIONS_ID_TOKEN_REQUEST_URL") == "" {
			return a, failure.Usagef("sign keyless: this is no GitHub Actions job with the permission id-token: write: pass --sign-key FILE instead")
		}
		cosign, err := e.cosign()
		if err != nil {
			return a, err
		}
		a.Signer = cosign
	case f.key != "":
		text, err := os.ReadFile(f.key)
		if err != nil {
			return a, failure.Usagef("read the key to sign with: %w", err)
		}
		password := e.getenv("COSIGN_PASSWORD")
		e.mask.Add(password)
		key, err := attest.ReadKey(f.key, text, func() string { return password })
		if err != nil {
			return a, err
		}
		a.Signer = key
	}
	return a, nil
}

// cosign is the pinned program, built when it is first needed.
func (e env) cosign() (attest.Cosign, error) {
	cache, err := cacheDir()
	if err != nil {
		return attest.Cosign{}, err
	}
	return attest.Cosign{
		Module: e.tools(cache)("cosign"), Environ: os.Environ(), Home: filepath.Join(cache, "sigstore"), Log: e.err,
	}, nil
}
