package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// Write makes dir hold the report, in the place of what was there: report.json,
// the logs, the pictures, the init graphs and the lists of packages; index.html, which shows all of that to people; and
// for other programs ci-status.yml, badge.svg and junit.xml. All that programs
// and people have said passes through hide, which takes the secrets out.
func (r Report) Write(dir string, hide func(string) string) error {
	files, err := r.files(hide)
	if err != nil {
		return fmt.Errorf("writing the report %s: %w", dir, err)
	}
	return outdir.Replace(dir, func(tmp string) error {
		for name, data := range files {
			file := filepath.Join(tmp, name)
			err := os.MkdirAll(filepath.Dir(file), 0o755)
			if err == nil {
				err = os.WriteFile(file, data, 0o644)
			}
			if err != nil {
				return fmt.Errorf("writing the report %s: %w", dir, err)
			}
		}
		return nil
	})
}

// files is the content of a report's directory.
func (r Report) files(hide func(string) string) (map[string][]byte, error) {
	text, err := r.JSON(hide)
	if err != nil {
		return nil, err
	}
	// What other files are made of is read back, so that no secret gets past.
	var clean Report
	if err := json.Unmarshal(text, &clean); err != nil {
		return nil, err
	}
	files := map[string][]byte{reportFile: text}
	err = r.eachFile(func(name string, content *[]byte) error {
		files[name] = *content
		if filepath.Dir(name) == logsDir {
			files[name] = []byte(hide(string(*content)))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = clean.eachFile(func(name string, content *[]byte) error {
		*content = files[name]
		return nil
	})
	if err != nil {
		return nil, err
	}
	for name, render := range map[string]func(Report) ([]byte, error){
		"index.html": Report.page, "ci-status.yml": Report.status, "badge.svg": Report.badge, "junit.xml": Report.junit,
	} {
		if files[name], err = render(clean); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return files, nil
}

// eachFile does something with the name, under the report's directory, and the
// content of each log, document, drawing and picture.
func (r Report) eachFile(do func(name string, content *[]byte) error) error {
	one := func(dir, name string, content *[]byte) error {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return fmt.Errorf("%q is not named as a file of %s", name, dir)
		}
		return do(filepath.Join(dir, name), content)
	}
	for i := range r.Logs {
		if err := one(logsDir, r.Logs[i].Name, &r.Logs[i].Text); err != nil {
			return err
		}
	}
	for i := range r.Documents {
		if err := one(documentsDir, r.Documents[i].Name, &r.Documents[i].Text); err != nil {
			return err
		}
	}
	for _, p := range r.Platforms {
		for i := range p.Drawings {
			if err := one(drawingsDir, p.Drawings[i].Name, &p.Drawings[i].SVG); err != nil {
				return err
			}
		}
		for i := range p.Pictures {
			if err := one(picturesDir, p.Pictures[i].Name, &p.Pictures[i].PNG); err != nil {
				return err
			}
		}
	}
	return nil
}

// Load reads what Write wrote, logs and documents too. A dir without a report is a
// missing prerequisite.
func Load(dir string) (Report, error) {
	var r Report
	text, err := os.ReadFile(filepath.Join(dir, reportFile))
	if errors.Is(err, fs.ErrNotExist) {
		return r, failure.Usagef("reading the report %s: there is none; make it with `go run ./ci check`", dir)
	}
	if err != nil {
		return r, fmt.Errorf("reading the report %s: %w", dir, err)
	}
	var head struct {
		SchemaVersion int `json:"schemaVersion"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return r, fmt.Errorf("reading the report %s: %w; make it again with `go run ./ci check`", dir, err)
	}
	if head.SchemaVersion != schemaVersion {
		return r, failure.Usagef("reading the report %s: its schema is version %d, this program reads %d; make it again with `go run ./ci check`", dir, head.SchemaVersion, schemaVersion)
	}
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&r); err != nil {
		return r, fmt.Errorf("reading the report %s: %w; make it again with `go run ./ci check`", dir, err)
	}
	err = r.eachFile(func(name string, content *[]byte) (err error) {
		*content, err = os.ReadFile(filepath.Join(dir, name))
		return err
	})
	if err != nil {
		return r, fmt.Errorf("reading the report %s: %w; make it again with `go run ./ci check`", dir, err)
	}
	return r, nil
}
