package workflows

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheDaggerThatIsInstalledIsTheOneThatDaggerJSONNames(t *testing.T) {
	install := script(t, "dagger", "check", "Install the dagger that dagger.json names")
	curl := map[string]string{"curl": `
for url; do :; done
case $* in *"/releases/${VERSION#v}/dagger_${VERSION}_linux_amd64.tar.gz $url"*) ;; *) echo "curl $*"; exit 2 ;; esac
case $url in */releases/${VERSION#v}/checksums.txt) ;; *) echo "curl $*"; exit 2 ;; esac
echo released >dagger
tar czf "dagger_${VERSION}_linux_amd64.tar.gz" dagger
rm dagger
sha256sum *.tar.gz >checksums.txt
sha256sum <<<other | sed "s/-/dagger_${VERSION}_linux_arm64.tar.gz/" >>checksums.txt
if [ -n "$OTHER" ]; then sed -i s/^..../0000/ checksums.txt; fi`}
	for _, other := range []string{"", "1"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "path")
		out, err := runScript(t, install, root, curl, map[string]string{"VERSION": engineVersion, "OTHER": other, "RUNNER_TEMP": dir, "GITHUB_PATH": path})
		if (err == nil) != (other == "") {
			t.Errorf("with another checksum: %q: %v, %s", other, err, out)
		}
		text, _ := os.ReadFile(path) // only a verified dagger is added
		if want := map[string]string{"": filepath.Join(dir, "dagger") + "\n", "1": ""}[other]; string(text) != want {
			t.Errorf("with another checksum: %q: PATH gets %q, want %q", other, text, want)
		}
		if program, _ := os.ReadFile(filepath.Join(dir, "dagger", "dagger")); (string(program) == "released\n") != (other == "") {
			t.Errorf("with another checksum: %q: dagger is %q", other, program)
		}
	}
}
