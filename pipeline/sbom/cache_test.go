package sbom_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/outdir/outdirtest"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// An image is scanned once. Another image, another time of its commit, or a damaged
// cache entry causes a new scan.
func TestAScanIsKept(t *testing.T) {
	t.Parallel()
	syft := filepath.Join(t.TempDir(), "syft")
	found := sbom.Scan{
		SPDX: []byte(`{"a":"<b>"}`), CycloneDX: []byte("{}"), Table: []byte("NAME\n"),
		Packages: []sbom.Package{{Name: "bash", Version: "5.2", Type: "deb"}},
	}
	looked := 0
	get := func(img sbom.Image, want bool) {
		t.Helper()
		s, made, err := sbom.Cached(syft, img, func() (sbom.Scan, error) { looked++; return found, nil })
		if err != nil || made != want || !reflect.DeepEqual(s, found) {
			t.Errorf("%+v: made %t, %v: %+v", img, made, err, s)
		}
	}
	img := lay(t, image(t, amd64, debian("1", "2")))["linux/amd64"].about
	get(img, true)
	get(img, false)
	later := img
	later.Time = img.Time.Add(time.Second)
	get(later, true)
	get(lay(t, image(t, amd64, debian("1", "3")))["linux/amd64"].about, true)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(syft), "scans", "*", "scan.json"))
	if err != nil || len(files) != 3 {
		t.Fatalf("kept: %v, %v", files, err)
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte(`{"SPDX":"`), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	get(img, true)
	get(img, false)
	if looked != 4 {
		t.Errorf("looked %d times, want 4", looked)
	}
}

// An hour after another, versions leave 8 scans; what is made at the same time all
// stays for as long as another process may read it.
func TestKeptScansAreFewHoweverManyImagesThereWere(t *testing.T) {
	t.Parallel()
	syft := filepath.Join(t.TempDir(), "syft")
	keep := func(name string) (made bool) {
		t.Helper()
		_, made, err := sbom.Cached(syft, sbom.Image{Digest: v1.Hash{Algorithm: "sha256", Hex: name}}, func() (sbom.Scan, error) {
			return sbom.Scan{Packages: []sbom.Package{{Name: "bash"}}}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	scans := filepath.Join(filepath.Dir(syft), "scans")
	for v := range 40 {
		keep(fmt.Sprint("version ", v))
		if left := outdirtest.Age(t, scans, time.Hour); len(left) > 8 {
			t.Fatalf("after %d versions, %d scans are left", v+1, len(left))
		}
	}
	for v := 32; v < 40; v++ {
		if keep(fmt.Sprint("version ", v)) {
			t.Errorf("the scan of version %d of 0 to 39 is gone", v)
		}
	}
	outdirtest.Age(t, scans, 3*time.Hour)
	for i := range 20 {
		keep(fmt.Sprint("at once ", i))
	}
	if left := outdirtest.Age(t, scans, 3*time.Hour); len(left) != 20 {
		t.Errorf("of 20 scans made at once, and older ones, %d are left", len(left))
	}
	keep("afterwards")
	if left := outdirtest.Age(t, scans, 0); len(left) != 8 {
		t.Errorf("3 hours later, %d scans are left", len(left))
	}
}

// A failed scan is not cached, and an unwritable cache directory costs only the time
// of the next scan.
func TestAFailedScanIsNotKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	img := lay(t, image(t, amd64, debian("1", "2")))["linux/amd64"].about
	failed := errors.New("disk full")
	if _, _, err := sbom.Cached(filepath.Join(dir, "syft"), img, func() (sbom.Scan, error) { return sbom.Scan{}, failed }); !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("kept: %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scans"), []byte(strings.Repeat("x", 9)), 0o644); err != nil {
		t.Fatal(err)
	}
	s, made, err := sbom.Cached(filepath.Join(dir, "syft"), img, func() (sbom.Scan, error) {
		return sbom.Scan{Packages: []sbom.Package{{Name: "bash"}}}, nil
	})
	if err != nil || !made || len(s.Packages) != 1 {
		t.Errorf("got %+v, %t, %v", s, made, err)
	}
}
