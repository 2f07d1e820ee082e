package engine

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Limit bounds ctx by the request's Timeout. A run that is over it ends with a
// TimeoutError as the cause.
func (req RunRequest) Limit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, req.Timeout, &TimeoutError{req.Timeout})
}

// Names are those of all containers, the main one first.
func (req RunRequest) Names() []string {
	names := []string{req.Main.Name}
	for _, side := range req.Sides {
		names = append(names, side.Name)
	}
	return names
}

// TimeoutError is the error of a run that is over its Timeout.
type TimeoutError struct{ After time.Duration }

func (e *TimeoutError) Error() string { return fmt.Sprintf("not ended after %s", e.After) }

// Unwrap makes it a context.DeadlineExceeded.
func (e *TimeoutError) Unwrap() error { return context.DeadlineExceeded }

// Command is what the container runs: its own entrypoint and arguments, and
// those of its image where it has none.
func (c Container) Command(entrypoint, args []string) []string {
	if c.Entrypoint != nil {
		entrypoint = c.Entrypoint
	}
	if c.Args != nil {
		args = c.Args
	}
	return slices.Concat(entrypoint, args)
}
