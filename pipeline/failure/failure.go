// Package failure maps errors to exit codes and formats each error as one line.
package failure

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Exit codes of every verb.
const (
	ExitGood  = 0 // success
	ExitCheck = 1 // a check failed
	ExitUsage = 2 // wrong use, or a missing prerequisite
)

// usage marks an error that the caller can fix without changing the repository: a
// wrong flag, a malformed file, a missing prerequisite.
type usage struct{ err error }

func (u usage) Error() string { return u.err.Error() }
func (u usage) Unwrap() error { return u.err }

// Usage marks err as wrong use or a missing prerequisite. A nil err stays nil.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return usage{err}
}

// Usagef is Usage(fmt.Errorf(format, args...)).
func Usagef(format string, args ...any) error {
	return Usage(fmt.Errorf(format, args...))
}

// ExitCode returns the exit code of a process that ends with err.
func ExitCode(err error) int {
	if err == nil {
		return ExitGood
	}
	if _, wrong := errors.AsType[usage](err); wrong {
		return ExitUsage
	}
	return ExitCheck
}

// All returns the errors that err joins, at any depth, or err alone when it joins none.
func All(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok && err != nil {
		return []error{err}
	}
	if ok {
		for _, e := range joined.Unwrap() {
			all = append(all, All(e)...)
		}
	}
	return all
}

// Lines returns one line for each error that err joins.
func Lines(err error) (lines []string) {
	if errors.Is(err, context.Canceled) {
		return []string{"interrupted: everything that was started has been stopped"}
	}
	for _, e := range All(err) {
		var fields []string
		for f := range strings.SplitSeq(e.Error(), "\n") {
			if f = strings.TrimSpace(f); f != "" {
				fields = append(fields, f)
			}
		}
		lines = append(lines, strings.Join(fields, "; "))
	}
	return lines
}
