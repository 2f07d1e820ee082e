package failure_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/linuxserver/docker-netbox/pipeline/failure"
)

func TestExitCodes(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		code int
	}{
		{"nothing failed", nil, failure.ExitGood},
		{"a check failed", errors.New("broken"), failure.ExitCheck},
		{"wrong use", failure.Usagef("no such flag"), failure.ExitUsage},
		{"wrong use, with what was being done around it", fmt.Errorf("start: %w", failure.Usagef("no such flag")), failure.ExitUsage},
		{"a nil that was marked", failure.Usage(nil), failure.ExitGood},
	} {
		if code := failure.ExitCode(test.err); code != test.code {
			t.Errorf("%s: %d, want %d", test.name, code, test.code)
		}
	}
}

func TestEveryJoinedErrorIsOneLine(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want []string
	}{
		{"none", nil, nil},
		{"one", errors.New("broken"), []string{"broken"}},
		{"several", errors.Join(errors.New("one"), errors.Join(errors.New("two"), errors.New("three"))), []string{"one", "two", "three"}},
		{"of several lines", errors.New("broken:\n\n  here\n  and there\n"), []string{"broken:; here; and there"}},
		{"an interruption", fmt.Errorf("build: %w", context.Canceled), []string{"interrupted: everything that was started has been stopped"}},
	} {
		if got := failure.Lines(test.err); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
