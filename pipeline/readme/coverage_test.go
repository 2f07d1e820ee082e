package readme

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestMadeUpImagesUseEveryVariable ensures that the golden files are complete.
func TestMadeUpImagesUseEveryVariable(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../"+File) // has keys of this repository only
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	var visit func(of reflect.Type, prefix string)
	visit = func(of reflect.Type, prefix string) {
		for field := range of.Fields() {
			if inner, ok := field.Tag.Lookup("prefix"); ok {
				visit(field.Type, prefix+inner)
			} else if name := field.Tag.Get("yaml"); name != "" && !strings.Contains("\n"+all.String(), "\n"+prefix+name+":") {
				t.Errorf("no file in testdata sets %s", prefix+name)
			}
		}
	}
	visit(reflect.TypeFor[Vars](), "")
}
