package isolated

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Mode is a value of --isolation: where RUN runs.
type Mode string

// The values.
const (
	Auto       Mode = "auto"       // namespaces if they can be had, else in place
	InPlace    Mode = "in-place"   // this container's own root
	Namespaces Mode = "namespaces" // namespaces, or an error
)

// ParseMode takes a value of --isolation.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case Auto, InPlace, Namespaces:
		return m, nil
	}
	return "", fmt.Errorf("--isolation is %q: it must be auto, in-place or namespaces", s)
}

// Choice is where RUN runs.
type Choice struct {
	// Grant is what [Enter] takes; nil means in place.
	Grant *Grant
	// Reason says why auto did not choose namespaces.
	Reason error
}

// errSingleID keeps auto from a namespace in which root could do less than it can
// outside.
var errSingleID = errors.New("a user namespace is allowed with a single user id only, so that files could have no other owner")

// Choose finds out where RUN runs. With Namespaces an *[Refused] says
// what was tried; with Auto that is the Choice's Reason.
func Choose(ctx context.Context, m Mode, dirs []StateDir) (Choice, error) {
	return choose(ctx, m, os.Geteuid() == 0, func(ctx context.Context) (*Grant, error) {
		return Probe(ctx, dirs)
	})
}

func choose(ctx context.Context, m Mode, root bool, probe func(context.Context) (*Grant, error)) (Choice, error) {
	if m == InPlace {
		return Choice{}, nil
	}
	g, err := probe(ctx)
	var refused *Refused
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
