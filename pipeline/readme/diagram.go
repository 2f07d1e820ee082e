package readme

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

const diagramKey = "init_diagram"

var (
	// diagramBlock matches the key with its value, without trailing empty lines and
	// comments.
	diagramBlock = regexp.MustCompile(`(?m)^` + diagramKey + `:.*\n?(?:(?:[ \t\r]*\n)* +\S.*\n?)*`)
	lineBegin    = regexp.MustCompile(`(?m)^.`)
)

// SetInitDiagram returns data, the text of a readme-vars.yml, with init_diagram
// replaced, or appended if there is none. It changes no other byte. file is its
// name in errors.
func SetInitDiagram(file string, data []byte, diagram string) ([]byte, error) {
	before, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	diagram = strings.TrimSpace(diagram)
	text, block := string(data), diagramKey+": |\n"+lineBegin.ReplaceAllString(diagram, "  $0")+"\n"
	if strings.Contains(text, "\r\n") {
		block = strings.ReplaceAll(block, "\n", "\r\n")
	}
	at := diagramBlock.FindStringIndex(text)
	if at == nil {
		if !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		at = []int{len(text), len(text)}
	}
	out := []byte(text[:at[0]] + block + text[at[1]:])

	// The file is edited by hand, so refuse a change that would affect other keys.
	after, err := strictyaml.Parse(file, out)
	if err != nil {
		return nil, fmt.Errorf("set %s in %s: what comes of it cannot be read: %w", diagramKey, file, err)
	}
	var was, is map[string]any
	err = errors.Join(before.Root.Decode(&was), after.Root.Decode(&is))
	set, _ := is[diagramKey].(string)
	delete(was, diagramKey)
	delete(is, diagramKey)
	if err != nil || strings.TrimSpace(set) != diagram || !reflect.DeepEqual(was, is) {
		line := 1 + strings.Count(text[:at[0]], "\n")
		return nil, failure.Usagef("%s:%d: %s cannot be changed alone: write it as a block of text, %s: |", file, line, diagramKey, diagramKey)
	}
	return out, nil
}
