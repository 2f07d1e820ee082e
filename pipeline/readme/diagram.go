package readme

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

const diagramKey = "init_diagram"

// SetInitDiagram returns the text of a readme-vars.yml, named file in messages,
// with another init_diagram. Every other byte stays as it is. Where there is
// none yet, it is put at the end.
func SetInitDiagram(file string, data []byte, diagram string) ([]byte, error) {
	before, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	newline := "\n"
	if bytes.Contains(data, []byte("\r\n")) {
		newline = "\r\n"
	}
	lines := strings.SplitAfter(string(data), "\n")
	head, rest := lines, []string(nil) // what stays before and behind
	key, indent := diagramKey+": |"+newline, "  "
	for i := 0; i+1 < len(before.Root.Content); i += 2 {
		if before.Root.Content[i].Value != diagramKey {
			continue
		}
		first := before.Root.Content[i].Line - 1
		end := first + 1
		// Empty lines and comments behind the value are not part of it.
		for at := end; at < len(lines) && (blank(lines[at]) || lines[at][0] == ' '); at++ {
			if !blank(lines[at]) {
				end = at + 1
			}
		}
		if text := strings.TrimRight(lines[first], " \r\n"); strings.HasSuffix(text, "|") && end > first+1 {
			line := lines[first+1]
			key, indent = lines[first], line[:len(line)-len(strings.TrimLeft(line, " "))]
		}
		head, rest = lines[:first], lines[end:]
	}
	var out strings.Builder
	out.WriteString(strings.Join(head, ""))
	if out.Len() > 0 && !strings.HasSuffix(out.String(), "\n") {
		out.WriteString(newline)
	}
	out.WriteString(key)
	for line := range strings.SplitSeq(strings.TrimSpace(diagram), "\n") {
		if line != "" {
			line = indent + line
		}
		out.WriteString(line + newline)
	}
	out.WriteString(strings.Join(rest, ""))

	// The file is other people's: better no change than one not meant.
	after, err := strictyaml.Parse(file, []byte(out.String()))
	if err != nil {
		return nil, fmt.Errorf("set %s in %s: what comes of it cannot be read: %w", diagramKey, file, err)
	}
	was, is := map[string]any{}, map[string]any{}
	if err := before.Root.Decode(&was); err != nil {
		return nil, failure.Usagef("%s: %w", file, err)
	}
	if err := after.Root.Decode(&is); err != nil {
		return nil, failure.Usagef("%s: %w", file, err)
	}
	text, _ := is[diagramKey].(string)
	delete(was, diagramKey)
	delete(is, diagramKey)
	if strings.TrimSpace(text) != strings.TrimSpace(diagram) || !reflect.DeepEqual(was, is) {
		return nil, failure.Usagef("%s:%d: %s cannot be changed alone: write it as a block of text, %s: |", file, before.Line(diagramKey), diagramKey, diagramKey)
	}
	return []byte(out.String()), nil
}

func blank(line string) bool { return strings.TrimSpace(line) == "" }
