// Command ci is the project's command line: `go run ./ci VERB`. It imports the
// library under pipeline, never the reverse. It prints results to standard output
// and everything else to standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal kills the process: the first one restores the default handling.
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr}, os.Getenv)
	stop()
	os.Exit(code)
}

// streams are the standard streams, passed in so that a test can read them.
type streams struct {
	out, err io.Writer
}

// run runs the command line and returns its exit code.
func run(ctx context.Context, args []string, std streams, getenv func(string) string) int {
	var written counter
	std.out = io.MultiWriter(&written, std.out) // counts a write that fails, too
	root, sink := newRoot(std, getenv)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil && written == 0 && wantsJSON(cmd, args) {
		err = errors.Join(err, env{streams: std}.printJSON(failed{Errors: failure.Lines(err), Status: failure.ExitCode(err)}))
	}
	for _, line := range failure.Lines(unprinted(err)) {
		fmt.Fprintln(std.err, line)
		sink.Error(line)
	}
	return failure.ExitCode(err)
}

// failed is the JSON result of a verb that failed before it printed one.
type failed struct {
	Errors []string `json:"errors"`
	Status int      `json:"status"` // the exit status
}

// wantsJSON reports whether --json is set, even after a flag that failed to parse.
func wantsJSON(cmd *cobra.Command, args []string) bool {
	flag := cmd.Flags().Lookup("json")
	return flag != nil && (flag.Value.String() == "true" || slices.Contains(args, "--json"))
}

// counter is a writer that counts the bytes written to it.
type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// unprinted returns err without the errors that were already printed.
func unprinted(err error) error {
	return errors.Join(slices.DeleteFunc(failure.All(err), func(err error) bool {
		_, printed := errors.AsType[printedError](err)
		return printed
	})...)
}
