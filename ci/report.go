package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/linuxserver/docker-netbox/pipeline"
	"github.com/linuxserver/docker-netbox/pipeline/failure"
	"github.com/linuxserver/docker-netbox/pipeline/progress"
	"github.com/linuxserver/docker-netbox/pipeline/report"
)

func newReport(e env) *cobra.Command {
	var open bool
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Show the result of the last check",
		Long: `Print the result of the last check, from dist/report, to standard output. With
--open, serve its page on loopback and open it in a browser until Ctrl-C;
standard output then carries the address. The exit status is 0 even if the check
failed.`,
		Example: `  go run ./ci report
  go run ./ci report --open
  go run ./ci report --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if open && e.flags.json {
				return failure.Usagef("%s: --open and --json exclude each other: leave one out", cmd.CommandPath())
			}
			dir := filepath.Join(e.flags.output, pipeline.CheckReport)
			r, err := report.Load(dir)
			if err != nil {
				return err
			}
			if open {
				return e.openReport(cmd.Context(), dir)
			}
			return e.print(r, func(w io.Writer) error { return r.Summary(w, progress.Width(w, e.getenv)) })
		},
	}
	cmd.Flags().BoolVar(&open, "open", false, "serve the report's page on loopback and open it in a browser")
	return cmd
}

// openReport serves the directory of a report until ctx ends. It reads the files for
// each request, so that a reload shows the report of the next check.
func (e env) openReport(ctx context.Context, dir string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve the report %s: %w", dir, err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: 10 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	url := fmt.Sprintf("http://%s/", listener.Addr())
	fmt.Fprintln(e.out, url)
	opener, err := e.lookPath("xdg-open")
	if err == nil {
		browser := exec.CommandContext(ctx, opener, url)
		if err = browser.Start(); err == nil {
			go func() { _ = browser.Wait() }() // xdg-open may run as long as the browser
		}
	}
	if err != nil {
		fmt.Fprintf(e.err, "open %s by hand: %v\n", url, err)
	}
	fmt.Fprintln(e.err, "Ctrl-C ends it")
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the report %s: %w", dir, err)
	}
	return nil
}
