package versions_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/versions"
)

func TestRepositoryFileIsRead(t *testing.T) {
	v, err := versions.Load("../..")
	if err != nil {
		t.Fatal(err)
	}
	if v.NetBox.Release == "" || v.Base.Local.Suite == "" || v.Base.Published == "" ||
		v.Sidecars.Postgres.Major < 15 || v.Sidecars.Redis.Major < 6 || v.Emulation["arm64"].CPU == "" {
		t.Errorf("values are missing: %+v", v)
	}
}

func TestEveryMistakeIsNamedWithItsLine(t *testing.T) {
	good, err := os.ReadFile("../../" + versions.File)
	if err != nil {
		t.Fatal(err)
	}
	// Each case replaces old by new in the repository's own file. LINE stands
	// for the line on which new begins.
	for _, c := range []struct{ name, old, new, want string }{
		{"misspelled key", "suite:", "suit:", `versions.yml:LINE: base.local.suit: unknown key, did you mean "suite"?`},
		{"unknown key", "emulation:", "frobnicate:", `versions.yml:LINE: frobnicate: unknown key; known are base, container, emulation, epoch, netbox, repositories, sidecars`},
		{"number for text", "release: 4.7.3", "release: 4.7", `versions.yml:LINE: netbox.release: want text, got a number (4.7); put it in quotes`},
		{"pre-release", "release: 4.7.3", "release: 4.8.0b1", `versions.yml:LINE: netbox.release: want a final release such as "4.7.3", got "4.8.0b1"`},
		{"same release twice", "previous: 4.7.2", "previous: 4.7.3", `versions.yml:LINE: netbox.previous: must differ from netbox.release`},
		{"text for number", "major: 17", "major: seventeen", `versions.yml:LINE: sidecars.postgres.major: want a whole number, got text (seventeen)`},
		{"negative major", "major: 17", "major: -1", `versions.yml:LINE: sidecars.postgres.major: want the major version, a number from 1 on, got -1`},
		{"reference without tag", "redis:8", "redis", `versions.yml:LINE: sidecars.redis.image: want an image reference with a tag or digest, got "docker.io/library/redis"`},
		{"reference in capitals", "ghcr.io/linuxserver/", "ghcr.io/LinuxServer/", `versions.yml:LINE: base.published: want an image reference`},
		{"repository with a tag", "- ghcr.io/linuxserver/netbox\n", "- ghcr.io/linuxserver/netbox:latest\n", `: repositories.live[0]: want REGISTRY/NAME without a tag, got "ghcr.io/linuxserver/netbox:latest"`},
		{"repository without a registry", "- quay.io/linuxserver.io/netbox\n", "- linuxserver/netbox\n", `repositories.live[3]: want REGISTRY/NAME without a tag, got "linuxserver/netbox"`},
		{"optional registry without a repository", "optional: []", "optional: [quai.io]", `versions.yml:LINE: repositories.optional[0]: want the registry of a repository above, got "quai.io"`},
		{"optional registry that is compared with", "optional: []", "optional: [ghcr.io]", `versions.yml:LINE: repositories.optional[0]: ghcr.io cannot be optional: images are compared with those in ghcr.io/linuxserver/`},
		{"list for keys", "  arm64:\n    cpu: cortex-a72", "  - arm64", `versions.yml:LINE: emulation: want keys with values, got a list`},
		{"architecture", "  arm64:", "  aarch64:", `versions.yml:LINE: emulation.aarch64: unknown architecture; want amd64 or arm64`},
		{"empty value", "suite: trixie", "suite:", `versions.yml:LINE: base.local.suite: missing; want a Debian suite`},
		{"key twice", "netbox:\n", "sidecars: {}\nnetbox:\n", `: sidecars: set a second time; line 2 has it too`},
		{"tab", "  release:", "\trelease:", `not valid YAML: found character that cannot start any token`},
		{"second document", "base:", "---\nbase:", `a second YAML document`},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(string(good), c.old, c.new, 1)
			if text == string(good) {
				t.Fatalf("%q is not in the file", c.old)
			}
			before, _, _ := strings.Cut(string(good), c.old)
			line := strings.Count(before, "\n") + 1
			want := strings.ReplaceAll(c.want, "LINE", strconv.Itoa(line))
			_, err := versions.Parse("versions.yml", []byte(text))
			if failure.ExitCode(err) != failure.ExitUsage {
				t.Errorf("exit code %d, want %d", failure.ExitCode(err), failure.ExitUsage)
			}
			lines := failure.Lines(err)
			if len(lines) != 1 || !strings.Contains(lines[0], want) {
				t.Errorf("got  %q\nwant %q", lines, want)
			}
		})
	}
}

func TestAllMistakesAreListedAtOnce(t *testing.T) {
	_, err := versions.Parse("versions.yml", []byte("netbox: {release: 4.7.x}\nbase: {local: {suite: trixie}}\n"))
	// release, previous, published, two majors, two images, the container, three lists of
	// repositories, epoch.
	if lines := failure.Lines(err); len(lines) != 12 {
		t.Errorf("got %d lines, want 12:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	if _, err := versions.Parse("versions.yml", nil); err == nil || err.Error() != "versions.yml:1: the file is empty" {
		t.Errorf("empty file: %v", err)
	}
}
