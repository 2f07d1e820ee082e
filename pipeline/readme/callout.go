package readme

import (
	"cmp"
	"regexp"
	"strings"
)

var (
	// callOutPattern matches a call-out of the format: ?+note[title](|text|).
	callOutPattern = regexp.MustCompile(`(?s)\?\+(\w+)(?:\[([^\]\n]*)\])?\(\|(.*?)\|\)`)
	callOutStart   = regexp.MustCompile(`\?\+\w+(?:\[[^\]\n]*\])?\(\|`)
)

// kinds maps the format's kinds of call-outs to GitHub's.
var kinds = map[string]string{
	"tip": "TIP", "success": "TIP", "question": "TIP", "bug": "IMPORTANT", "warning": "WARNING", "danger": "CAUTION", "failure": "CAUTION",
}

// texts returns the values that contain Markdown, with their keys.
func (v *Vars) texts() []text {
	return []text{
		{"project_blurb", &v.Blurb}, {"project_deprecation_message", &v.DeprecationWhy}, {"usage_block", &v.Start},
		{"app_setup_block", &v.Setup}, {"optional_block_1_items", (*string)(&v.Block1)}, {"optional_parameters", (*string)(&v.OptionalParameters)},
		{"readonly_message", &v.ReadOnlyMessage}, {"nonroot_message", &v.NonRootMessage}, {"build_note", &v.BuildNote},
	}
}

type text struct {
	key   string
	value *string
}

// convertCallOuts converts the call-outs in all texts to GitHub's syntax.
func (v *Vars) convertCallOuts() {
	for _, t := range v.texts() {
		*t.value = callOutPattern.ReplaceAllStringFunc(*t.value, func(m string) string {
			part := callOutPattern.FindStringSubmatch(m)
			kind := cmp.Or(kinds[strings.ToLower(part[1])], "NOTE")
			body := strings.TrimSpace(part[3])
			if part[2] != "" {
				body = "**" + part[2] + "**\n\n" + body
			}
			return "\n\n" + strings.ReplaceAll(note(kind, body), "> \n", ">\n") + "\n\n"
		})
	}
}
