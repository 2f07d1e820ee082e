package readme

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/nikolalohinski/gonja/v2"
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
// what the expression gives. Expressions see the other variables, rendered.
func render(doc *strictyaml.Document) error {
	r := &renderer{doc: doc, values: map[string]*yaml.Node{}, state: map[string]state{}, context: exec.NewContext(map[string]any{})}
	r.context.Update(exec.NewContext(given))
	if doc.Root.Kind != yaml.MappingNode {
		return nil // decoding says so
	}
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

type state int

const (
	untouched state = iota
	underway
	done
)

type renderer struct {
	doc      *strictyaml.Document
	values   map[string]*yaml.Node
	state    map[string]state
	context  *exec.Context
	problems []error
}

// variable renders one top-level value after those it refers to; users are the
// variables on whose behalf it does.
func (r *renderer) variable(name string, users []string) {
	switch r.state[name] {
	case done:
		return
	case underway:
		r.problem(r.values[name], name, fmt.Errorf("refers to itself by way of %s", strings.Join(users[slices.Index(users, name):], ", ")))
		r.context.Set(name, "") // said once is enough
		return
	}
	r.state[name] = underway
	r.scalars(name, r.values[name], append(users, name))
	r.state[name] = done
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
		if !strings.Contains(node.Value, "{{") && !strings.Contains(node.Value, "{%") && !strings.Contains(node.Value, "{#") {
			return
		}
		for _, name := range references(node.Value) {
			if _, known := r.values[name]; known {
				r.variable(name, users)
			}
		}
		text, err := execute(node.Value, r.context)
		if err != nil {
			r.problem(node, path, err)
			return
		}
		node.Value = text
	}
}

func (r *renderer) problem(node *yaml.Node, path string, err error) {
	r.problems = append(r.problems, r.doc.ProblemAt(node, path, "rendering its Jinja expression: %v", err))
}

var (
	jinjaTag  = regexp.MustCompile(`(?s)\{\{.*?\}\}|\{%.*?%\}`)
	jinjaName = regexp.MustCompile(`'[^']*'|"[^"]*"|[A-Za-z_][A-Za-z0-9_]*`)
)

// references lists what may be names of variables in the expressions of text;
// a filter of the same name as a variable does no harm.
func references(text string) []string {
	var names []string
	for _, tag := range jinjaTag.FindAllString(text, -1) {
		names = append(names, jinjaName.FindAllString(tag, -1)...)
	}
	return names
}

func execute(text string, context *exec.Context) (out string, err error) {
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
	template, err := exec.NewTemplate("/value", settings, loader, gonja.DefaultEnvironment)
	if err != nil {
		return "", innermost(err)
	}
	var b strings.Builder
	if err := template.Execute(&b, context); err != nil {
		return "", innermost(err)
	}
	return b.String(), nil
}

var gonjaToken = regexp.MustCompile(`unable to evaluate filter &\{.*?\}: `)

// innermost drops what gonja puts around an error: the whole template's text,
// and its own tokens.
func innermost(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	return errors.New(gonjaToken.ReplaceAllString(err.Error(), ""))
}
