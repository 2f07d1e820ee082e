package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/outdir"
)

const (
	reportFile   = "report.json"
	logsDir      = "logs"
	documentsDir = "sbom"
)

// Write makes dir hold report.json, logs/ and sbom/, in the place of what was
// there.
// Everything passes through hide, which takes the secrets out.
func (r Report) Write(dir string, hide func(string) string) error {
	text, err := r.encode(hide)
	if err != nil {
		return fmt.Errorf("writing the report %s: %w", dir, err)
	}
	return outdir.Replace(dir, func(tmp string) error {
		if err := r.fill(tmp, text, hide); err != nil {
			return fmt.Errorf("writing the report %s: %w", dir, err)
		}
		return nil
	})
}

func (r Report) fill(dir string, text []byte, hide func(string) string) error {
	if err := os.WriteFile(filepath.Join(dir, reportFile), text, 0o644); err != nil {
		return err
	}
	return r.eachFile(func(name string, content *[]byte) error {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, []byte(hide(string(*content))), 0o644)
	})
}

// eachFile does something with the name, under the report's directory, and the
// content of each log and each document.
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
	return nil
}

// jsonString matches a string of a JSON text.
var jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// encode gives report.json. Secrets are looked for in the strings as they
// read, not as JSON escapes them.
func (r Report) encode(hide func(string) string) ([]byte, error) {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, err
	}
	text = jsonString.ReplaceAllFunc(text, func(quoted []byte) []byte {
		var s string
		if err := json.Unmarshal(quoted, &s); err != nil {
			return quoted // not reached: the encoder wrote it
		}
		hidden := hide(s)
		if hidden == s {
			return quoted
		}
		out, err := json.Marshal(hidden)
		if err != nil {
			return []byte(`"***"`)
		}
		return out
	})
	return append(text, '\n'), nil
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
	if head.SchemaVersion != SchemaVersion {
		return r, failure.Usagef("reading the report %s: its schema is version %d, this program reads %d; make it again with `go run ./ci check`", dir, head.SchemaVersion, SchemaVersion)
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
