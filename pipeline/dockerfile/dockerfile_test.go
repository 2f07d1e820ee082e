package dockerfile_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/dockerfile"
)

func TestSources(t *testing.T) {
	for text, want := range map[string][]string{
		"FROM a\nRUN b\n":            nil,
		"COPY a/x ./b/ /root/c /to/": {"a/x", "b", "root/c"},
		"copy --chmod=755 --from=other x /\nADD y \\\n  # z\n  /": {"y"},
		"RUN --mount=type=bind,source=a,target=/a --mount=type=secret,id=s,target=/s --mount=from=x,source=b,target=/b \\\n  --mount=src=c,target=/c COPY d e": {"a", "c"},
		"RUN --mount=type=bind,target=/all true":  {"."},
		"RUN --mount=type=cache,target=/all true": nil,
		"COPY a* /\nCOPY $B /\n":                  {"."},
		`COPY ["a", "b"]`:                         {"."},
	} {
		if got := dockerfile.Sources(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// The build can only read what .dockerignore allows: all of root, and the files in
// build that these instructions name.
func TestSourcesOfOurDockerfiles(t *testing.T) {
	for _, name := range []string{"Dockerfile", "Dockerfile.aarch64"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		sources := dockerfile.Sources(string(text))
		for _, want := range []string{"root", "build/packages", "build/install", "build/requirements.txt", "build/settings.py"} {
			if !slices.Contains(sources, want) {
				t.Errorf("%s: %q lacks %s", name, sources, want)
			}
		}
		for _, source := range sources {
			if _, err := os.Stat(filepath.Join("../..", source)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if slices.Contains(sources, ".") || slices.Contains(sources, "build/lock") {
			t.Errorf("%s takes too much: %q", name, sources)
		}
	}
}
