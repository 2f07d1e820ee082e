package readme

import (
	"errors"
	"regexp"
	"strings"
)

var (
	// callOutForm is how the format writes a call-out: ?+note[title](|text|).
	callOutForm = regexp.MustCompile(`(?s)\?\+(\w+)(?:\[([^\]\n]*)\])?\(\|(.*?)\|\)`)
	callOutOpen = regexp.MustCompile(`\?\+\w+(?:\[[^\]\n]*\])?\(\|`)
)

// kinds are GitHub's names for those of the format.
var kinds = map[string]string{
	"tip": "TIP", "success": "TIP", "question": "TIP", "bug": "IMPORTANT", "warning": "WARNING", "danger": "CAUTION", "failure": "CAUTION",
}

// callOuts rewrites the call-outs in all texts as GitHub's.
func (v *Vars) callOuts() error {
	var problems []error
	rewrite := func(key string, text *string) {
		*text = callOutForm.ReplaceAllStringFunc(*text, func(m string) string {
			part := callOutForm.FindStringSubmatch(m)
			kind := kinds[strings.ToLower(part[1])]
			if kind == "" {
				kind = "NOTE"
			}
			body := strings.TrimSpace(part[3])
			if part[2] != "" {
				body = "**" + part[2] + "**\n\n" + body
			}
			return "\n\n" + strings.ReplaceAll(note(kind, body), "> \n", ">\n") + "\n\n"
		})
		if at := callOutOpen.FindStringIndex(*text); at != nil {
			err := v.doc.Problem(key, "a call-out is not closed: end it with |)")
			if node := find(v.doc.Root, key); node != nil {
				if original := callOutOpen.FindAllStringIndex(node.Value, -1); len(original) > 0 {
					last := original[len(original)-1][0]
					at := *node
					at.Line = lineIn(node, 1+strings.Count(node.Value[:last], "\n"))
					err = v.doc.ProblemAt(&at, key, "a call-out is not closed: end it with |)")
				}
			}
			problems = append(problems, err)
		}
	}
	rewrite("project_blurb", &v.Blurb)
	rewrite("project_deprecation_message", &v.DeprecationWhy)
	rewrite("app_setup_block", &v.Setup)
	rewrite("readonly_message", &v.ReadOnlyMessage)
	rewrite("nonroot_message", &v.NonRootMessage)
	rewrite("optional_block_1_items", (*string)(&v.Block1))
	rewrite("optional_parameters", (*string)(&v.OptionalParameters))
	return errors.Join(problems...)
}
