// Command rewrite rewrites the last layers of an image, with no time in them after
// SECONDS since 1970:
//
//	rewrite ARCHIVE DIR LAST SECONDS
//
// ARCHIVE is an OCI archive, DIR a new directory for the OCI layout, LAST the number of
// layers. It runs in Dagger's engine, which caches the result by content: compressing
// the layers takes longer than everything else in a build without changes.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/linuxserver/docker-netbox/pipeline/engine/dagger/layers"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: rewrite ARCHIVE DIR LAST SECONDS")
		os.Exit(2)
	}
	if err := rewrite(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func rewrite(archive, dir, last, seconds string) (err error) {
	count, err := strconv.Atoi(last)
	epoch, epochErr := strconv.ParseInt(seconds, 10, 64)
	if err := errors.Join(err, epochErr); err != nil {
		return err
	}
	work := dir + ".work" // the container has no /tmp
	if err := os.Mkdir(work, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	img, err := layers.ReadArchive(archive, work)
	if err != nil {
		return err
	}
	if img, err = layers.WithTimes(img, count, time.Unix(epoch, 0), work); err != nil {
		return err
	}
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return l.AppendImage(img)
}
