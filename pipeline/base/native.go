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

// nativePackages hold the programs that do most of the work of an installation
// without knowing of an architecture: they decompress, copy, search and hash.
// dpkg itself does know, so it stays the image's own.
var nativePackages = []string{"coreutils", "diffutils", "dpkg", "findutils", "grep", "openssl", "perl-base", "sed", "tar"}

const (
	// addNative makes $NATIVE, a layer of nativePackages, run in a root of
	// another architecture: their libraries and loader have names of their own.
	// Debian's base-files insists on where lib64 points.
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
	// removeNative takes all of it back.
	removeNative = `set -eu; cd "$1"; [ ! -L usr/lib64 ] || rm lib64
find usr usr/lib -maxdepth 1 -lname '/native/*' -delete; rm -r native`

	nativePath = "/native/usr/bin"
)

// nativePrograms returns the file of a layer of nativePackages for this machine.
// In a root of another architecture they come before its own programs, which an
// emulator would run: mmdebstrap then takes 211 s instead of 539, and the layer
// is the same to the byte.
func (b *Builder) nativePrograms(ctx context.Context, apt apt) (string, error) {
	_, file, err := b.debianEntry(ctx, debian{
		name:    "native",
		arch:    runtime.GOARCH,
		variant: "extract",
		include: nativePackages,
		apt:     apt,
		level:   gzip.BestSpeed,
		drop:    droppedFromNative,
	})
	if err != nil {
		return "", fmt.Errorf("make the programs of this machine that install packages: %w", err)
	}
	return file, nil
}

// droppedFromNative leaves out all but the programs and their libraries.
func droppedFromNative(path string) bool {
	if program, ok := strings.CutPrefix(path, "usr/bin/"); ok {
		return program != "dpkg-deb" && (strings.HasPrefix(program, "dpkg") || program == "update-alternatives")
	}
	return !strings.HasPrefix(path, "usr/lib/ld-") && !strings.HasPrefix(path, "usr/lib64/") && !strings.Contains(path, "-linux-gnu/") || strings.Contains(path, "/gconv/")
}

// withNative are mmdebstrap's options and environment for native programs.
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
