// Package strictyaml decodes a YAML file into a struct and rejects unknown keys.
// Each problem is one line that starts with the file and line number; all problems
// are reported at once.
package strictyaml

import (
	"bytes"
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

// Document is a parsed file that records the line of each value.
type Document struct {
	File  string
	Root  *yaml.Node // the root node of the only document
	lines map[string]int

	problems []error // found by Decode
}

// Line returns the line of the value at path ("base.local.suite",
// "param_ports[0].desc"), or of the nearest enclosing value in the file. For a
// block scalar it is the line of its key.
func (d *Document) Line(path string) int {
	for path != "" {
		if line, ok := d.lines[path]; ok {
			return line
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return 1
}

// Problem returns a usage error about the value at path, in one line.
func (d *Document) Problem(path, format string, args ...any) error {
	return failure.Usagef("%s:%d: %s: %s", d.File, d.Line(path), path, fmt.Sprintf(format, args...))
}

// ProblemAt is like Problem, with the line of a node.
func (d *Document) ProblemAt(node *yaml.Node, path, format string, args ...any) error {
	if path != "" {
		path += ": "
	}
	return failure.Usagef("%s:%d: %s%s", d.File, node.Line, path, fmt.Sprintf(format, args...))
}

// Parse parses data, which must be one YAML document; file is its name in errors.
// Errors are a failure.Usage.
func Parse(file string, data []byte) (*Document, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := dec.Decode(&root); errors.Is(err, io.EOF) {
		return nil, failure.Usagef("%s:1: the file is empty", file)
	} else if err != nil {
		return nil, syntaxError(file, data, err)
	}
	var next yaml.Node
	if err := dec.Decode(&next); err == nil {
		return nil, failure.Usagef("%s:%d: a second YAML document; keep just one", file, next.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(file, data, err)
	}
	return &Document{File: file, Root: root.Content[0], lines: map[string]int{}}, nil
}

// Decode decodes the document into the struct that into points to. Fields are
// named by their `yaml` tag and may be strings, booleans, ints, slices, structs,
// maps of strings to those, or implement yaml.Unmarshaler or
// encoding.TextUnmarshaler, which receives any scalar as written. An interface
// accepts any value and stays nil. The fields of a struct with a `prefix` tag are
// inlined, with the prefix before their names. An empty value leaves its field
// unchanged. A string with a `required` tag must not be empty. Every error is a
// failure.Usage; several are joined.
func (d *Document) Decode(into any) error {
	d.decode("", d.Root, reflect.ValueOf(into).Elem())
	return errors.Join(d.problems...)
}

var (
	yamlError = regexp.MustCompile(`(?s)^yaml: (?:unmarshal errors:\s+)?(?:line (\d+): )?(.*)$`)
	// The library counts lines from 0 in errors of its parser, and from 1 in errors
	// of its scanner.
	parserError = regexp.MustCompile(`^did not find expected (<|node content|'-' indicator|key|',' or )`)
	anchorError = regexp.MustCompile(`^unknown anchor '(.*)' referenced$`)
)

func syntaxError(file string, data []byte, err error) error {
	line, problem := Syntax(data, err)
	return failure.Usagef("%s:%d: not valid YAML: %s", file, line, problem)
}

// Syntax extracts the line and the message from a YAML library error about data.
func Syntax(data []byte, err error) (line int, problem string) {
	line, problem = 1, err.Error()
	if m := yamlError.FindStringSubmatch(problem); m != nil {
		problem = m[2]
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
			if parserError.MatchString(problem) {
				line++
			}
		}
	}
	if m := anchorError.FindStringSubmatch(problem); m != nil {
		before, _, _ := bytes.Cut(data, []byte("*"+m[1]))
		line = bytes.Count(before, []byte("\n")) + 1
	}
	return line, problem
}

func (d *Document) problem(node *yaml.Node, path, format string, args ...any) {
	d.problems = append(d.problems, d.ProblemAt(node, path, format, args...))
}

func (d *Document) decode(path string, node *yaml.Node, into reflect.Value) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if _, seen := d.lines[path]; !seen {
		d.lines[path] = node.Line
	}
	if node.ShortTag() == "!!null" && path != "" {
		return
	}
	switch target := into.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		if err := target.UnmarshalYAML(node); err != nil {
			d.problem(node, path, "%v", err)
		}
		return
	case encoding.TextUnmarshaler:
		if node.Kind != yaml.ScalarNode {
			d.problem(node, path, "want a single value, got %s", kindOf(node))
		} else if err := target.UnmarshalText([]byte(node.Value)); err != nil {
			d.problem(node, path, "%v", err)
		}
		return
	}
	switch into.Kind() {
	case reflect.Interface: // ignored
	case reflect.Struct:
		d.decodeStruct(path, node, into)
	case reflect.Map:
		d.decodeMap(path, node, into)
	case reflect.Slice:
		if node.Kind != yaml.SequenceNode {
			d.problem(node, path, "want a list, got %s", kindOf(node))
			return
		}
		into.Set(reflect.MakeSlice(into.Type(), len(node.Content), len(node.Content)))
		for i, item := range node.Content {
			if item.ShortTag() == "!!null" && into.Index(i).Kind() == reflect.Struct {
				item = &yaml.Node{Kind: yaml.MappingNode, Line: item.Line} // so that required keys are reported
			}
			d.decode(fmt.Sprintf("%s[%d]", path, i), item, into.Index(i))
		}
	case reflect.String, reflect.Bool, reflect.Int:
		tag := map[reflect.Kind]string{reflect.String: "!!str", reflect.Bool: "!!bool", reflect.Int: "!!int"}[into.Kind()]
		if node.ShortTag() == tag && node.Decode(into.Addr().Interface()) == nil {
			return
		}
		hint := ""
		switch {
		case tag != "!!str":
		case node.Kind == yaml.ScalarNode:
			hint = "; put it in quotes"
		case node.Style&yaml.FlowStyle != 0:
			hint = "; text that begins with { or [ needs quotes"
		}
		d.problem(node, path, "want %s, got %s%s", kinds[tag], kindOf(node), hint)
	default:
		panic(fmt.Sprintf("strictyaml: no way to decode into %s", into.Type()))
	}
}

// eachKey calls visit for each valid key of a mapping and reports other and
// repeated keys; it returns false if node is not a mapping.
func (d *Document) eachKey(path string, node *yaml.Node, visit func(key, path string, value *yaml.Node)) bool {
	if node.Kind != yaml.MappingNode {
		d.problem(node, path, "want keys with values, got %s", kindOf(node))
		return false
	}
	first := map[string]int{}
	for pair := range slices.Chunk(node.Content, 2) {
		key, value := pair[0], pair[1]
		inner := joinPath(path, key.Value)
		switch line, twice := first[key.Value]; {
		case key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge":
			d.problem(key, path, "only plain keys are understood")
			continue
		case twice:
			d.problem(key, inner, "set a second time; line %d has it too", line)
			continue
		}
		first[key.Value] = key.Line
		d.lines[inner] = key.Line
		visit(key.Value, inner, value)
	}
	return true
}

// joinPath returns the path of a key in the mapping at path.
func joinPath(path, key string) string { return strings.TrimPrefix(path+"."+key, ".") }

func (d *Document) decodeStruct(path string, node *yaml.Node, into reflect.Value) {
	fields := map[string]field{}
	collect(into, "", fields)
	wrong := map[string]bool{} // keys with a reported problem
	mapping := d.eachKey(path, node, func(key, inner string, value *yaml.Node) {
		f, known := fields[key]
		if !known {
			meant, hint := suggestion(key, fields)
			wrong[meant] = true
			d.problem(&yaml.Node{Line: d.lines[inner]}, inner, "unknown key%s", hint)
			return
		}
		before := len(d.problems)
		d.decode(inner, value, f.Value)
		wrong[key] = len(d.problems) > before
	})
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if f := fields[key]; mapping && f.required && !wrong[key] && strings.TrimSpace(f.String()) == "" {
			d.problems = append(d.problems, d.Problem(joinPath(path, key), "missing"))
		}
	}
}

func (d *Document) decodeMap(path string, node *yaml.Node, into reflect.Value) {
	into.Set(reflect.MakeMap(into.Type()))
	d.eachKey(path, node, func(key, inner string, value *yaml.Node) {
		item := reflect.New(into.Type().Elem()).Elem()
		d.decode(inner, value, item)
		into.SetMapIndex(reflect.ValueOf(key), item)
	})
}

type field struct {
	reflect.Value
	required bool
}

// collect adds the fields of a struct to fields, by their names in a file.
func collect(into reflect.Value, prefix string, fields map[string]field) {
	for f, value := range into.Fields() {
		if inner, ok := f.Tag.Lookup("prefix"); ok {
			collect(value, prefix+inner, fields)
		} else if name := f.Tag.Get("yaml"); name != "" {
			_, required := f.Tag.Lookup("required")
			fields[prefix+name] = field{value, required}
		}
	}
}

// kinds maps YAML tags to descriptions.
var kinds = map[string]string{
	"!!map": "keys with values", "!!seq": "a list", "!!str": "text", "!!int": "a whole number", "!!float": "a number",
	"!!bool": "true or false", "!!timestamp": "a date", "!!null": "nothing",
}

func kindOf(node *yaml.Node) string {
	kind := cmp.Or(kinds[node.ShortTag()], node.ShortTag())
	if node.Kind == yaml.ScalarNode {
		kind += fmt.Sprintf(" (%s)", node.Value)
	}
	return kind
}

// suggestion returns the known key that is most similar to key, and a hint that
// names it.
func suggestion(key string, fields map[string]field) (meant, hint string) {
	names := slices.Sorted(maps.Keys(fields))
	closest := 0.6 // minimum ratio for similar words
	for _, name := range names {
		if ratio := difflib.NewMatcher(strings.Split(key, ""), strings.Split(name, "")).Ratio(); ratio > closest {
			meant, closest = name, ratio
		}
	}
	switch {
	case meant != "":
		return meant, fmt.Sprintf(", did you mean %q?", meant)
	case len(names) > 12:
		return "", "" // too long a list to be useful
	}
	return "", "; known are " + strings.Join(names, ", ")
}
