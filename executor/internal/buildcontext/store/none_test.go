package store

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/object"
)

func TestNone(t *testing.T) {
	for _, s := range None(Options{}) {
		u, _ := url.Parse("x://b/o?sig=secret")
		_, err := s.Open(t.Context(), u)
		var e *object.Error
		if !errors.As(err, &e) || e.ExitCode() != 78 || !strings.Contains(e.Hint(), "full") || !strings.Contains(e.Error(), "x://b/o?sig=…") {
			t.Errorf("%s: %v", s.Form, err)
		}
	}
}
