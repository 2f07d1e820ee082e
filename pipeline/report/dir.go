package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

const (
	reportFile   = "report.json"
	logsDir      = "logs"
	picturesDir  = "screenshots"
	documentsDir = "sbom"
	drawingsDir  = "graph"
)

// Write replaces dir with the report: report.json, the logs, screenshots, init
// graphs and lists of packages; index.html, which shows all of them; and
// ci-status.yml, badge.svg and junit.xml for other programs. hide removes secrets
// from all free text.
func (r Report) Write(dir string, hide func(string) string) error {
	files, err := r.hidden(hide).files()
	if err == nil {
		err = outdir.Replace(dir, func(tmp string) error {
			for name, data := range files {
				if err := outdir.WriteFile(filepath.Join(tmp, name), data); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("writing the report %s: %w", dir, err)
	}
	return nil
}

// files returns the content of the report's directory, by file name.
func (r Report) files() (map[string][]byte, error) {
	contents, err := r.contents()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, content := range contents {
		files[name] = *content
	}
	for name, render := range map[string]func(Report) ([]byte, error){
		reportFile: Report.indented, "index.html": Report.page, "ci-status.yml": Report.status, "badge.svg": Report.badge, "junit.xml": Report.junit,
	} {
		if files[name], err = render(r); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// contents returns the content of each log, document, drawing and picture, by its
// path in the report's directory.
func (r Report) contents() (all map[string]*[]byte, err error) {
	all = map[string]*[]byte{}
	add := func(dir, name string, content *[]byte) {
		if err == nil && (!filepath.IsLocal(name) || filepath.Base(name) != name) {
			err = fmt.Errorf("%q is not named as a file of %s", name, dir)
		}
		all[filepath.Join(dir, name)] = content
	}
	for i, log := range r.Logs {
		add(logsDir, log.Name, &r.Logs[i].Text)
	}
	for i, document := range r.Documents {
		add(documentsDir, document.Name, &r.Documents[i].Text)
	}
	for _, p := range r.Platforms {
		for i, drawing := range p.Drawings {
			add(drawingsDir, drawing.Name, &p.Drawings[i].SVG)
		}
		for i, picture := range p.Pictures {
			add(picturesDir, picture.Name, &p.Pictures[i].PNG)
		}
	}
	return all, err
}

// Load reads a report that Write wrote, including logs and documents. It returns a
// usage error if dir has no report.
func Load(dir string) (r Report, err error) {
	text, err := os.ReadFile(filepath.Join(dir, reportFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, failure.Usagef("reading the report %s: there is none; make it with `go run ./ci check`", dir)
	}
	if err != nil {
		return r, fmt.Errorf("reading the report %s: %w", dir, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("reading the report %s: %w; make it again with `go run ./ci check`", dir, err)
		}
	}()
	var head struct {
		SchemaVersion int `json:"schemaVersion"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return r, err
	}
	if head.SchemaVersion != schemaVersion {
		return r, failure.Usagef("its schema is version %d, this program reads %d", head.SchemaVersion, schemaVersion)
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, err
	}
	contents, err := r.contents()
	if err != nil {
		return r, err
	}
	for _, name := range slices.Sorted(maps.Keys(contents)) { // sorted, so that the error is deterministic
		if *contents[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return r, err
		}
	}
	return r, nil
}
