package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// JSON is report.json as Write writes it: hide takes the secrets out of what
// programs and people have said, and of nothing else. Names, digests and
// figures stay as they are, whatever a secret happens to be.
func (r Report) JSON(hide func(string) string) ([]byte, error) {
	return r.hidden(hide).indented()
}

func (r Report) indented() ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	return append(text, '\n'), err
}

// ErrDiffers is that a report is not the one it should be.
var ErrDiffers = errors.New("it is not the report that was judged")

// Same compares a text of JSON with the report that it was made of. Only what
// secrets are taken out of may differ.
func (r Report) Same(text []byte) error {
	var back Report
	if err := json.Unmarshal(text, &back); err != nil {
		return fmt.Errorf("%w: %w", ErrDiffers, err)
	}
	blank := func(s string) string { return strings.Repeat("*", min(1, len(s))) } // no text stays none
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
		if !bytes.Equal(wanted, found[i]) { // no text of JSON is the beginning of another
			return fmt.Errorf("%w: line %d is %s, want %s", ErrDiffers, i+1, bytes.TrimSpace(found[i]), bytes.TrimSpace(wanted))
		}
	}
	return nil
}

// hidden is a copy of the report in which the fields with the tag hide have
// passed through hide: free text and logs, and nothing else.
func (r Report) hidden(hide func(string) string) Report {
	hideIn(reflect.ValueOf(&r).Elem(), false, hide)
	return r
}

// hideIn copies what value shares with others, and passes through hide what is
// tagged.
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
