package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/release"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

// pinResult is the result as JSON.
type pinResult struct {
	NetBox string   `json:"netbox,omitempty"`
	Images []string `json:"images,omitempty"` // with the digests that are pinned now
}

func newPin(e env) *cobra.Command {
	var netbox, base string
	var images bool
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Pin another release of NetBox, another base, or the newest images",
		Long: `Pin an input of the build in versions.yml and in whatever repeats it. Commit the
result. Standard output carries the new pin.

--netbox pins another release of NetBox, keeps the previous one as the release
that upgrades are tested from, and runs build/lock to write the locked package
lists. It needs uv.

--base pins another published base, by its tag and the tag's current digest, in
versions.yml and as the default of the Dockerfiles. It documents the init graph
of the image on that base, updates README.md and its pictures, and adds a line
to the changelog.

--images pins every image by the current digest of its tag.`,
		Example: `  go run ./ci pin --netbox 4.7.4
  go run ./ci pin --base ghcr.io/linuxserver/baseimage-alpine:3.23
  go run ./ci pin --images`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case netbox != "" && base == "" && !images:
				return e.pinNetBox(cmd.Context(), netbox)
			case base != "" && netbox == "" && !images:
				return e.pinBase(cmd.Context(), base)
			case images && netbox == "" && base == "":
				return e.pinImages(cmd.Context())
			}
			return failure.Usagef("pin: pass one of --netbox RELEASE, --base IMAGE and --images")
		},
	}
	cmd.Flags().StringVar(&netbox, "netbox", "", "`release` to pin")
	cmd.Flags().StringVar(&base, "base", "", "published base `image` to pin, with its tag")
	cmd.Flags().BoolVar(&images, "images", false, "pin all images by the digests of their tags")
	return cmd
}

// readPins reads and parses versions.yml.
func (e env) readPins() (file string, text []byte, pins *versions.Versions, err error) {
	file = filepath.Join(e.flags.repo, versions.File)
	if text, err = os.ReadFile(file); err != nil {
		return "", nil, nil, failure.Usagef("read the pinned versions: %w: run it at the root of the repository, or name that with --repo", err)
	}
	pins, err = versions.Parse(versions.File, text)
	return file, text, pins, err
}

func (e env) pinNetBox(ctx context.Context, netbox string) error {
	file, text, _, err := e.readPins()
	if err != nil {
		return err
	}
	pinned, err := release.Pin(text, netbox, time.Now())
	if err != nil {
		return err
	}
	if _, err := exec.LookPath("uv"); err != nil {
		return failure.Usagef("pin NetBox %s: build/lock needs uv: install it with \"python3 -m pip install uv\"", netbox)
	}
	err = replaceAll(map[string][]byte{file: pinned}, func() error {
		lock := exec.CommandContext(ctx, filepath.Join(e.flags.repo, "build", "lock"))
		lock.Stdout, lock.Stderr = e.err, e.err
		if err := lock.Run(); err != nil {
			return fmt.Errorf("build/lock: %w: check that the release exists; its output is above", err)
		}
		return nil
	}, filepath.Join(e.flags.repo, "build", "*.txt"))
	if err != nil {
		return fmt.Errorf("pin NetBox %s: %w", netbox, err)
	}
	return e.printPinned(pinResult{NetBox: netbox}, "NetBox "+netbox)
}

// pinImages pins all images by the current digests of their tags.
func (e env) pinImages(ctx context.Context) error {
	file, text, pins, err := e.readPins()
	if err != nil {
		return err
	}
	var result pinResult
	var names []string
	for _, pin := range release.PinnedImages(pins) {
		digest, _, err := release.Resolve(ctx, e.registries(), pin.Name)
		if err != nil {
			return err
		}
		reference := pin.Name + "@" + digest
		result.Images = append(result.Images, reference)
		if reference == pin.Reference() {
			continue
		}
		names = append(names, reference)
		if text, err = release.SetImage(text, pin, reference); err != nil {
			return err
		}
	}
	if len(names) == 0 {
		return e.printPinned(result, "all images as their tags are now")
	}
	edits := map[string][]byte{file: text}
	if err := e.setDefaults(edits, result.Images[0]); err != nil {
		return err
	}
	if err := replaceAll(edits, func() error { return nil }); err != nil {
		return fmt.Errorf("pin the images: %w", err)
	}
	return e.printPinned(result, names...)
}

// printPinned prints a line for each pin in what.
func (e env) printPinned(result pinResult, what ...string) error {
	text := ""
	for _, w := range what {
		text += fmt.Sprintf("%s pins %s\n", versions.File, w)
	}
	return e.printResult(result, text)
}

// replaceAll writes files and then calls then. If that fails, it restores the files
// and those that match the patterns in also, so that no half pin remains.
func replaceAll(files map[string][]byte, then func() error, also ...string) (err error) {
	before := map[string][]byte{}
	for _, pattern := range slices.AppendSeq(also, maps.Keys(files)) {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, file := range found {
			if before[file], err = os.ReadFile(file); err != nil {
				return err
			}
		}
	}
	if err = writeAll(files); err == nil {
		err = then()
	}
	if err != nil {
		return errors.Join(err, writeAll(before))
	}
	return nil
}

func writeAll(files map[string][]byte) error {
	var errs []error
	for file, text := range files {
		errs = append(errs, outdir.WriteFile(file, text))
	}
	return errors.Join(errs...)
}
