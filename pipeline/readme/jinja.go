package readme

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

// given are the names that every readme-vars.yml may use without setting them.
var given = map[string]any{
	"arch_x86_64": "x86-64",
	"arch_arm64":  "arm64",
	"arch_armhf":  "armhf",
}

// render replaces every value of the document that holds a Jinja expression by
// what the expression returns. Expressions see the other variables, rendered.
func render(doc *strictyaml.Document) error {
	r := &renderer{doc: doc, values: map[string]*yaml.Node{}, done: map[string]bool{}, context: exec.NewContext(maps.Clone(given))}
	var names []string
	for i := 0; i+1 < len(doc.Root.Content); i += 2 {
		name := doc.Root.Content[i].Value
		names = append(names, name)
		r.values[name] = doc.Root.Content[i+1]
	}
	for _, name := range names {
		r.variable(name, nil)
	}
	return errors.Join(r.problems...)
}

type renderer struct {
	doc      *strictyaml.Document
	values   map[string]*yaml.Node
	done     map[string]bool
	context  *exec.Context
	problems []error
}

// variable renders one top-level value after those it refers to; users are the
// variables on whose behalf it does.
func (r *renderer) variable(name string, users []string) {
	if r.done[name] {
		return
	}
	if first := slices.Index(users, name); first >= 0 {
		r.problem(r.values[name].Line, name, fmt.Errorf("refers to itself by way of %s", strings.Join(users[first:], ", ")))
		r.context.Set(name, "") // said once is enough
		return
	}
	r.scalars(name, r.values[name], append(users, name))
	r.done[name] = true
	var value any
	if err := r.values[name].Decode(&value); err == nil {
		r.context.Set(name, value)
	}
}

func (r *renderer) scalars(path string, node *yaml.Node, users []string) {
	switch node.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			r.scalars(path+"."+node.Content[i].Value, node.Content[i+1], users)
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			r.scalars(fmt.Sprintf("%s[%d]", path, i), item, users)
		}
	case yaml.ScalarNode:
		var text strings.Builder
		end := 0
		for _, at := range jinjaTag.FindAllStringIndex(node.Value, -1) {
			value, err := r.tag(node.Value[at[0]:at[1]], users)
			if err != nil {
				r.problem(lineIn(node, 1+strings.Count(node.Value[:at[0]], "\n")), path, err)
				return
			}
			text.WriteString(node.Value[end:at[0]] + value)
			end = at[1]
		}
		node.Value = text.String() + node.Value[end:]
	}
}

func (r *renderer) problem(line int, path string, err error) {
	r.problems = append(r.problems, r.doc.ProblemAt(line, path, "rendering its Jinja expression: %v", err))
}

var (
	jinjaTag  = regexp.MustCompile(`(?s)\{\{(?:'[^']*'|"[^"]*"|.)*?(?:\}\}|$)|\{#.*?#\}|\{%.*?(?:%\}|$)`)
	jinjaName = regexp.MustCompile(`'[^']*'|"[^"]*"|[A-Za-z_][A-Za-z0-9_]*`)
)

// tag is what stands in the place of an expression, or of a comment. Statements
// are for templates: a value that loops might not end.
func (r *renderer) tag(text string, users []string) (string, error) {
	switch text[:2] {
	case "{#":
		return "", nil
	case "{%":
		return "", fmt.Errorf("%q is a statement: use an expression such as {{ project_name }}", text)
	}
	// A filter of the same name as a variable does no harm.
	for _, name := range jinjaName.FindAllString(text, -1) {
		if _, known := r.values[name]; known {
			r.variable(name, users)
		}
	}
	value, err := evaluate(text, r.context)
	if err != nil {
		return "", innermost(err)
	}
	return value, nil
}

// sandbox has no statements, and no functions: range makes all of its
// numbers at once.
var sandbox = &exec.Environment{
	Context:           exec.EmptyContext(),
	Filters:           builtins.Filters,
	Tests:             builtins.Tests,
	ControlStructures: &exec.ControlStructureSet{},
	Methods:           builtins.Methods,
}

func evaluate(text string, context *exec.Context) (out string, err error) {
	// gonja panics on some of what it cannot evaluate.
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("the expression cannot be evaluated: %v", reason)
		}
	}()
	settings := config.New()
	settings.StrictUndefined = true
	settings.KeepTrailingNewline = true
	// The only template there is: no expression can read a file.
	loader, err := loaders.NewMemoryLoader(map[string]string{"/value": text})
	if err != nil {
		return "", err
	}
	template, err := exec.NewTemplate("/value", settings, loader, sandbox)
	if err != nil {
		return "", err
	}
	if out, err = template.ExecuteToString(context); err != nil {
		return "", err
	}
	for _, none := range []string{"+Inf", "-Inf", "NaN", "-9223372036854775808"} {
		if strings.Contains(out, none) && !strings.Contains(text, none) {
			return "", errors.New("it divides by zero, or its result is too large")
		}
	}
	return out, nil
}

// lineIn is the line of the file that line of a value stands on.
func lineIn(node *yaml.Node, line int) int {
	switch {
	case node.Style&yaml.LiteralStyle != 0:
		return node.Line + line
	case node.Style&yaml.FoldedStyle != 0:
		return node.Line + 1
	}
	return node.Line
}

// gonjaWords are tokens and places of gonja's, which the line says better.
var gonjaWords = regexp.MustCompile(`unable to evaluate filter &\{.*?\}: | ?\(Line: \d+ Col: \d+, near "(?:[^"\\]|\\.)*"\)| at line \d+$`)

// innermost drops what gonja puts around an error: the whole template's text
// and its own words.
func innermost(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return errors.New(gonjaWords.ReplaceAllString(err.Error(), ""))
}
