package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/kaniko-suite/kaniko/shared/layer"
)

// Image is an image in a registry. Its layers are each a [Layer], and are read from
// the registry each time they are opened.
type Image struct {
	ctx    context.Context
	client *Client
	ref    name.Digest
	*content
	layers  []v1.Layer
	indexes []*manifest
}

var _ v1.Image = (*Image)(nil)

// content is what is known of an image, whoever asks.
type content struct {
	manifest
	parsed *v1.Manifest
	config memo[struct{}, []byte]

	once sync.Once
	file *v1.ConfigFile
	err  error
}

func (c *Client) image(ctx context.Context, repo name.Repository, m *manifest) (*Image, error) {
	shared, err := c.images.get(ctx, blobKey{repo.Name(), m.digest}, func(context.Context) (*content, error) {
		parsed, err := v1.ParseManifest(bytes.NewReader(m.raw))
		if err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", m.digest, err)
		}
		return &content{manifest: *m, parsed: parsed}, nil
	})
	if err != nil {
		return nil, err
	}
	i := &Image{ctx: ctx, client: c, ref: repo.Digest(m.digest.String()), content: shared}
	for _, b := range i.Blobs() {
		i.layers = append(i.layers, b)
	}
	return i, nil
}

// Ref is the image's repository and digest.
func (i *Image) Ref() name.Digest { return i.ref }

// Index is an index that has led to an image.
type Index struct {
	Digest    v1.Hash
	MediaType types.MediaType
	Raw       []byte // as the registry has it
}

// Indexes are those that the reference of [Client.Resolve] led through to the image,
// the one that it names first; empty if it names the image itself.
func (i *Image) Indexes() []Index {
	var all []Index
	for _, m := range i.indexes {
		all = append(all, Index{m.digest, m.mediaType, m.raw})
	}
	return all
}

// Platform is what the image's config says it is for, normalized.
func (i *Image) Platform() (v1.Platform, error) {
	f, err := i.ConfigFile()
	if err != nil {
		return v1.Platform{}, err
	}
	return Normalize(v1.Platform{OS: f.OS, Architecture: f.Architecture, Variant: f.Variant, OSVersion: f.OSVersion}), nil
}

// Layers are the image's layers, the lowest first.
func (i *Image) Layers() ([]v1.Layer, error) { return append([]v1.Layer(nil), i.layers...), nil }

// Blobs are the layers as what they are.
func (i *Image) Blobs() []*Layer {
	blobs := make([]*Layer, len(i.parsed.Layers))
	for n, d := range i.parsed.Layers {
		blobs[n] = &Layer{
			ctx: i.ctx, client: i.client, repo: i.ref.Context(), desc: d,
			sources: func() ([]name.Repository, error) { return i.client.sources(i.ref.Context(), i.from) },
			diffID:  func() (v1.Hash, error) { return i.diffID(n) },
		}
	}
	return blobs
}

// diffID is what the config says of the nth layer's content.
func (i *Image) diffID(n int) (v1.Hash, error) {
	f, err := i.ConfigFile()
	if err != nil {
		return v1.Hash{}, err
	}
	if len(f.RootFS.DiffIDs) != len(i.layers) {
		return v1.Hash{}, &layer.DamagedError{Err: fmt.Errorf("%s has %d layers and a config with %d", i.ref, len(i.layers), len(f.RootFS.DiffIDs))}
	}
	return f.RootFS.DiffIDs[n], nil
}

// MediaType is the manifest's.
func (i *Image) MediaType() (types.MediaType, error) { return i.mediaType, nil }

// Size is the manifest's, in bytes.
func (i *Image) Size() (int64, error) { return int64(len(i.raw)), nil }

// ConfigName is the config's digest.
func (i *Image) ConfigName() (v1.Hash, error) { return i.parsed.Config.Digest, nil }

// ConfigFile is the parsed config; it must not be changed.
func (i *Image) ConfigFile() (*v1.ConfigFile, error) {
	raw, err := i.RawConfigFile()
	if err != nil {
		return nil, err
	}
	i.once.Do(func() {
		i.file, i.err = v1.ParseConfigFile(bytes.NewReader(raw))
		if i.err != nil {
			i.err = fmt.Errorf("read config of %s: %w", i.ref, i.err)
		}
	})
	return i.file, i.err
}

// RawConfigFile is the config as the registry has it, fetched the first time.
func (i *Image) RawConfigFile() ([]byte, error) {
	d := i.parsed.Config
	raw, err := i.config.get(i.ctx, struct{}{}, func(ctx context.Context) ([]byte, error) {
		if d.Size > maxConfig {
			return nil, fmt.Errorf("the config is larger than %d bytes", maxConfig)
		}
		sources, err := i.client.sources(i.ref.Context(), i.from)
		if err != nil {
			return nil, err
		}
		r, err := i.client.blob(ctx, i.ref.Context(), sources, d, 0)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(verify(r, d))
	})
	if err != nil {
		return nil, i.client.failed("pull config of "+i.ref.Name(), pull, i.ref.Context(), err)
	}
	return raw, nil
}

// Digest is the manifest's.
func (i *Image) Digest() (v1.Hash, error) { return i.digest, nil }

// Manifest is the parsed manifest; it must not be changed.
func (i *Image) Manifest() (*v1.Manifest, error) { return i.parsed, nil }

// RawManifest is the manifest as the registry has it.
func (i *Image) RawManifest() ([]byte, error) { return i.raw, nil }

// LayerByDigest finds a layer by its compressed digest.
func (i *Image) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	for n, d := range i.parsed.Layers {
		if d.Digest == h {
			return i.layers[n], nil
		}
	}
	return nil, fmt.Errorf("%s has no layer %s: %w", i.ref, h, ErrNotFound)
}

// LayerByDiffID finds a layer by its uncompressed digest.
func (i *Image) LayerByDiffID(h v1.Hash) (v1.Layer, error) {
	for _, l := range i.layers {
		if id, err := l.DiffID(); err != nil {
			return nil, err
		} else if id == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("%s has no layer of content %s: %w", i.ref, h, ErrNotFound)
}

// Located is a layer that is in a registry, from where another of its repositories
// can take it over.
type Located interface{ Ref() name.Digest }

// Placed is a layer that was brought to a registry.
type Placed struct {
	v1.Layer
	At name.Digest // the repository, and the layer's digest
}

// Ref implements [Located].
func (p *Placed) Ref() name.Digest { return p.At }

// Unwrap is the layer as it is elsewhere.
func (p *Placed) Unwrap() v1.Layer { return p.Layer }

// Layer is a layer in a repository, of an [Image] or by itself.
type Layer struct {
	ctx    context.Context
	client *Client
	repo   name.Repository
	desc   v1.Descriptor
	diffID func() (v1.Hash, error)
	// sources are where it is pulled from; nil for repo itself.
	sources func() ([]name.Repository, error)
}

var _ v1.Layer = (*Layer)(nil)

// Layer is a layer that a repository has beside any image, such as one of a cache:
// who knows of it says what it is. It is read from the repository, never a mirror. Nothing is asked until it is read; ctx governs
// its reads.
func (c *Client) Layer(ctx context.Context, repo name.Repository, d v1.Descriptor, diffID v1.Hash) *Layer {
	return &Layer{
		ctx: ctx, client: c, repo: repo, desc: d,
		diffID: func() (v1.Hash, error) { return diffID, nil },
	}
}

// Ref is where the layer is: its repository and digest.
func (l *Layer) Ref() name.Digest { return l.repo.Digest(l.desc.Digest.String()) }

// Digest is that of the bytes the registry has.
func (l *Layer) Digest() (v1.Hash, error) { return l.desc.Digest, nil }

// DiffID is the digest of the content, as an image's config gives it.
func (l *Layer) DiffID() (v1.Hash, error) { return l.diffID() }

// Size is how many bytes the registry has.
func (l *Layer) Size() (int64, error) { return l.desc.Size, nil }

// MediaType is what the manifest says of the layer.
func (l *Layer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }

// Descriptor is the layer's entry in the manifest, annotations, URLs and all.
func (l *Layer) Descriptor() (*v1.Descriptor, error) { return l.desc.DeepCopy(), nil }

// Compressed reads the layer as the registry has it. Digest and size are
// checked: io.EOF is read only of content that is what it should be.
func (l *Layer) Compressed() (io.ReadCloser, error) {
	return l.open(l.ctx, 0, func(r io.ReadCloser) io.ReadCloser { return verify(r, l.desc) })
}

// Uncompressed is the layer's tar archive; see [Layer.Compressed].
func (l *Layer) Uncompressed() (io.ReadCloser, error) {
	r, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	return layer.Decompress(r)
}

// OpenAt reads the layer as the registry has it from an offset in bytes, and
// goes on where it was when the connection breaks. It checks neither digest nor
// size: that is for who has the bytes before off.
func (l *Layer) OpenAt(ctx context.Context, off int64) (io.ReadCloser, error) {
	return l.open(ctx, off, func(r io.ReadCloser) io.ReadCloser { return r })
}

func (l *Layer) open(ctx context.Context, off int64, around func(io.ReadCloser) io.ReadCloser) (io.ReadCloser, error) {
	client, repo := l.client, l.repo
	where := l.Ref().Name()
	wrap := func(err error) error { return client.failed("pull layer "+where, pull, repo, err) }
	ctx, moved, done := client.cfg.Observe(ctx, "pull", where, l.desc.Size-off)
	sources := []name.Repository{repo}
	var err error
	if l.sources != nil {
		sources, err = l.sources()
	}
	var r io.ReadCloser
	if err == nil {
		r, err = client.blob(ctx, repo, sources, l.desc, off)
	}
	if err != nil {
		err = wrap(err)
		done(err)
		return nil, err
	}
	return &observed{r: around(r), moved: moved, done: done, wrap: wrap}, nil
}

// observed tells of bytes as they are read and wraps what goes wrong.
type observed struct {
	r     io.ReadCloser
	moved func(int64)
	done  func(error)
	wrap  func(error) error
	err   error
	once  sync.Once
}

func (o *observed) Read(p []byte) (int, error) {
	n, err := o.r.Read(p)
	if n > 0 {
		o.moved(int64(n))
	}
	if err != nil && err != io.EOF {
		err = o.wrap(err)
		o.err = err
	}
	return n, err
}

func (o *observed) Close() error {
	err := o.r.Close()
	o.once.Do(func() { o.done(o.err) })
	return err
}
