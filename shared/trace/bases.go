package trace

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kaniko-suite/kaniko/shared/plan"
)

// Bases makes a span of each question for a base image; it is b itself if tracing is off.
func (p *Provider) Bases(b plan.Bases) plan.Bases {
	if !p.on() {
		return b
	}
	return tracedBases{p, b}
}

type tracedBases struct {
	p    *Provider
	next plan.Bases
}

// Resolve implements [plan.Bases].
func (b tracedBases) Resolve(ctx context.Context, ref string, platform v1.Platform) (*plan.Image, error) {
	ctx, end := b.p.timed(ctx, "resolve", attribute.String("kaniko.image.name", ref), attribute.String("kaniko.platform", platform.String()))
	img, err := b.next.Resolve(ctx, ref, platform)
	if err == nil {
		oteltrace.SpanFromContext(ctx).SetAttributes(attribute.String("kaniko.image.digest", img.Digest.String()))
	}
	end(err)
	return img, err
}
