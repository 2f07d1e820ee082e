package main

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/platform"
	"github.com/linuxserver/docker-netbox/pipeline/readme"
	"github.com/linuxserver/docker-netbox/pipeline/release"
)

// pinBase moves the repository to another published base: it updates everything that
// names the base or depends on it.
func (e env) pinBase(ctx context.Context, base string) error {
	tag, err := name.NewTag(base, name.StrictValidation)
	if err != nil {
		return failure.Usagef("pin the base %q: %w: name it as REGISTRY/NAME:TAG, its digest is looked up", base, err)
	}
	file, text, pins, err := e.readPins()
	if err != nil {
		return err
	}
	digest, images, err := release.Resolve(ctx, e.registries(), base)
	if err != nil {
		return err
	}
	was, reference := release.PinnedImages(pins)[0], base+"@"+digest
	if was.Reference() == reference {
		return e.printPinned(pinResult{Images: []string{reference}}, reference+" already")
	}
	pinned, err := release.SetImage(text, was, reference)
	if err != nil {
		return err
	}
	edits := map[string][]byte{file: pinned}
	if err := e.setDefaults(edits, reference); err != nil {
		return err
	}
	if err := e.updateDocs(edits, was.Name, tag); err != nil {
		return err
	}
	documents := e.documents()
	follow := func() error {
		_, err := documents.WriteGraph(ctx, e.err, "bases", images, documents.OnBase)
		return err
	}
	if err := replaceAll(edits, follow, filepath.Join(e.flags.repo, readme.Page), filepath.Join(e.flags.repo, ".github", "*.svg")); err != nil {
		return fmt.Errorf("pin the base %s: %w", base, err)
	}
	return e.printPinned(pinResult{Images: []string{reference}}, reference)
}

var baseDefault = regexp.MustCompile(`(?m)^ARG BASE_IMAGE=.*$`)

// setDefaults sets the default base of the Dockerfiles. Its digest is that of the
// index, which works on a build machine of any platform.
func (e env) setDefaults(edits map[string][]byte, reference string) error {
	colon := strings.LastIndex(strings.SplitN(reference, "@", 2)[0], ":") + 1
	bases := map[string]string{"pipeline/base/browser/Dockerfile": reference}
	for _, p := range platform.All() {
		bases[p.Dockerfile] = reference[:colon] + p.BasePrefix + reference[colon:]
	}
	for dockerfile, base := range bases {
		file := filepath.Join(e.flags.repo, filepath.FromSlash(dockerfile))
		text, err := os.ReadFile(file)
		if err != nil {
			return failure.Usagef("set the base of %s: %w", dockerfile, err)
		}
		if n := len(baseDefault.FindAllIndex(text, -1)); n != 1 {
			return failure.Usagef("set the base of %s: it has %d lines ARG BASE_IMAGE=…, want one", dockerfile, n)
		}
		edits[file] = baseDefault.ReplaceAllLiteral(text, []byte("ARG BASE_IMAGE="+base))
	}
	return nil
}

// updateDocs updates the documentation and adds a line to the changelog, if the name
// or tag of the base has changed.
func (e env) updateDocs(edits map[string][]byte, was string, now name.Tag) error {
	if was == now.String() {
		return nil
	}
	docs, err := filepath.Glob(filepath.Join(e.flags.repo, "docs", "*.md"))
	if err != nil {
		return err
	}
	vars := filepath.Join(e.flags.repo, readme.File)
	for _, file := range append(docs, vars) {
		old, err := os.ReadFile(file)
		if err != nil {
			return failure.Usagef("rename the base in %s: %w", file, err)
		}
		text := strings.ReplaceAll(string(old), was, now.String())
		if file == vars {
			text = strings.ReplaceAll(text, `"`+path.Base(was)+`"`, `"`+path.Base(now.String())+`"`)
			line := fmt.Sprintf("changelogs:\n  - { date: %q, desc: %q }\n", time.Now().UTC().Format("02.01.06:"), "Base moved to "+title(now)+".")
			if strings.Count(text, "\nchangelogs:\n") != 1 {
				return failure.Usagef("add to the changelog: %s has no line \"changelogs:\" of its own: write it in the form it has in the repository", readme.File)
			}
			text = strings.Replace(text, "changelogs:\n", line, 1)
		}
		if text != string(old) {
			edits[file] = []byte(text)
		}
	}
	return nil
}

// title returns the common name of a base: Alpine 3.23 for baseimage-alpine:3.23.
func title(base name.Tag) string {
	of := strings.TrimPrefix(path.Base(base.RepositoryStr()), "baseimage-")
	return strings.ToUpper(of[:1]) + of[1:] + " " + base.TagStr()
}
