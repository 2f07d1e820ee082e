package sbom_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/imagesize"
	"github.com/linuxserver/docker-netbox/pipeline/sbom"
)

type list = []sbom.Package

func TestAListIsReadAsSyftWroteIt(t *testing.T) {
	got, err := sbom.ParseTable([]byte("NAME             VERSION             TYPE\n" +
		"Simple Launcher  1.1.0.14            binary     (+5 duplicates)\n" +
		"adduser          3.152               deb\n" +
		"libc6            2.41-12+deb13u1     deb                         \n" +
		"unknown                              go-module  (+1 duplicate)\n" +
		"attrs            26.1.0              python\n"))
	want := list{{"Simple Launcher", "1.1.0.14", "binary"}, {"adduser", "3.152", "deb"}, {"attrs", "26.1.0", "python"}, {"libc6", "2.41-12+deb13u1", "deb"}, {"unknown", "", "go-module"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
	for name, text := range map[string]string{
		"empty": "", "something else": "<html>\n", "columns in another order": "NAME TYPE VERSION\n",
		"a line without a type": "NAME  VERSION  TYPE\nbash  5\n",
	} {
		if got, err := sbom.ParseTable([]byte(text)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestADocumentOfAnotherSortHasNoPackages(t *testing.T) {
	for _, text := range []string{"", "{}", `{"bomFormat": "SPDX"}`, "[1]"} {
		if got, err := sbom.ParseCycloneDX([]byte(text)); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestADifferenceNamesEachPackageOnce(t *testing.T) {
	before := map[string]list{
		"linux/amd64": {{"bash", "1", "deb"}, {"gone", "1", "deb"}, {"grep", "1", "deb"}, {"netbox", "4.7.2", "python"}, {"same", "1", "deb"}, {"twice", "1", "npm"}, {"twice", "2", "npm"}},
		"linux/arm64": {{"bash", "1", "deb"}, {"gone", "1", "deb"}, {"grep", "1+b1", "deb"}, {"netbox", "4.7.2", "python"}, {"same", "1", "deb"}},
		"linux/386":   {{"bash", "0", "deb"}},
	}
	after := map[string]list{
		"linux/amd64": {{"bash", "2", "deb"}, {"grep", "2", "deb"}, {"netbox", "4.7.3", "python"}, {"netbox", "1", "deb"}, {"same", "1", "deb"}, {"twice", "2", "npm"}},
		"linux/arm64": {{"bash", "2", "deb"}, {"grep", "2+b1", "deb"}, {"netbox", "4.7.3", "python"}, {"same", "1", "deb"}},
		"linux/s390x": {{"bash", "3", "deb"}},
	}
	both := []string{"linux/amd64", "linux/arm64"}
	want := []sbom.Change{
		{"netbox", "python", "4.7.2", "4.7.3", both},
		{"bash", "deb", "1", "2", both},
		{"gone", "deb", "1", "", both},
		{"grep", "deb", "1", "2", both[:1]},
		{"grep", "deb", "1+b1", "2+b1", both[1:]},
		{"netbox", "deb", "", "1", both[:1]},
		{"twice", "npm", "1, 2", "2", both[:1]},
	}
	held := func(lists map[string]list) map[string]sbom.Contents {
		all := map[string]sbom.Contents{}
		for platform, packages := range lists {
			all[platform] = sbom.Contents{Packages: packages}
		}
		return all
	}
	got := sbom.Compare(&sbom.Baseline{Images: held(before)}, held(after)).Packages
	same := func(a, b sbom.Change) bool {
		return a.String() == b.String() && a.Type == b.Type && slices.Equal(a.Platforms, b.Platforms)
	}
	if !slices.EqualFunc(got, want, same) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if counts := sbom.Counts(got); counts != "packages: 5 changed, 1 added, 1 removed" {
		t.Errorf("counted as %q", counts)
	}
	var text bytes.Buffer
	if err := sbom.Text(&text, got[2:5], both); err != nil {
		t.Fatal(err)
	}
	if want := "  deb  gone  removed, was 1\n  deb  grep  1 -> 2          linux/amd64\n  deb  grep  1+b1 -> 2+b1    linux/arm64\n"; text.String() != want {
		t.Errorf("printed as\n%s\nwant\n%s", &text, want)
	}
}

func TestWhatIsNotKnownIsNotTakenForUnchanged(t *testing.T) {
	groups := []imagesize.Group{{Name: "base", Size: 10}, {Name: "NetBox", Size: 5}}
	d := sbom.Compare(&sbom.Baseline{
		Since:  sbom.Since{Reference: "r", Version: "v4.7.2-ls1"},
		Images: map[string]sbom.Contents{"linux/amd64": {Groups: groups}},
	}, map[string]sbom.Contents{
		"linux/amd64": {Packages: list{{"netbox", "4.7.3", "python"}}, Groups: []imagesize.Group{{Name: "base", Size: 11}, {Name: "static", Size: 1}}},
		"linux/arm64": {Packages: list{{"netbox", "4.7.3", "python"}}},
	})
	if len(d.Packages) != 0 || len(d.Platforms) != 0 || d.NetBox != nil || d.Headline() != "it is not known which packages have changed since v4.7.2-ls1" {
		t.Errorf("got %+v: %s", d, d.Headline())
	}
	if want := []string{"linux/arm64: no image of it was published"}; !slices.Equal(d.Unknown, want) {
		t.Errorf("unknown: %q", d.Unknown)
	}
	want := []sbom.Size{{"linux/amd64", "base", 10, 11}, {"linux/amd64", "static", 0, 1}, {"linux/amd64", "NetBox", 5, 0}}
	if !slices.Equal(d.Sizes, want) {
		t.Errorf("sizes %v, want %v", d.Sizes, want)
	}
	if first := sbom.Compare(nil, nil); first.Since != nil || first.Headline() != "nothing is published yet" {
		t.Errorf("the first release: %+v", first)
	}
}

func TestADifferenceIsReadBackFromJSON(t *testing.T) {
	d := sbom.Compare(&sbom.Baseline{
		Since:  sbom.Since{Reference: "r", Digest: "d"},
		Images: map[string]sbom.Contents{"linux/amd64": {Packages: list{{"netbox", "4.7.2", "python"}}}},
	}, map[string]sbom.Contents{"linux/amd64": {Packages: list{{"netbox", "4.7.3", "python"}}}})
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	var again sbom.Difference
	if err := json.Unmarshal(text, &again); err != nil || again.NetBox == nil || again.NetBox.String() != "netbox 4.7.2 -> 4.7.3" || again.Headline() != "package: 1 changed since r" {
		t.Errorf("%s became %+v, %v", text, again, err)
	}
}

func TestAnOutdatedListIsReported(t *testing.T) {
	now := list{{"bash", "2", "deb"}}
	for file, want := range map[string]string{
		"NAME  VERSION  TYPE\nbash  2        deb\n": "no package has changed",
		"NAME  VERSION  TYPE\nbash  1        deb\n": "package: 1 changed",
	} {
		if got, err := sbom.Outdated([]byte(file), now); err != nil || sbom.Counts(got) != want {
			t.Errorf("%q: %v, %v", file, got, err)
		}
	}
	if got, err := sbom.Outdated(nil, now); err != nil || sbom.Counts(got) != "package: 1 added" {
		t.Errorf("no list: %v, %v", got, err)
	}
	if _, err := sbom.Outdated([]byte("junk"), now); err == nil || !strings.Contains(err.Error(), "go run ./ci packages") {
		t.Errorf("junk: %v", err)
	}
}
