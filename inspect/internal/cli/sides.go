package cli

import (
	"context"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/inspect/internal/source"
)

// compareSources opens both sides and compares them; where two references have one digest,
// it opens neither.
func (s *session) compareSources(ctx context.Context, a, b string, o compare.Options) (*compare.Result, error) {
	o.Entered = func(ctx context.Context, l compare.Level, platform string) (context.Context, func()) {
		s.env.Log.Debug("compare", "depth", l.String(), "platform", platform)
		ctx, end := s.tracing.Part(ctx, "compare "+l.String())
		return ctx, func() { end(nil) }
	}
	if source.IsReference(a) && source.IsReference(b) {
		x, y, err := s.heads(ctx, a, b)
		if err != nil {
			return nil, err
		}
		if x.Digest == y.Digest {
			return compare.SameDigest(x, y, o), nil
		}
	}
	left, err := s.subject(ctx, a)
	if err != nil {
		return nil, err
	}
	right, err := s.subject(ctx, b)
	if err != nil {
		return nil, err
	}
	return compare.Compare(ctx, left, right, o)
}

// heads asks what two references stand for.
func (s *session) heads(ctx context.Context, a, b string) (x, y compare.Side, err error) {
	left, err := s.client.Head(ctx, a)
	if err != nil {
		return x, y, err
	}
	right, err := s.client.Head(ctx, b)
	return compare.Side{Name: a, Digest: left.String()}, compare.Side{Name: b, Digest: right.String()}, err
}

// subject opens what is to be compared.
func (s *session) subject(ctx context.Context, spec string) (compare.Subject, error) {
	opened, err := source.Open(ctx, s.client, spec)
	if err != nil {
		return compare.Subject{}, err
	}
	return compare.Subject{Name: spec, Image: opened.Image, Index: opened.Index, Bare: opened.Bare}, nil
}
