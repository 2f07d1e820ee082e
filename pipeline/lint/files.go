package lint

import (
	"io/fs"
	"os"
	"path"
	"strings"
)

// files are the paths of what is checked, from the repository's directory.
type files struct {
	source    []string            // Go code
	workflows []string            // of GitHub Actions
	scripts   map[string][]string // of the shell, by what shellcheck has to know
}

func (r Repo) files() (files, error) {
	found := files{scripts: map[string][]string{}}
	repo := os.DirFS(r.Dir)
	err := fs.WalkDir(repo, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (file == ".git" || file == "dist"):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		case path.Ext(file) == ".go":
			found.source = append(found.source, file)
			return nil
		case path.Ext(file) == ".yml" && path.Dir(file) == ".github/workflows":
			found.workflows = append(found.workflows, file)
			return nil
		}
		shell, err := shellOf(repo, file)
		if shell != "" {
			flags := "--shell=" + shell
			if strings.HasPrefix(file, "build/") { // a failure that the shell does not see would end up in the image
				flags += " --enable=check-extra-masked-returns,check-set-e-suppressed"
			}
			found.scripts[flags] = append(found.scripts[flags], file)
		}
		return err
	})
	return found, err
}

// shellOf is the shell that a file names in its first line, if it does.
func shellOf(repo fs.FS, file string) (string, error) {
	data, err := fs.ReadFile(repo, file)
	first, _, _ := strings.Cut(string(data[:min(len(data), 100)]), "\n")
	if line, script := strings.CutPrefix(first, "#!"); script {
		for word := range strings.FieldsSeq(line) {
			if name := path.Base(word); name == "sh" || name == "bash" {
				return name, err
			}
		}
	}
	return "", err
}
