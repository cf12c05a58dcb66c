package cli

import (
	"context"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"errors"
	"fmt"
)

type prov struct{ c *registry.Client; tag name.Tag; no bool }

func (p prov) Layer(ctx context.Context, l v1.Layer) error { if p.no {return nil}; return p.c.PushLayer(ctx, p.tag.Context(), l) }
func (p prov) Image(ctx context.Context, img v1.Image) error {
	d, err := img.Digest(); fmt.Println(d, err)
	if p.no {return nil}
	return p.c.PushImage(ctx, p.tag, img) }

func (b *builder) exporter(ctx context.Context) (engine.Exporter, error) {
	if b.flags.noPush { return prov{no:true}, nil }
	t, err := b.client.Tag(b.flags.destinations[0])
	return prov{b.client, t, false}, err
}
func (b *builder) keychain() authn.Keychain { return authn.DefaultKeychain }
func (b *builder) inPlace(string) (sandbox.Driver, error) { return nil, errors.New("in place: soon") }
func (b bases) Image(ctx context.Context, p *plan.Image) (v1.Image, error) { return b.client.Open(ctx, p.Ref, p.Digest) }
