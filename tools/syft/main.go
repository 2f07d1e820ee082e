// Syft lists the packages of an image in an OCI layout: Anchore's syft as a
// library, in half the code. go.mod replaces modules that no list of an image
// here needs by the few names under without/ that syft takes from them, and no
// driver for SQLite is linked, which only RPM's database is read by. An image
// that needs what is left out is an error. Where another version of syft does not
// compile, it takes further names: add them.
//
// Usage, like that of Anchore's program:
//
//	syft scan oci-dir:LAYOUT --platform OS/ARCH --source-name NAME --source-version VERSION --output FORMAT=FILE ...
package main

import (
	"context"
	"crypto"
	"database/sql"
	"database/sql/driver"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/anchore/stereoscope/pkg/image"
	"github.com/anchore/syft/syft"
	"github.com/anchore/syft/syft/cataloging"
	"github.com/anchore/syft/syft/cataloging/filecataloging"
	"github.com/anchore/syft/syft/format/cyclonedxjson"
	"github.com/anchore/syft/syft/format/spdxjson"
	"github.com/anchore/syft/syft/format/table"
	"github.com/anchore/syft/syft/sbom"
	"github.com/anchore/syft/syft/source"
)

// absent is how the error of whatever is left out ends.
const absent = "left out of this syft"

type sqlite struct{}

func (sqlite) Open(string) (driver.Conn, error) { return nil, errors.New("SQLite is " + absent) }

func main() {
	sql.Register("sqlite", sqlite{})
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "syft:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 || args[0] != "scan" {
		return errors.New("want scan and an image: see the head of tools/syft/main.go")
	}
	layout, ok := strings.CutPrefix(args[1], "oci-dir:")
	if !ok {
		return fmt.Errorf("read %s: want oci-dir: and a directory", args[1])
	}
	flags := flag.NewFlagSet("syft", flag.ContinueOnError)
	flags.Bool("quiet", true, "print errors only, as always")
	platform := flags.String("platform", "", "`OS/ARCH` of the image in the layout")
	name := flags.String("source-name", "", "`NAME` of the image in the documents")
	version := flags.String("source-version", "", "`VERSION` of the image in the documents")
	files := map[string]string{}
	flags.Func("output", "`FORMAT=FILE` to write", func(s string) error {
		format, file, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("want FORMAT=FILE")
		}
		files[format] = file
		return nil
	})
	if err := flags.Parse(args[2:]); err != nil {
		return err
	}
	encoders, err := encoders()
	if err != nil {
		return err
	}
	s, err := scan(ctx, layout, *platform, source.Alias{Name: *name, Version: *version})
	if err != nil {
		return err
	}
	for format, file := range files {
		encoder := encoders[format]
		if encoder == nil {
			return fmt.Errorf("write %s: there is no format %s", file, format)
		}
		f, err := os.Create(file)
		if err != nil {
			return err
		}
		if err := errors.Join(encoder.Encode(f, *s), f.Close()); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
	}
	return nil
}

func encoders() (map[string]sbom.FormatEncoder, error) {
	spdx, err := spdxjson.NewFormatEncoderWithConfig(spdxjson.DefaultEncoderConfig())
	if err != nil {
		return nil, err
	}
	cyclonedx, err := cyclonedxjson.NewFormatEncoderWithConfig(cyclonedxjson.DefaultEncoderConfig())
	if err != nil {
		return nil, err
	}
	return map[string]sbom.FormatEncoder{"spdx-json": spdx, "cyclonedx-json": cyclonedx, "syft-table": table.NewFormatEncoder()}, nil
}

func scan(ctx context.Context, layout, platform string, alias source.Alias) (*sbom.SBOM, error) {
	p, err := image.NewPlatform(platform)
	if err != nil {
		return nil, err
	}
	src, err := syft.GetSource(ctx, layout, syft.DefaultGetSourceConfig().WithSources("oci-dir").WithPlatform(p).WithAlias(alias))
	if err != nil {
		return nil, err
	}
	defer src.Close()
	// The same as from Anchore's program, whose defaults are not the library's.
	s, err := syft.CreateSBOM(ctx, src, syft.DefaultCreateSBOMConfig().
		WithFilesConfig(filecataloging.DefaultConfig().WithHashers(crypto.SHA1, crypto.SHA256)).
		WithUnknownsConfig(cataloging.DefaultUnknownsConfig()))
	if err != nil {
		return nil, err
	}
	for file, reasons := range s.Artifacts.Unknowns {
		for _, reason := range reasons {
			if strings.Contains(reason, absent) {
				return nil, fmt.Errorf("read %s: %s", file.RealPath, reason)
			}
		}
	}
	return s, nil
}
