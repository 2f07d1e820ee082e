package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/linuxserver/docker-netbox/pipeline/readme"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

// ReadmeDrift is README.md not being what readme-vars.yml makes of it.
type ReadmeDrift struct {
	Diff string // unified, from the file to what it should be
}

func (ReadmeDrift) Error() string {
	return fmt.Sprintf("compare %s with %s: they differ: run \"go run ./ci readme\" and commit the result", readme.Page, readme.File)
}

// CheckReadme compares README.md with what it should be; a *ReadmeDrift says
// how it differs.
func (p *Pipeline) CheckReadme(ctx context.Context) error {
	return p.stage(ctx, report.Key{Stage: "readme"}, "", func(ctx context.Context, log io.Writer) error {
		have, want, err := Readme(p.Repo)
		if err != nil {
			return err
		}
		if diff := readme.Diff(have, want); diff != "" {
			return &ReadmeDrift{Diff: diff}
		}
		return nil
	})
}

// Readme gives README.md of the repository as it is, and as it should be.
func Readme(repo string) (have, want []byte, err error) {
	want, err = readme.Render(repo)
	if err != nil {
		return nil, nil, err
	}
	have, err = os.ReadFile(filepath.Join(repo, readme.Page))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("read %s: %w", readme.Page, err)
	}
	return have, want, nil
}

// WriteReadme makes README.md what it should be, and tells whether that
// changed it.
func WriteReadme(repo string) (changed bool, err error) {
	have, want, err := Readme(repo)
	if err != nil || bytes.Equal(have, want) {
		return false, err
	}
	if err := replaceFile(filepath.Join(repo, readme.Page), want); err != nil {
		return false, fmt.Errorf("write %s: %w", readme.Page, err)
	}
	return true, nil
}
