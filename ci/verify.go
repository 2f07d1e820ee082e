package main

import (
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline/attest"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

func newVerify(e env) *cobra.Command {
	var policy attest.Policy
	var key string
	var identity attest.Identity
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "verify REFERENCE",
		Short: "Verify a published image and everything attached to it",
		Long: `Read a published index with its images, or one image, and everything attached to
it, and report line by line what holds: that it is complete and contains nothing
else, that all parts have one version and commit, who signed it, which builder
built it from which inputs, which packages it contains, and what its check
found. Only the registry is contacted, and Sigstore for its roots of trust with
--identity.

An index must contain an image for each --platform. Whatever is attached must be
correct; --require names what must not be missing. Without --key or --identity,
signatures are listed but not verified. REFERENCE is REGISTRY/NAME:TAG,
REGISTRY/NAME@DIGEST, or oci:DIR for a layout on disk. Standard output carries
the lines; no file is written.

--rebuild also builds the commit that the index names again, in a clean checkout
of it, and reports that the digest is the same, or which layers, files and
packages differ. The distribution's packages are not pinned: a difference that
they explain is reported and does not fail the command.`,
		Example: `  go run ./ci verify ghcr.io/linuxserver/netbox:latest
  go run ./ci verify --key cosign.pub --require all localhost:5000/netbox
  go run ./ci verify ghcr.io/me/netbox:latest --require all \
    --identity 'https://github.com/me/netbox/.github/workflows/release.yml@*'
  go run ./ci verify ghcr.io/linuxserver/netbox:latest --rebuild --platform linux/amd64`,
		Args:              cobra.ArbitraryArgs, // RunE checks them
		ValidArgsFunction: e.completePinned(func(pins *versions.Versions) []string { return pins.Repositories.All() }),
	}
	cmd.Flags().StringVar(&key, "key", "", "require signatures by the key whose public half is in `file`")
	cmd.Flags().StringVar(&identity.Who, "identity", "", "require keyless signatures by `identity`, a workflow's URL or an email address; a final * matches anything")
	cmd.Flags().StringVar(&identity.Issuer, "issuer", "https://token.actions.githubusercontent.com", "`URL` of the issuer that vouches for --identity")
	cmd.Flags().StringVar(&identity.TrustedRoot, "trusted-root", "", "`file` with Sigstore's roots of trust for --identity (default: ask Sigstore)")
	cmd.Flags().StringSliceVar(&policy.Require, "require", nil, "what must be attached: `what` is "+strings.Join(attest.Requirements(), ", ")+" or all")
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "build the published commit again, in a clean checkout of it, and compare")
	_ = cmd.RegisterFlagCompletionFunc("require", cobra.FixedCompletions(append(attest.Requirements(), "all"), cobra.ShellCompDirectiveNoFileComp))
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return failure.Usagef("verify: pass one REFERENCE, such as ghcr.io/linuxserver/netbox:latest; %d were given", len(args))
		}
		if err := e.complete(&policy, key, identity); err != nil {
			return err
		}
		at, err := e.registries().Open(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		result, err := attest.Verify(cmd.Context(), args[0], at, policy)
		if err != nil {
			return err
		}
		if rebuild {
			if err := e.verifyRebuild(cmd.Context(), at, &result); err != nil {
				return err
			}
		}
		if err := e.print(result, result.Text); err != nil {
			return err
		}
		return result.Err()
	}
	return cmd
}

// complete checks the requirements, and adds the platforms and the signer: the key in
// a file, or an identity.
func (e env) complete(d *attest.Policy, key string, identity attest.Identity) error {
	platforms, err := platform.Parse(e.flags.platforms)
	if err != nil {
		return err
	}
	for _, p := range platforms {
		d.Platforms = append(d.Platforms, registry.Key(p))
	}
	for _, what := range d.Require {
		if what == "all" {
			d.Require = attest.Requirements()
		} else if !slices.Contains(attest.Requirements(), what) {
			return failure.Usagef("verify: --require %q: there is no such thing to require: pass %s or all", what, strings.Join(attest.Requirements(), ", "))
		}
	}
	switch {
	case key != "" && identity.Who != "":
		return failure.Usagef("verify: --key and --identity exclude each other: verify twice")
	case key != "":
		text, err := os.ReadFile(key)
		if err != nil {
			return failure.Usagef("read the public key: %w", err)
		}
		d.Signer, err = attest.ReadPublicKey(key, text)
		return err
	case identity.Who != "":
		identity.Cosign = e.cosign()
		d.Signer = identity
	}
	return nil
}
