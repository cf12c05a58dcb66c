package cli

import (
	"context"
	"io"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

const maxIndexManifest = 16 << 20 // bytes

func (d *differ) compare(ctx context.Context, tracing *trace.Provider, a, b string) (*compare.Result, error) {
	if err := registry.TrustRoots(); err != nil {
		return nil, err
	}
	if err := d.registry.Check(); err != nil {
		return nil, err
	}
	client := registry.New(registry.Config{
		Options: d.registry, Keychain: keychain.New(d.keychain.From(d.env.Getenv)), UserAgent: "kaniko/" + command.Release,
		Warn: func(text string) { d.env.Log.Warn(text) }, Wrap: tracing.Transport, Observe: tracing.Transfers(),
	})
	d.options.Entered = func(ctx context.Context, l compare.Level, platform string) (context.Context, func()) {
		d.env.Log.Debug("compare", "level", l.String(), "platform", platform)
		ctx, end := tracing.Part(ctx, "compare "+l.String())
		return ctx, func() { end(nil) }
	}
	x, y, same, err := heads(ctx, client, a, b)
	if err != nil {
		return nil, err
	}
	if same {
		return compare.SameDigest(x, y, d.options), nil
	}
	left, err := open(ctx, client, a)
	if err != nil {
		return nil, err
	}
	right, err := open(ctx, client, b)
	if err != nil {
		return nil, err
	}
	return compare.Compare(ctx, left, right, d.options)
}

// heads asks for two digests, if both are references.
func heads(ctx context.Context, client *registry.Client, a, b string) (x, y compare.Side, same bool, err error) {
	if strings.HasPrefix(a, "oci:") || strings.HasPrefix(b, "oci:") {
		return x, y, false, nil
	}
	left, err := client.Head(ctx, a)
	if err != nil {
		return x, y, false, err
	}
	right, err := client.Head(ctx, b)
	return compare.Side{Name: a, Digest: left.String()}, compare.Side{Name: b, Digest: right.String()}, left == right, err
}

func open(ctx context.Context, client *registry.Client, spec string) (compare.Subject, error) {
	s := compare.Subject{Name: spec}
	if dir, ok := strings.CutPrefix(spec, "oci:"); ok {
		path, err := layout.FromPath(dir)
		if err != nil {
			return s, err
		}
		s.Index, err = path.ImageIndex()
		return s, err
	}
	ref, err := client.Reference(spec)
	if err != nil {
		return s, err
	}
	m, err := client.Manifest(ctx, ref, maxIndexManifest)
	if err != nil {
		return s, err
	}
	if m.MediaType.IsIndex() {
		s.Index = &remoteIndex{ctx, client, ref.Context(), m}
		return s, nil
	}
	img, err := client.Open(ctx, spec, m.Digest)
	s.Image = ranged{img}
	return s, err
}

type remoteIndex struct {
	ctx    context.Context
	client *registry.Client
	repo   name.Repository
	m      *registry.Manifest
}

func (i *remoteIndex) MediaType() (types.MediaType, error) { return i.m.MediaType, nil }
func (i *remoteIndex) Digest() (v1.Hash, error)            { return i.m.Digest, nil }
func (i *remoteIndex) Size() (int64, error)                { return int64(len(i.m.Raw)), nil }
func (i *remoteIndex) RawManifest() ([]byte, error)        { return i.m.Raw, nil }
func (i *remoteIndex) IndexManifest() (*v1.IndexManifest, error) {
	return v1.ParseIndexManifest(bytes.NewReader(i.m.Raw))
}
func (i *remoteIndex) Image(h v1.Hash) (v1.Image, error) {
	img, err := i.client.Open(i.ctx, i.repo.Digest(h.String()).Name(), h)
	return ranged{img}, err
}
func (i *remoteIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	return nil, errors.New("an index in an index")
}

type ranged struct{ *registry.Image }

func (r ranged) Layers() ([]v1.Layer, error) {
	layers, err := r.Image.Layers()
	for i, l := range layers {
		if of, ok := layer.As[*registry.Layer](l); ok {
			layers[i] = rangedLayer{of}
		}
	}
	return layers, err
}

type rangedLayer struct{ *registry.Layer }

func (l rangedLayer) Range(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	r, err := l.OpenAt(ctx, offset)
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, length), r}, nil
}
