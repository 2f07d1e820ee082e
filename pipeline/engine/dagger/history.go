package dagger

import (
	"fmt"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"github.com/linuxserver/docker-netbox/pipeline/dockerfile"
)

// withHistory puts a Dockerfile's instructions into the history of the image
// that was built from it, where Dagger names its own calls: people and
// programs that look at an image know a layer by its instruction.
//
// The last layers are those of the stage's own instructions. Where the two do
// not go together the history stays as it is.
func withHistory(img v1.Image, dockerfile, target string) (v1.Image, error) {
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading its config: %w", err)
	}
	config = config.DeepCopy()
	var made []*v1.History
	for i := range config.History {
		if !config.History[i].EmptyLayer {
			made = append(made, &config.History[i])
		}
	}
	steps := layerSteps(dockerfile, target)
	if len(made) != len(config.RootFS.DiffIDs) || len(steps) > len(made) {
		return img, nil
	}
	made = made[len(made)-len(steps):]
	for i, s := range steps {
		// Dagger writes the text of a command, and of a copy the name of its call.
		created := words(made[i].CreatedBy)
		if s.command == "" && strings.Contains(created, "exec ") || !strings.Contains(created, s.command) {
			return img, nil
		}
	}
	for i, s := range steps {
		made[i].CreatedBy = s.text
	}
	return mutate.ConfigFile(img, config)
}

// layerStep is an instruction that makes a layer.
type layerStep struct {
	command string // of a RUN; a copy has none
	text    string // as BuildKit writes it into a history
}

// layerSteps are the instructions of a stage, the last unless it is named,
// that make a layer.
func layerSteps(text, target string) []layerStep {
	var steps []layerStep
	for _, i := range dockerfile.Instructions(text) {
		rest := words(flags.ReplaceAllString(i.Rest, ""))
		switch {
		case i.Word == "FROM" && target != "" && steps != nil:
			return steps
		case i.Word == "FROM":
			name := strings.Fields(rest)
			if target == "" || len(name) == 3 && strings.EqualFold(name[2], target) {
				steps = []layerStep{}
			}
		case steps == nil: // of another stage
		case i.Word == "RUN":
			steps = append(steps, layerStep{rest, "RUN /bin/sh -c " + rest + " # buildkit"})
		case i.Word == "COPY" || i.Word == "ADD":
			steps = append(steps, layerStep{"", i.Word + " " + rest + " # buildkit"})
		}
	}
	return steps
}
