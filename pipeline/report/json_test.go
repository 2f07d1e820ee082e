package report_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// fill sets every string in v to text, and every list to one such element.
func fill(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), text)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{text: text}))
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				fill(f, text)
			}
		}
	}
}

// masked collects the paths of masked values in JSON.
func masked(v any, path string, found map[string]bool) {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "***") {
			found[path] = true
		}
	case []any:
		for _, e := range v {
			masked(e, path+"[]", found)
		}
	case map[string]any:
		for key, e := range v {
			masked(e, strings.TrimPrefix(path+"."+key, "."), found)
		}
	}
}

// This lists which fields are masked: free text is; names and measurements are
// not. A new field must be added.
func TestWhatIsSaidIsMaskedAndNothingElse(t *testing.T) {
	var r report.Report
	fill(reflect.ValueOf(&r).Elem(), "open-sesame")
	text, err := r.JSON(strings.NewReplacer("open-sesame", "***").Replace)
	if err != nil {
		t.Fatal(err)
	}
	var back any
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	masked(back, "", found)
	want := []string{
		"difference.unknown[]", "missed[].error", "platforms[].drift[]", "platforms[].smoke[].asked", "platforms[].smoke[].error",
		"platforms[].smoke[].got", "stages[].errors[]", "stages[].output[]", "stages[].skipped", "why",
	}
	if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
		t.Errorf("masked are\n%q, want\n%q", got, want)
	}
}

// A password may equal any word in a report.
func TestASecretThatIsAWordOfTheReportChangesNoFact(t *testing.T) {
	for _, secret := range []string{"1", "a", "netbox", "linux", "passed", "sha256", "true", "platforms", "linux/amd64", `"`, "{"} {
		hide := strings.NewReplacer(secret, "***").Replace
		for name, r := range map[string]report.Report{"green": green(), "red": full()} {
			dir := t.TempDir()
			if err := r.Write(dir+"/report", hide); err != nil {
				t.Fatalf("%s, %q: %v", name, secret, err)
			}
			back, err := report.Load(dir + "/report")
			if err != nil {
				t.Errorf("%s, %q: %v", name, secret, err)
				continue
			}
			text, err := back.JSON(keep)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Same(text); err != nil {
				t.Errorf("%s, %q: %v", name, secret, err)
			}
			if before, after := r.Verdict(), back.Verdict(); after != before {
				t.Errorf("%s, %q: the verdict was %s and is %s", name, secret, before, after)
			}
			for i, d := range r.Documents {
				if string(back.Documents[i].Text) != string(d.Text) {
					t.Errorf("%s, %q: %s was changed: %s", name, secret, d.Name, back.Documents[i].Text)
				}
			}
		}
	}
}

func TestAReportThatIsNotTheSameIsFound(t *testing.T) {
	for name, change := range map[string]func(*report.Report){
		"a digest":      func(r *report.Report) { r.Platforms[0].Image = "sha256:***" },
		"a name":        func(r *report.Report) { r.Platforms[0].Platform = "***/amd64" },
		"a figure":      func(r *report.Report) { r.Stages[0].Seconds++ },
		"an error":      func(r *report.Report) { r.Stages[0].Errors = []string{"no"} },
		"a check":       func(r *report.Report) { r.Platforms[0].Smoke = nil },
		"a stage":       func(r *report.Report) { r.Stages = r.Stages[1:] },
		"the commit":    func(r *report.Report) { r.Commit = "***" },
		"what is due":   func(r *report.Report) { r.Expected = nil },
		"a check fails": func(r *report.Report) { r.Platforms[0].Smoke[0].Error = "no" },
	} {
		t.Run(name, func(t *testing.T) {
			r, other := full(), full()
			change(&other)
			text, err := other.JSON(keep)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Same(text); !errors.Is(err, report.ErrDiffers) || strings.Contains(fmt.Sprint(err), "\n") {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := full().Same([]byte(`{"commit": `)); !errors.Is(err, report.ErrDiffers) {
		t.Errorf("half a report: %v", err)
	}
}
