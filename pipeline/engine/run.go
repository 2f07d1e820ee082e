package engine

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Limit returns a context with the request's Timeout. When it expires, the
// context's cause is a *TimeoutError.
func (req RunRequest) Limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, req.Timeout, &TimeoutError{req.Timeout})
}

// Names returns the names of all containers, the main one first.
func (req RunRequest) Names() []string {
	names := []string{req.Main.Name}
	for _, side := range req.Sides {
		names = append(names, side.Name)
	}
	return names
}

// TimeoutError is the error of a run that exceeds its Timeout.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("not ended after %s", e.After) }

// Unwrap lets errors.Is match context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// Command returns the container's command line. The image's entrypoint and
// arguments are the defaults for those that the container does not set.
func (c Container) Command(entrypoint, args []string) []string {
	if c.Entrypoint != nil {
		entrypoint = c.Entrypoint
	}
	if c.Args != nil {
		args = c.Args
	}
	return slices.Concat(entrypoint, args)
}
