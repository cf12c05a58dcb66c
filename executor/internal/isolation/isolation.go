// Package isolation chooses where RUN runs: in namespaces or in place. It owns
// the words of --isolation and the rule behind "auto"; trying what is allowed is
// the isolated package's.
package isolation

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kaniko-suite/kaniko/executor/internal/isolated"
)

// Mode is a value of --isolation.
type Mode string

// The values.
const (
	Auto       Mode = "auto"       // namespaces if they can be had, else in place
	InPlace    Mode = "in-place"   // this container's own root
	Namespaces Mode = "namespaces" // namespaces, or an error
)

// Parse takes a value of --isolation.
func Parse(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Auto, InPlace, Namespaces:
		return m, nil
	}
	return "", fmt.Errorf("--isolation is %q: it must be auto, in-place or namespaces", s)
}

// Choice is where RUN runs.
type Choice struct {
	// Grant is what [isolated.Enter] takes; nil means in place.
	Grant *isolated.Grant
	// Reason says why auto did not choose namespaces.
	Reason error
}

// errSingleID keeps auto from a namespace in which root could do less than it can
// outside.
var errSingleID = errors.New("a user namespace is allowed with a single user id only, so that files could have no other owner")

// Choose finds out where RUN runs. With Namespaces an *[isolated.Refused] says
// what was tried; with Auto the same is the Choice's Reason.
func Choose(ctx context.Context, m Mode, dirs []isolated.StateDir) (Choice, error) {
	return choose(ctx, m, os.Geteuid() == 0, func(ctx context.Context) (*isolated.Grant, error) {
		return isolated.Probe(ctx, dirs)
	})
}

func choose(ctx context.Context, m Mode, root bool, probe func(context.Context) (*isolated.Grant, error)) (Choice, error) {
	if m == InPlace {
		return Choice{}, nil
	}
	g, err := probe(ctx)
	var refused *isolated.Refused
	switch {
	case m == Auto && errors.As(err, &refused):
		return Choice{Reason: err}, nil
	case err != nil:
		return Choice{}, err
	case m == Auto && root && g.SingleID():
		return Choice{Reason: errSingleID}, nil
	}
	return Choice{Grant: g}, nil
}
