package keychain

import (
	"context"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
)

// margin is how long before credentials are void they are fetched anew: a request
// that is under way with them is to arrive.
const margin = 2 * time.Minute

// Token is credentials for a while.
type Token struct {
	Auth  authn.AuthConfig
	Until time.Time // when they are void; zero is never
	From  string    // what they were made of, for people
}

// renewed are credentials that somebody has to be asked for: when they are first
// wanted, and again shortly before they are void. That nobody had any is remembered
// as well.
type renewed struct {
	source string
	fetch  func(ctx context.Context) (Token, error)
	turn   chan struct{} // holds one while somebody looks

	asked bool
	now   Token
	err   error
}

func newRenewed(source string, fetch func(context.Context) (Token, error)) *renewed {
	return &renewed{source: source, fetch: fetch, turn: make(chan struct{}, 1)}
}

// Source is where the credentials came from.
func (r *renewed) Source() string {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if r.now.From != "" {
		return r.source + ", " + r.now.From
	}
	return r.source
}

// Authorization is AuthorizationContext for those who have no context.
func (r *renewed) Authorization() (*authn.AuthConfig, error) {
	return r.AuthorizationContext(context.Background())
}

// AuthorizationContext asks, or repeats what was said lately.
func (r *renewed) AuthorizationContext(ctx context.Context) (*authn.AuthConfig, error) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if r.err != nil {
		return nil, r.err
	}
	if !r.asked || r.ends(margin) {
		if err := r.ask(ctx); err != nil {
			return nil, err
		}
	}
	a := r.now.Auth
	return &a, nil
}

// ends reports whether the credentials are void in a while.
func (r *renewed) ends(in time.Duration) bool {
	return !r.now.Until.IsZero() && time.Until(r.now.Until) < in
}

func (r *renewed) ask(ctx context.Context) error {
	t, err := r.fetch(ctx)
	switch {
	case err == nil:
		r.asked, r.now = true, t
		return nil
	case r.asked && !r.ends(0):
		return nil // what there is serves a little longer
	case ctx.Err() == nil && !r.asked:
		r.err = err
	}
	return err
}
