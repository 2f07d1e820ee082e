package sbom

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

// The cache of scans lies beside the syft binary: another syft may find other
// packages. It keeps the newest scans, and all of the last three hours.
const (
	keptScans = 8
	keptFor   = 3 * time.Hour
)

// Keep returns the scan of an image that this syft has made before, or makes it
// and keeps it; made says which. What cannot be kept is made again the next time.
func Keep(syft string, img Image, scan func() (Scan, error)) (s Scan, made bool, err error) {
	about, err := json.Marshal(img)
	if err != nil {
		return Scan{}, false, fmt.Errorf("keep the packages of %s: %w", img.Digest, err)
	}
	all := filepath.Join(filepath.Dir(syft), "scans")
	file := filepath.Join(all, fmt.Sprintf("%x", sha256.Sum256(about)), "scan.json")
	if text, err := os.ReadFile(file); err == nil && json.Unmarshal(text, &s) == nil && len(s.Packages) > 0 {
		return s, false, nil
	}
	if s, err = scan(); err != nil {
		return Scan{}, true, err
	}
	if text, err := json.Marshal(s); err == nil && os.MkdirAll(filepath.Dir(file), 0o755) == nil && outdir.WriteFile(file, text) == nil {
		_ = outdir.Prune(all, keptScans, keptFor) // they only take room
	}
	return s, true, nil
}
