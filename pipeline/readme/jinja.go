package readme

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
	"go.yaml.in/yaml/v3"

	"github.com/linuxserver/docker-netbox/pipeline/strictyaml"
)

// render evaluates the Jinja expressions in all values of the document.
// Expressions may use the other variables, which are rendered first, and the names
// of the architectures.
func render(doc *strictyaml.Document) error {
	r := &renderer{doc: doc, done: map[string]bool{}, context: exec.NewContext(map[string]any{"arch_x86_64": "x86-64", "arch_arm64": "arm64", "arch_armhf": "armhf"})}
	for pair := range slices.Chunk(doc.Root.Content, 2) {
		r.variable(pair[0].Value, pair[1], nil)
	}
	return errors.Join(r.problems...)
}

type renderer struct {
	doc      *strictyaml.Document
	done     map[string]bool // false while a variable is being rendered
	context  *exec.Context
	problems []error
}

// variable renders one top-level value, after the values that it refers to. users
// is the chain of variables that refer to it.
func (r *renderer) variable(name string, node *yaml.Node, users []string) {
	done, begun := r.done[name]
	switch {
	case done:
		return
	case begun:
		r.problem(node, name, fmt.Errorf("refers to itself by way of %s", strings.Join(users[slices.Index(users, name):], ", ")))
		r.context.Set(name, "") // to report it only once
		return
	}
	r.done[name] = false
	r.scalars(name, node, append(users, name))
	r.done[name] = true
	var value any
	if err := node.Decode(&value); err == nil {
		r.context.Set(name, value)
	}
}

func (r *renderer) scalars(path string, node *yaml.Node, users []string) {
	switch node.Kind {
	case yaml.MappingNode:
		for pair := range slices.Chunk(node.Content, 2) {
			r.scalars(path+"."+pair[0].Value, pair[1], users)
		}
	case yaml.SequenceNode:
		for i, item := range node.Content {
			r.scalars(fmt.Sprintf("%s[%d]", path, i), item, users)
		}
	case yaml.ScalarNode:
		if !strings.Contains(node.Value, "{{") && !strings.Contains(node.Value, "{%") && !strings.Contains(node.Value, "{#") {
			return
		}
		for _, tag := range jinjaTag.FindAllString(node.Value, -1) {
			// A filter with the same name as a variable is harmless here.
			for _, name := range jinjaName.FindAllString(tag, -1) {
				if other := find(r.doc.Root, name); other != nil {
					r.variable(name, other, users)
				}
			}
		}
		text, err := execute(node.Value, r.context)
		if err != nil {
			at := *node
			at.Line = fileLine(node, r.errorLine(node.Value, err))
			r.problem(&at, path, rootCause(err))
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

// Limits for one value. Real values take a few steps and microseconds.
const (
	stepLimit  = 100_000
	timeLimit  = 3 * time.Second
	outLimit   = 1 << 20
	depthLimit = 50
)

// structures lists the control structures that a value may use. The others load
// templates or are recursive.
var structures = []string{"if", "for", "set", "raw", "with", "filter"}

var (
	loopTag    = regexp.MustCompile(`(?s)\{%[-+]?\s*for\b.*?%\}`)
	blockName  = regexp.MustCompile(`\{%[-+]?\s*([a-z]+)`)
	errEndless = errors.New("it does not end")
)

// execute evaluates an expression, within limits.
func execute(text string, context *exec.Context) (string, error) {
	if depth(text) > depthLimit {
		return "", fmt.Errorf("it is nested more than %d levels deep", depthLimit)
	}
	known, open := append([]string{"else", "elif"}, structures...), 0
	for _, m := range blockName.FindAllStringSubmatchIndex(text, -1) {
		name := text[m[2]:m[3]]
		switch {
		case strings.HasPrefix(name, "end"):
			open--
		case slices.Contains([]string{"if", "for", "with", "filter"}, name): // set may have no end tag
			open++
		}
		if open > depthLimit {
			return "", fmt.Errorf("it is nested more than %d levels deep", depthLimit)
		}
		if !slices.Contains(known, strings.TrimPrefix(name, "end")) {
			return "", fmt.Errorf("%q is not allowed in a value: use one of %s at line %d", name, strings.Join(structures, ", "), 1+strings.Count(text[:m[0]], "\n"))
		}
	}
	var out string
	var err error
	done := make(chan struct{})
	deadline := time.Now().Add(timeLimit)
	go func() {
		defer close(done)
		out, err = evaluate(text, context, deadline)
	}()
	select {
	case <-done:
		return out, err
	case <-time.After(timeLimit + time.Second):
		return "", errEndless // the goroutine leaks, but the process exits soon
	}
}

func evaluate(text string, context *exec.Context, deadline time.Time) (out string, err error) {
	// gonja panics on some invalid expressions.
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("the expression cannot be evaluated: %v", reason)
			if reason == errEndless {
				err = errEndless
			}
		}
	}()
	settings := config.New()
	settings.StrictUndefined = true
	settings.KeepTrailingNewline = true
	steps := 0
	context.Set("range", limitedRange)
	context.Set("step__", func() string {
		if steps++; steps > stepLimit || time.Now().After(deadline) {
			panic(errEndless)
		}
		return ""
	})
	// Each iteration of a loop counts as a step.
	counted := loopTag.ReplaceAllStringFunc(text, func(tag string) string {
		if strings.HasSuffix(tag, "-%}") {
			return tag + "{{ step__() -}}"
		}
		return tag + "{{ step__() }}"
	})
	// The loader has only this template, so no expression can read a file.
	loader, err := loaders.NewMemoryLoader(map[string]string{"/value": counted})
	if err != nil {
		return "", err
	}
	template, err := exec.NewTemplate("/value", settings, loader, gonja.DefaultEnvironment)
	if err != nil {
		return "", err
	}
	b := limitedWriter{}
	if err := template.Execute(&b, context); err != nil {
		return "", err
	}
	out = b.text.String()
	for _, none := range []string{"+Inf", "-Inf", "NaN", "-9223372036854775808"} {
		if strings.Contains(out, none) && !strings.Contains(text, none) {
			return "", errors.New("it divides by zero, or its result is too large")
		}
	}
	return out, nil
}

// limitedRange is Jinja's range with a limit, because gonja allocates all numbers at
// once.
func limitedRange(_ *exec.Evaluator, params *exec.VarArgs) ([]int, error) {
	start, stop, step := 0, 0, 1
	switch args := params.Args; len(args) {
	case 1:
		stop = args[0].Integer()
	case 3:
		step = args[2].Integer()
		fallthrough
	case 2:
		start, stop = args[0].Integer(), args[1].Integer()
	default:
		return nil, fmt.Errorf("range takes 1 to 3 numbers, got %d", len(args))
	}
	if step == 0 {
		return nil, errors.New("range cannot take steps of 0")
	}
	numbers := []int{}
	for at := start; (step > 0 && at < stop) || (step < 0 && at > stop); at += step {
		if len(numbers) == stepLimit {
			return nil, errEndless
		}
		numbers = append(numbers, at)
	}
	return numbers, nil
}

// limitedWriter is a buffer of limited size. It does not embed the Builder, which would
// add methods without the limit.
type limitedWriter struct{ text strings.Builder }

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.text.Len()+len(p) > outLimit {
		panic(errEndless)
	}
	return l.text.Write(p)
}

// depth returns the nesting depth of brackets.
func depth(text string) (deepest int) {
	for _, tag := range jinjaTag.FindAllString(text, -1) {
		level := 0
		for _, c := range tag {
			switch c {
			case '(', '[', '{':
				level++
			case ')', ']', '}':
				level--
			}
			deepest = max(deepest, level)
		}
	}
	return deepest
}

var (
	gonjaToken = regexp.MustCompile(`unable to evaluate filter &\{.*?\}: `)
	gonjaLine  = regexp.MustCompile(`(?:at line |Line: ?|Line=)(\d+)`)
	gonjaPlace = regexp.MustCompile(` ?(?:\(Line: \d+ Col: \d+, near ("(?:[^"\\]|\\.)*")\)| at line \d+$)`)
	gonjaStep  = regexp.MustCompile(`\{\{ step__\(\) -?\}\}`)
)

// errorLine returns the line of the text that an error refers to, from 1: the one that
// gonja names, or that of the first tag that fails on its own.
func (r *renderer) errorLine(text string, err error) int {
	if places := gonjaLine.FindAllStringSubmatch(err.Error(), -1); len(places) > 0 {
		line, _ := strconv.Atoi(places[len(places)-1][1])
		return max(1, line)
	}
	tags := append(jinjaTag.FindAllStringIndex(text, -1), []int{0, 0}) // the last is for a tag that is not closed
	failing := slices.IndexFunc(tags, func(tag []int) bool {
		_, alone := execute(text[tag[0]:tag[1]], r.context)
		return alone != nil && rootCause(alone).Error() == rootCause(err).Error()
	})
	return 1 + strings.Count(text[:tags[max(0, failing)][0]], "\n")
}

// fileLine converts a line of a value to a line of the file. For a list of lines,
// line is the number of the item.
func fileLine(node *yaml.Node, line int) int {
	switch {
	case node.Kind == yaml.SequenceNode:
		return node.Content[min(line, len(node.Content))-1].Line
	case node.Style&yaml.LiteralStyle != 0:
		return node.Line + line
	case node.Style&yaml.FoldedStyle != 0:
		return node.Line + 1
	}
	return node.Line
}

// rootCause removes what gonja adds to an error: the template's text, gonja's own
// tokens, and positions, because the error starts with the line already.
func rootCause(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		err = inner
	}
	text := gonjaStep.ReplaceAllString(gonjaToken.ReplaceAllString(err.Error(), ""), "")
	return errors.New(gonjaPlace.ReplaceAllString(text, ""))
}
