package outdir_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

func TestADirectoryIsReplacedAsAWholeOrNotAtAll(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "dist")
	dir := filepath.Join(parent, "report")
	write := func(name string, err error) error {
		return outdir.Replace(dir, func(tmp string) error {
			if e := os.WriteFile(filepath.Join(tmp, name), nil, 0o644); e != nil {
				t.Fatal(e)
			}
			return err
		})
	}
	boom := errors.New("boom")
	for _, step := range []struct {
		name string
		err  error
		want string // the one file in dir; empty: no dir
	}{
		{"half", boom, ""},
		{"one", nil, "one"},
		{"half", boom, "one"},
		{"two", nil, "two"},
	} {
		if err := write(step.name, step.err); !errors.Is(err, step.err) {
			t.Errorf("%s: error %v, want %v", step.name, err, step.err)
		}
		files, _ := filepath.Glob(dir + "/*")
		if step.want == "" && files != nil || step.want != "" && (len(files) != 1 || filepath.Base(files[0]) != step.want) {
			t.Errorf("after %s the directory holds %v, want %q", step.name, files, step.want)
		}
		if entries, _ := os.ReadDir(parent); len(entries) > 1 {
			t.Errorf("after %s there is more than the directory: %v", step.name, entries)
		}
	}
}

func TestWhatAKilledRunLeftIsRemoved(t *testing.T) {
	parent := t.TempDir()
	for _, dir := range []string{".re[1].partial-123/new", ".re1.partial-1", "image"} { // brackets are no pattern
		if err := os.MkdirAll(filepath.Join(parent, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := outdir.Replace(filepath.Join(parent, "re[1]"), func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{".re1.partial-1", "image", "re[1]"}; !slices.Equal(names, want) {
		t.Errorf("%q is there, want %q", names, want)
	}
}
