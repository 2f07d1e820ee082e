package sbom

import (
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
	"github.com/linuxserver/docker-netbox/pipeline/proc"
)

// Media types of the documents.
const (
	SPDXType      = "application/spdx+json"
	CycloneDXType = "application/vnd.cyclonedx+json"
	ListType      = "text/plain" // a table for people
)

// Syft builds tools/syft, Anchore's syft without the parts that no image here needs,
// and returns the path of the program. Without inlining, a scan takes 0.7 s longer,
// but nothing waits for it.
func Syft(ctx context.Context, log io.Writer, tools gotool.Module) (string, error) {
	return tools.Program(ctx, log, "github.com/linuxserver/docker-netbox/tools/syft", gotool.WithoutInlining...)
}

// scanTimeout limits the scan of one image, which takes about 10 seconds.
const scanTimeout = 10 * time.Minute

// Image describes an image to scan: what its documents need beside its content.
type Image struct {
	Name     string // of the project
	Source   string // URL of the project
	Platform v1.Platform
	Digest   v1.Hash   // of its manifest
	Time     time.Time // of the commit it was built from
}

// Scan is the result of a scan, in each format.
type Scan struct {
	SPDX      []byte // JSON
	CycloneDX []byte // JSON
	Table     []byte // for people
	Packages  []Package
}

// The cache of scans is beside the syft binary, because another syft may find other
// packages. It keeps the newest scans, and all of the last three hours.
const (
	cachedScans = 8
	cachedFor   = 3 * time.Hour
)

// Cached returns the cached scan of an image by this syft, or calls scan and caches its
// result; made reports whether it called scan. Failures to write the cache are ignored.
func Cached(syft string, img Image, scan func() (Scan, error)) (s Scan, made bool, err error) {
	all := filepath.Join(filepath.Dir(syft), "scans")
	file := filepath.Join(all, fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, img))), "scan.json")
	if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &s) == nil && len(s.Packages) > 0 {
		return s, false, nil
	}
	if s, err = scan(); err != nil {
		return Scan{}, true, err
	}
	if text, err := json.Marshal(s); err == nil && outdir.WriteFile(file, text) == nil {
		_ = outdir.Prune(all, cachedScans, cachedFor) // a failure costs only disk space
	}
	return s, true, nil
}

// Run scans one image of an OCI layout with the syft program at a path. The same image
// results in the same bytes on any machine: Run replaces the times and random
// identifiers in syft's documents by the time of the commit and by identifiers made
// from the image's digest. It uses neither the network nor settings of the user.
func Run(ctx context.Context, syft, layout string, img Image) (Scan, error) {
	what := fmt.Sprintf("list the packages of %s/%s", img.Platform.OS, img.Platform.Architecture)
	version, err := versionOf(syft)
	if err != nil {
		return Scan{}, fmt.Errorf("%s: find out the version of syft: %w", what, err)
	}
	if layout, err = filepath.Abs(layout); err != nil {
		return Scan{}, fmt.Errorf("%s: %w", what, err)
	}
	// syft unpacks layers into the directory for temporary files.
	dir, err := os.MkdirTemp("", "docker-netbox-syft-")
	if err != nil {
		return Scan{}, fmt.Errorf("%s: %w", what, err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeoutCause(ctx, scanTimeout, fmt.Errorf("syft has not ended after %s", scanTimeout))
	defer cancel()
	file := func(name string) string { return filepath.Join(dir, name) }
	cmd := exec.CommandContext(ctx, syft, "scan", "oci-dir:"+layout, "--quiet",
		"--platform", img.Platform.OS+"/"+img.Platform.Architecture,
		"--source-name", img.Name, "--source-version", img.Digest.String(),
		"--output", "spdx-json="+file("spdx"), "--output", "cyclonedx-json="+file("cyclonedx"), "--output", "syft-table="+file("table"))
	cmd.Dir = dir
	cmd.Env = []string{"HOME=" + dir, "TMPDIR=" + dir, "SYFT_CHECK_FOR_APP_UPDATE=false"}
	ran := make(chan error)
	go func() {
		// Syft inherits the low priority of this thread, which ends with the function:
		// containers that boot at the same time have priority.
		runtime.LockOSThread()
		_ = unix.Setpriority(unix.PRIO_PROCESS, 0, 10)
		ran <- proc.Run(ctx, cmd)
	}()
	if err := <-ran; err != nil {
		return Scan{}, fmt.Errorf("%s: %w", what, err)
	}
	var s Scan
	for name, text := range map[string]*[]byte{"spdx": &s.SPDX, "cyclonedx": &s.CycloneDX, "table": &s.Table} {
		if *text, err = os.ReadFile(file(name)); err != nil {
			return Scan{}, fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := s.makeReproducible(img, version); err != nil {
		return Scan{}, fmt.Errorf("%s: %w", what, err)
	}
	if s.Packages, err = ParseCycloneDX(s.CycloneDX); err != nil {
		return Scan{}, fmt.Errorf("%s: %w", what, err)
	}
	listed, err := ParseTable(s.Table)
	if err != nil {
		return Scan{}, fmt.Errorf("%s: %w", what, err)
	}
	// The list in the repository is compared with the document of a published image,
	// so both formats must list the same packages.
	if !slices.Equal(listed, s.Packages) {
		return Scan{}, fmt.Errorf("%s: syft lists %d packages in its table and %d in its CycloneDX document: pin another version in tools/syft/go.mod", what, len(listed), len(s.Packages))
	}
	if len(s.Packages) == 0 {
		return Scan{}, fmt.Errorf("%s: syft has found none", what)
	}
	return s, nil
}

// module is the module path of Anchore's syft.
const module = "github.com/anchore/syft"

// versionOf returns the version of Anchore's syft that a program was built from.
func versionOf(program string) (string, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", err
	}
	for _, m := range append(info.Deps, &info.Main) {
		if m.Path == module {
			return m.Version, nil
		}
	}
	return "", fmt.Errorf("%s was not made from %s", program, module)
}

// makeReproducible replaces everything in the documents that differs from run to run.
func (s *Scan) makeReproducible(img Image, version string) error {
	at := img.Time.UTC().Format(time.RFC3339)
	for _, change := range []struct {
		document   *[]byte
		key, value string
	}{
		{&s.SPDX, "documentNamespace", img.Source + "/spdx/" + img.Digest.Hex + "/syft-" + version},
		{&s.SPDX, "created", at},
		{&s.CycloneDX, "serialNumber", "urn:uuid:" + uuid("CycloneDX", img.Digest.String(), "syft", version)},
		{&s.CycloneDX, "timestamp", at},
	} {
		old := regexp.MustCompile(`"` + change.key + `":"[^"]*"`) // as syft writes it
		if n := len(old.FindAll(*change.document, -1)); n != 1 {
			return fmt.Errorf("settle syft's documents: %q is there %d times, want once: pin another version in tools/syft/go.mod", change.key, n)
		}
		*change.document = old.ReplaceAllLiteral(*change.document, fmt.Appendf(nil, "%q:%q", change.key, change.value))
	}
	s.Table = trailingBlanks.ReplaceAll(s.Table, nil)
	return nil
}

// uuid returns a UUID made from the hash of its arguments (RFC 9562, version 8).
func uuid(of ...string) string {
	id := sha256.Sum256([]byte(strings.Join(of, " ")))
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:16])
}
