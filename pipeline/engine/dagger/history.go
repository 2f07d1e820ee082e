package dagger

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/dockerfile"
)

// withHistory replaces Dagger's API calls in an image's history with the instructions of
// its Dockerfile, by which people and programs identify layers.
//
// The last layers are those of the target stage's instructions. If they do not match,
// the history is not changed.
func withHistory(img v1.Image, dockerfile, target string) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading its config: %w", err)
	}
	config = config.DeepCopy()
	var entries []*v1.History
	for i := range config.History {
		if !config.History[i].EmptyLayer {
			entries = append(entries, &config.History[i])
		}
	}
	steps := layerSteps(dockerfile, target)
	if len(entries) != len(config.RootFS.DiffIDs) || len(steps) > len(entries) {
		return img, nil
	}
	entries = entries[len(entries)-len(steps):]
	for i, s := range steps {
		// Dagger writes the command of a RUN, but only its own API call for a copy.
		created := collapseSpaces(entries[i].CreatedBy)
		if s.command == "" && strings.Contains(created, "exec ") || !strings.Contains(created, s.command) {
			return img, nil
		}
	}
	for i, s := range steps {
		entries[i].CreatedBy = s.text
	}
	return mutate.ConfigFile(img, config)
}

// layerStep is an instruction that creates a layer.
type layerStep struct {
	command string // of a RUN; empty for a copy
	text    string // as in a history that BuildKit writes
}

// layerSteps returns the instructions that create layers in the target stage, or in the
// last stage if target is empty.
func layerSteps(text, target string) []layerStep {
	var steps []layerStep
	for _, i := range dockerfile.Instructions(text) {
		rest := collapseSpaces(instructionFlags.ReplaceAllString(i.Rest, ""))
		switch {
		case i.Word == "FROM" && target != "" && steps != nil:
			return steps
		case i.Word == "FROM":
			name := strings.Fields(rest)
			if target == "" || len(name) == 3 && strings.EqualFold(name[2], target) {
				steps = []layerStep{}
			}
		case steps == nil: // in another stage
		case i.Word == "RUN":
			steps = append(steps, layerStep{rest, "RUN /bin/sh -c " + rest + " # buildkit"})
		case i.Word == "COPY" || i.Word == "ADD":
			steps = append(steps, layerStep{"", i.Word + " " + rest + " # buildkit"})
		}
	}
	return steps
}
