package cli

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kaniko-suite/kaniko/cachegc/internal/apply"
	"github.com/kaniko-suite/kaniko/cachegc/internal/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
)

func TestJudge(t *testing.T) {
	plain := errors.New("plain")
	unsupportedErr := &apply.UnsupportedError{Place: "p", Err: fmt.Errorf("%w: %w", plain, registry.ErrUnsupported)}
	large := &plan.LargeError{Place: "p"}
	late := fmt.Errorf("late: %w", context.DeadlineExceeded)
	rest := &registry.RestError{Host: "h", Until: time.Unix(0, 0)}
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"plain":                         {plain, 1},
		"unsupported":                   {unsupportedErr, 4},
		"large":                         {large, 3},
		"clock":                         {&ClockError{}, 3},
		"late":                          {late, 5},
		"told to wait":                  {rest, 5},
		"a registry's own code":         {&registry.Error{Attempt: "pull", Status: 401, Err: plain}, 1},
		"name":                          {&registry.ReferenceError{}, 2},
		"late and large":                {errors.Join(late, large), 3},
		"large and unsupported":         {errors.Join(errors.Join(large), unsupportedErr), 4},
		"unsupported and something":     {errors.Join(unsupportedErr, plain), 1},
		"the time is over, several":     {fmt.Errorf("over: %w", errors.Join(late, late)), 5},
		"the time is over, and refused": {fmt.Errorf("over: %w", errors.Join(late, large)), 3},
	} {
		err := (&runner{}).judge(context.Background(), c.err)
		var coder interface{ ExitCode() int }
		if !errors.As(err, &coder) || coder.ExitCode() != c.want {
			t.Errorf("%s: %v ends in %d, want %d", name, err, coder.ExitCode(), c.want)
		}
	}
}
