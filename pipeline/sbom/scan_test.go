package sbom_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/linuxserver/docker-netbox/pipeline/gotool"
	"github.com/linuxserver/docker-netbox/pipeline/registry"
	"github.com/linuxserver/docker-netbox/pipeline/registry/registrytest"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

// syft returns the pinned program; a machine without it builds it, once.
func syft(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	m := gotool.Module{Dir: "../../tools/syft", Cache: filepath.Join(cache, "docker-netbox", "tools"), Environ: os.Environ(), Wait: 20 * time.Minute}
	program, err := sbom.Syft(t.Context(), t.Output(), m)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// debian returns the files of a layer with Debian and Python packages.
func debian(bash, netbox string) map[string]string {
	return map[string]string{
		"etc/os-release": "ID=debian\nVERSION_ID=13\nPRETTY_NAME=\"Debian GNU/Linux 13\"\n",
		"var/lib/dpkg/status": "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + bash + "\nMaintainer: A <a@example.com>\n\n" +
			"Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\nMaintainer: A <a@example.com>\n\n",
		"lsiopy/lib/python3.13/site-packages/netbox-" + netbox + ".dist-info/METADATA": "Metadata-Version: 2.4\nName: netbox\nVersion: " + netbox + "\n",
		"lsiopy/lib/python3.13/site-packages/netbox-" + netbox + ".dist-info/RECORD":   "",
	}
}

// image returns an image of a platform with files.
func image(t *testing.T, platform v1.Platform, files map[string]string) registry.PlatformImage {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o644}
	}
	layer, err := registrytest.Files(tree)
	if err != nil {
		t.Fatal(err)
	}
	return registry.PlatformImage{Platform: platform, Image: registrytest.Image(t, platform, nil, layer)}
}

var (
	amd64 = v1.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = v1.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
)

// target is an image that can be scanned.
type target struct {
	layout string
	about  sbom.Image
}

// lay writes images to an OCI layout, and returns the target of each platform.
func lay(t *testing.T, images ...registry.PlatformImage) map[string]target {
	t.Helper()
	idx, err := registry.Index(images, nil)
	if err != nil {
		t.Fatal(err)
	}
	layout := filepath.Join(t.TempDir(), "image")
	if err := registry.WriteLayout(layout, idx); err != nil {
		t.Fatal(err)
	}
	targets := map[string]target{}
	for _, i := range images {
		digest, err := i.Image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		targets[registry.Key(i.Platform)] = target{layout, sbom.Image{
			Name: "netbox", Source: "https://github.com/linuxserver/docker-netbox",
			Platform: i.Platform, Digest: digest, Time: time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC),
		}}
	}
	return targets
}

func scan(t *testing.T, of target) sbom.Scan {
	t.Helper()
	s, err := sbom.Run(t.Context(), syft(t), of.layout, of.about)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSyftSeesThePackagesOfEachPlatform(t *testing.T) {
	t.Parallel()
	one, two := image(t, amd64, debian("5.2.37-2+b10", "4.7.3")), image(t, arm64, debian("5.2.37-2", "4.7.3"))
	targets := lay(t, one, two)
	a, b := scan(t, targets["linux/amd64"]), scan(t, targets["linux/arm64"])
	if want := []sbom.Package{{"bash", "5.2.37-2+b10", "deb"}, {"netbox", "4.7.3", "python"}}; !slices.Equal(a.Packages, want) {
		t.Errorf("amd64 holds %v, want %v", a.Packages, want)
	}
	if want := []sbom.Package{{"bash", "5.2.37-2", "deb"}, {"netbox", "4.7.3", "python"}}; !slices.Equal(b.Packages, want) {
		t.Errorf("arm64 holds %v, want %v", b.Packages, want)
	}
	if want := "NAME    VERSION       TYPE\nbash    5.2.37-2+b10  deb\nnetbox  4.7.3         python\n"; string(a.Table) != want {
		t.Errorf("the table is\n%q\nwant\n%q", a.Table, want)
	}
}

func TestTheSameImageGivesTheSameDocumentsEverywhere(t *testing.T) {
	t.Parallel()
	one := image(t, amd64, debian("5.2.37", "4.7.3"))
	of := lay(t, one, image(t, arm64, debian("5.2.37", "4.7.3")))["linux/amd64"]
	first := scan(t, of)
	again := scan(t, lay(t, one)["linux/amd64"]) // on a machine that builds only this one
	for name, texts := range map[string][2][]byte{"SPDX": {first.SPDX, again.SPDX}, "CycloneDX": {first.CycloneDX, again.CycloneDX}, "table": {first.Table, again.Table}} {
		if !bytes.Equal(texts[0], texts[1]) {
			t.Errorf("%s differs:\n%s\n%s", name, texts[0], texts[1])
		}
		for _, path := range []string{of.layout, os.TempDir() + "/"} {
			if bytes.Contains(texts[0], []byte(path)) {
				t.Errorf("%s names %s, a path of this machine:\n%s", name, path, texts[0])
			}
		}
	}
	digest := of.about.Digest
	for _, want := range []string{`"created":"2026-11-24T01:02:03Z"`, digest.Hex, `"Tool: syft-v1.`} {
		if !bytes.Contains(first.SPDX, []byte(want)) {
			t.Errorf("SPDX does not hold %s", want)
		}
	}
	for _, want := range []string{`"timestamp":"2026-11-24T01:02:03Z"`, digest.String()} {
		if !bytes.Contains(first.CycloneDX, []byte(want)) {
			t.Errorf("CycloneDX does not hold %s", want)
		}
	}
	other := scan(t, lay(t, image(t, amd64, debian("5.2.38", "4.7.3")))["linux/amd64"])
	var a, b struct {
		SerialNumber string `json:"serialNumber"`
	}
	if err := errors.Join(json.Unmarshal(first.CycloneDX, &a), json.Unmarshal(other.CycloneDX, &b)); err != nil || a == b || !serial.MatchString(a.SerialNumber) {
		t.Errorf("serial numbers of two images: %q and %q, %v", a.SerialNumber, b.SerialNumber, err)
	}
}

// serial matches a valid CycloneDX serial number.
var serial = regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAScanThatCannotBeIsOneLine(t *testing.T) {
	t.Parallel()
	good := lay(t, image(t, amd64, debian("1", "2")))["linux/amd64"]
	bare := lay(t, image(t, amd64, map[string]string{"a": "b"}))["linux/amd64"]
	other := lay(t, image(t, arm64, debian("1", "2")))["linux/arm64"]
	for name, of := range map[string]target{
		"no layout":         {filepath.Join(good.layout, "none"), good.about},
		"another platform":  {good.layout, other.about},
		"nothing installed": bare,
	} {
		_, err := sbom.Run(t.Context(), syft(t), of.layout, of.about)
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "list the packages of linux/") {
			t.Errorf("%s: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := sbom.Run(ctx, syft(t), good.layout, good.about); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// An image that needs what tools/syft leaves out must cause an error.
func TestAnImageThatNeedsWhatSyftLeavesOutIsAnError(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]struct{ path, text, why string }{
		"RPM packages": {"var/lib/rpm/rpmdb.sqlite", "SQLite format 3\x00" + strings.Repeat("\x00", 4096), "SQLite is left out of this syft"},
		"an AI model":  {"srv/model.gguf", "GGUF\x03\x00\x00\x00" + strings.Repeat("\x00", 16), "GGUF is left out of this syft"},
	} {
		files := debian("1", "2")
		files[file.path] = file.text
		of := lay(t, image(t, amd64, files))["linux/amd64"]
		_, err := sbom.Run(t.Context(), syft(t), of.layout, of.about)
		if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "/"+file.path+": ") || !strings.Contains(err.Error(), file.why) {
			t.Errorf("%s: got %v, want one line with %s and %q", name, err, file.path, file.why)
		}
	}
}

var soak = flag.Bool("soak", false, "compile the whole of Anchore's syft, which takes minutes, and compare what the two find")

// whole returns Anchore's syft in the version that tools/syft pins.
func whole(t *testing.T) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Version}}", "github.com/anchore/syft")
	list.Dir = "../../tools/syft"
	version, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	v, bin := strings.TrimSpace(string(version)), t.TempDir()
	args := append([]string{"install", "-ldflags=-X main.version=" + v}, gotool.WithoutInlining...)
	install := exec.CommandContext(t.Context(), "go", append(args, "github.com/anchore/syft/cmd/syft@"+v)...)
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+bin)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(bin, "syft")
}

// The built images are compared too, where dist/ has them.
func TestSyftFindsTheSameWithAndWithoutWhatIsLeftOut(t *testing.T) {
	if !*soak {
		t.Skip("SKIPPED: -soak compiles the whole of syft, which takes minutes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	files := debian("1", "2")
	maps.Copy(files, map[string]string{
		"usr/bin/program":      string(program),
		"lib/apk/db/installed": "P:musl\nV:1.2.5-r9\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\n\n",
		"lsiopy/lib/python3.13/site-packages/netbox-2.dist-info/sboms/rust.cyclonedx.json": `{"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
			"components": [{"type": "library", "name": "serde", "version": "1.0.1", "purl": "pkg:cargo/serde@1.0.1"}]}`,
		"usr/lib/node_modules/left/package.json":                `{"name": "left", "version": "1.2.3", "license": "MIT"}`,
		"usr/share/rubygems/specifications/rake-13.0.6.gemspec": "Gem::Specification.new do |s|\n  s.name = \"rake\".freeze\n  s.version = \"13.0.6\"\nend\n",
		"srv/vendor/composer/installed.json":                    `{"packages": [{"name": "a/b", "version": "1.0.0"}]}`,
		"srv/terraform/.terraform.lock.hcl":                     "provider \"registry.terraform.io/hashicorp/aws\" {\n  version = \"5.0.0\"\n}\n",
		"srv/go.mod":                                            "module example.com/m\n\ngo 1.26\n\nrequire golang.org/x/sys v0.1.0\n",
		"srv/vcpkg.json":                                        `{"name": "m", "version": "1", "dependencies": ["zlib"]}`,
		"srv/archive.tar.gz":                                    "no archive",
	})
	targets := []target{lay(t, image(t, amd64, files))["linux/amd64"]}
	if built, err := filepath.Abs("../../dist/image"); err != nil {
		t.Fatal(err)
	} else if _, err := os.Stat(built); err == nil {
		for _, platform := range []v1.Platform{amd64, arm64} {
			about := targets[0].about
			about.Platform = platform
			targets = append(targets, target{built, about})
		}
	}
	all := whole(t)
	for _, of := range targets {
		want, err := sbom.Run(t.Context(), all, of.layout, of.about)
		if err != nil {
			t.Fatal(err)
		}
		got := scan(t, of)
		t.Logf("%s: %d packages", of.layout, len(want.Packages))
		for name, texts := range map[string][2][]byte{"SPDX": {got.SPDX, want.SPDX}, "CycloneDX": {got.CycloneDX, want.CycloneDX}, "table": {got.Table, want.Table}} {
			if !bytes.Equal(texts[0], texts[1]) {
				t.Errorf("%s of %s differs: %d bytes, and %d with the whole of syft; it lists\n%s", name, of.layout, len(texts[0]), len(texts[1]), want.Table)
			}
		}
	}
}

func TestAnInterruptedScanLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	of := lay(t, image(t, amd64, debian("1", "2")))["linux/amd64"]
	program := syft(t)
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := sbom.Run(ctx, program, of.layout, of.about); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
