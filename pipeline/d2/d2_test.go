package d2_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/d2"
	"github.com/linuxserver/docker-netbox/pipeline/gotool"
)

// tool uses the pipeline's cache, because building d2 takes half a minute.
func tool(t *testing.T) d2.Tool {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return d2.Tool{Module: gotool.Module{Dir: "../../tools/d2", Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 10 * time.Minute}}
}

func TestTheSameTextGivesTheSamePictureWhateverTheEnvironment(t *testing.T) {
	const text = "a -> b -> c: label\na -> c\n"
	first, err := tool(t).SVG(t.Context(), t.Output(), text, nil)
	if err != nil {
		t.Fatal(err)
	}
	dec := xml.NewDecoder(bytes.NewReader(first))
	for {
		if _, err := dec.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
	for _, name := range []string{">a<", ">b<", ">c<", ">label<"} {
		if !strings.Contains(string(first), name) {
			t.Errorf("the picture does not show %s", name)
		}
	}
	if !strings.Contains(string(first), `-font-bold", sans-serif;`) {
		t.Error("where a page forbids the picture's own font there is none")
	}
	for _, far := range []string{"href=", "http://", "https://"} {
		for _, line := range strings.Split(strings.ReplaceAll(string(first), "http://www.w3.org/", ""), "\n") {
			if strings.Contains(line, far) {
				t.Errorf("the picture needs something from elsewhere: %.200s", line)
			}
		}
	}
	t.Setenv("D2_THEME", "200")
	t.Setenv("D2_LAYOUT", "dagre")
	again, err := tool(t).SVG(t.Context(), t.Output(), text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, first) {
		t.Error("the picture differs from one time to the next")
	}
	other, err := tool(t).SVG(t.Context(), t.Output(), "a -> d\n", nil)
	if err != nil || bytes.Equal(other, first) {
		t.Errorf("another text made the same picture, %v", err)
	}
}

func TestAPictureOfTheSameTextIsNotDrawnAgain(t *testing.T) {
	first, err := tool(t).SVG(t.Context(), t.Output(), "a -> b\n", nil)
	if err != nil {
		t.Fatal(err)
	}
	unbuildable := tool(t)
	unbuildable.Module.Cache, unbuildable.Module.Environ = t.TempDir(), []string{"PATH=" + t.TempDir(), "GOPROXY=off", "GOMODCACHE=" + t.TempDir(), "GOCACHE=" + t.TempDir()}
	again, err := unbuildable.SVG(t.Context(), t.Output(), "a -> b\n", first)
	if err != nil || !bytes.Equal(again, first) {
		t.Errorf("drawn again: %v", err)
	}
	if _, err := unbuildable.SVG(t.Context(), t.Output(), "a -> c\n", first); err == nil || !strings.HasPrefix(err.Error(), "draw with d2: ") {
		t.Errorf("another text: %v", err)
	}
}

func TestATextThatIsNotD2IsRefusedWithItsLine(t *testing.T) {
	if _, err := tool(t).SVG(t.Context(), t.Output(), "a -> b\nc: {\n", nil); err == nil || !strings.Contains(err.Error(), "2:") {
		t.Errorf("got %v", err)
	}
}
