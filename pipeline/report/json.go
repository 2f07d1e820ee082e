package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// JSON returns report.json as Write writes it: hide removes secrets from free text
// only. Names, digests and figures stay unchanged, even if they equal a secret.
func (r Report) JSON(hide func(string) string) ([]byte, error) {
	return r.hidden(hide).indented()
}

func (r Report) indented() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// ErrDiffers is the error of Same for a different report.
var ErrDiffers = errors.New("it is not the report that was judged")

// Same checks that text is the JSON of the report. Only fields from which secrets
// are removed may differ.
func (r Report) Same(text []byte) error {
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		return fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	blank := func(s string) string { return strings.Repeat("*", min(1, len(s))) } // an empty text stays empty
	want, err := r.JSON(blank)
	if err != nil {
		return err
	}
	got, err := back.JSON(blank)
	if err != nil {
		return err
	}
	found := bytes.Split(got, []byte("\n"))
	for i, wanted := range bytes.Split(want, []byte("\n")) {
		if !bytes.Equal(wanted, found[i]) { // no JSON text is a prefix of another
			return fmt.Errorf("%w: line %d is %s, want %s", ErrDiffers, i+1, bytes.TrimSpace(found[i]), bytes.TrimSpace(wanted))
		}
	}
	return nil
}

// hidden returns a copy of the report in which hide was applied to the fields with
// the tag hide: free text and logs only.
func (r Report) hidden(hide func(string) string) Report {
	hideIn(reflect.ValueOf(&r).Elem(), false, hide)
	return r
}

// hideIn replaces shared memory in value by copies and applies hide to tagged
// fields.
func hideIn(value reflect.Value, tagged bool, hide func(string) string) {
	switch text, isBytes := value.Interface().([]byte); {
	case isBytes && tagged:
		value.SetBytes([]byte(hide(string(text))))
	case isBytes: // a picture
	case value.Kind() == reflect.String && tagged:
		value.SetString(hide(value.String()))
	case value.Kind() == reflect.Struct:
		for field, inner := range value.Fields() {
			if _, tagged := field.Tag.Lookup("hide"); field.IsExported() {
				hideIn(inner, tagged, hide)
			}
		}
	case value.Kind() == reflect.Slice && !value.IsNil():
		value.Set(reflect.AppendSlice(reflect.MakeSlice(value.Type(), 0, value.Len()), value))
		for i := range value.Len() {
			hideIn(value.Index(i), tagged, hide)
		}
	case value.Kind() == reflect.Pointer && !value.IsNil():
		shared := value.Elem()
		value.Set(reflect.New(shared.Type()))
		value.Elem().Set(shared)
		hideIn(value.Elem(), tagged, hide)
	}
}
