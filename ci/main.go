// Command ci is the project's command line: `go run ./ci VERB`. It knows the
// library under pipeline, never the other way round. Standard output carries
// the result, standard error everything meant for people.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends the process at once: the first one restores the
	// default handling.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}, os.Getenv)
	stop()
	os.Exit(code)
}

// streams are the process's own, handed in so that a test can read them.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, io streams, getenv func(string) string) int {
	root, sink := newRoot(io, getenv)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	for _, line := range failure.Lines(untold(err)) {
		fmt.Fprintln(io.err, line)
		sink.Error(line)
	}
	return failure.ExitCode(err)
}

// untold is err without what people have read already.
func untold(err error) error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var rest []error
		for _, e := range joined.Unwrap() {
			rest = append(rest, untold(e))
		}
		return errors.Join(rest...)
	}
	var told toldError
	if errors.As(err, &told) {
		return nil
	}
	return err
}
