package base

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// nativePackages contain the programs that do most of the work of an installation:
// they decompress, copy, search and hash, with the same results on any architecture.
// Of dpkg only dpkg-deb is used, because dpkg itself depends on the architecture.
var nativePackages = []string{"coreutils", "diffutils", "dpkg", "findutils", "grep", "openssl", "perl-base", "sed", "tar"}

const (
	// addNative unpacks $NATIVE, a layer of nativePackages, into a root of another
	// architecture and links its loader and libraries, whose names differ from
	// those of the root. Debian's base-files checks where lib64 points.
	addNative = `set -eu; cd "$1"; mkdir native
tar --extract --gzip --file="$NATIVE" --directory=native
for file in native/usr/lib64 native/usr/lib/ld-* native/usr/lib/*-linux-gnu; do
	place=${file#native/}
	[ ! -e "$file" ] || [ -e "$place" ] || ln -s "/$file" "$place"
done
[ ! -L usr/lib64 ] || ln -s usr/lib64 lib64
for script in deb-systemd-helper update-rc.d; do
	sed '1s|^#! */|#!/native/|' usr/*bin/"$script" >"native/usr/bin/$script"
	chmod 755 "native/usr/bin/$script"
done`
	// removeNative removes what addNative added.
	removeNative = `set -eu; cd "$1"; [ ! -L usr/lib64 ] || rm lib64
find usr usr/lib -maxdepth 1 -lname '/native/*' -delete; rm -r native`

	nativePath = "/native/usr/bin"
)

// nativePrograms returns the file of a layer of nativePackages for this machine.
// In a root of another architecture they take precedence over its own programs,
// which would be emulated. mmdebstrap then takes 211 s instead of 539 s, and the
// layer is identical.
func (b *Builder) nativePrograms(ctx context.Context, apt apt) (string, error) {
	_, file, err := b.debianEntry(ctx, debian{
		name:    "native",
		arch:    runtime.GOARCH,
		variant: "extract",
		include: nativePackages,
		apt:     apt,
		level:   gzip.BestSpeed,
		exclude: excludedFromNative,
	})
	if err != nil {
		return "", fmt.Errorf("make the programs of this machine that install packages: %w", err)
	}
	return file, nil
}

// excludedFromNative reports whether a path is neither a program nor a library.
func excludedFromNative(path string) bool {
	if program, ok := strings.CutPrefix(path, "usr/bin/"); ok {
		return program != "dpkg-deb" && (strings.HasPrefix(program, "dpkg") || program == "update-alternatives")
	}
	return !strings.HasPrefix(path, "usr/lib/ld-") && !strings.HasPrefix(path, "usr/lib64/") && !strings.Contains(path, "-linux-gnu/") || strings.Contains(path, "/gconv/")
}

// withNative returns mmdebstrap's options and environment for native programs.
func withNative(file string) (args, environ []string) {
	return []string{
			"--extract-hook=" + addNative,
			"--customize-hook=" + removeNative,
			`--aptopt=DPkg::Path "` + nativePath + `:/usr/sbin:/usr/bin:/sbin:/bin"`,
		}, []string{
			"NATIVE=" + file,
			"PATH=" + nativePath + string(filepath.ListSeparator) + os.Getenv("PATH"),
		}
}
