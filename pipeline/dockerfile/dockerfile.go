// Package dockerfile parses the parts of a Dockerfile that the pipeline needs.
package dockerfile

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// Instruction is an instruction of a Dockerfile, with its continued lines joined.
type Instruction struct {
	Line int // number of its first line, from 1
	Word string
	Rest string
}

// Instructions returns the instructions of a Dockerfile.
func Instructions(text string) []Instruction {
	var found []Instruction
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		first, text := i+1, strings.TrimSpace(lines[i])
		if text == "" || text[0] == '#' {
			continue
		}
		for strings.HasSuffix(text, `\`) && i+1 < len(lines) {
			i++
			if next := strings.TrimSpace(lines[i]); !strings.HasPrefix(next, "#") {
				text = strings.TrimSuffix(text, `\`) + " " + next
			}
		}
		word, rest, _ := strings.Cut(text, " ")
		found = append(found, Instruction{first, strings.ToUpper(word), strings.TrimSpace(rest)})
	}
	return found
}

// Sources returns the files and directories of the build context that a Dockerfile
// copies or mounts. A source with a pattern, a variable or an unsupported form is ".".
func Sources(text string) []string {
	var found []string
	add := func(sources ...string) {
		for _, source := range sources {
			if strings.ContainsAny(source, `$*?["\`) {
				source = "."
			}
			found = append(found, cmp.Or(path.Clean("/" + source)[1:], "."))
		}
	}
	for _, i := range Instructions(text) {
		words := strings.Fields(i.Rest)
		options := 0
		for options < len(words) && strings.HasPrefix(words[options], "--") {
			options++
		}
		switch i.Word {
		case "COPY", "ADD":
			other := slices.ContainsFunc(words[:options], func(o string) bool { return strings.HasPrefix(o, "--from=") })
			if words = words[options:]; !other && len(words) > 1 {
				add(words[:len(words)-1]...)
			}
		case "RUN":
			for _, option := range words[:options] {
				if mount, ok := strings.CutPrefix(option, "--mount="); ok {
					if source, ok := mounted(mount); ok {
						add(source)
					}
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// mounted returns the source of a mount, and whether it is in the build context.
func mounted(mount string) (source string, ok bool) {
	kind := "bind"
	for _, option := range strings.Split(mount, ",") {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "type":
			kind = value
		case "source", "src":
			source = value
		case "from":
			return "", false
		}
	}
	return source, kind == "bind"
}
