package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kaniko-suite/kaniko/inspect/internal/compare"
	"github.com/kaniko-suite/kaniko/shared/command"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/progress"
	"github.com/kaniko-suite/kaniko/shared/registry"
	"github.com/kaniko-suite/kaniko/shared/registry/keychain"
	"github.com/kaniko-suite/kaniko/shared/trace"
)

// The prefixes of what is no reference.
const (
	inLayout  = "oci:"
	inArchive = "docker-archive:"
	inTar     = "tar:"
	inDir     = "dir:"
)

// compare opens both sides and compares them; where two references have one digest,
// it opens neither.
func (d *differ) compare(ctx context.Context, tracing *trace.Provider, a, b string) (*compare.Result, error) {
	if err := registry.TrustRoots(); err != nil {
		return nil, err
	}
	if err := d.registry.Check(); err != nil {
		return nil, err
	}
	screen := d.env.Terminal()
	shown := progress.New(progress.Options{Log: d.env.Log, Output: d.env.Stderr, Screen: screen})
	if screen != nil {
		d.env.LogTo(shown.Writer())
		defer d.env.LogTo(d.env.Stderr)
	}
	defer shown.Close()
	observer := engine.Observers(tracing.Observer(), shown)
	client := registry.New(registry.Config{
		Options: d.registry, Keychain: keychain.New(d.keychain.From(d.env.Getenv)), UserAgent: "kaniko/" + command.Release,
		Warn: func(text string) { d.env.Log.Warn(text) }, Wrap: tracing.Transport,
		Observe: func(ctx context.Context, kind, name string, size int64) (context.Context, func(int64), func(error)) {
			return observer.Transfer(ctx, engine.Transfer{Kind: kind, Name: name, Size: size})
		},
	})
	d.options.Entered = func(ctx context.Context, l compare.Level, platform string) (context.Context, func()) {
		d.env.Log.Debug("compare", "depth", l.String(), "platform", platform)
		ctx, end := tracing.Part(ctx, "compare "+l.String())
		return ctx, func() { end(nil) }
	}
	if isReference(a) && isReference(b) {
		x, y, err := heads(ctx, client, a, b)
		if err != nil {
			return nil, err
		}
		if x.Digest == y.Digest {
			return compare.SameDigest(x, y, d.options), nil
		}
	}
	left, err := openSubject(ctx, client, a)
	if err != nil {
		return nil, err
	}
	right, err := openSubject(ctx, client, b)
	if err != nil {
		return nil, err
	}
	return compare.Compare(ctx, left, right, d.options)
}

func isReference(spec string) bool {
	for _, prefix := range []string{inLayout, inArchive, inTar, inDir} {
		if strings.HasPrefix(spec, prefix) {
			return false
		}
	}
	return true
}

// heads asks what two references stand for.
func heads(ctx context.Context, client *registry.Client, a, b string) (x, y compare.Side, err error) {
	left, err := client.Head(ctx, a)
	if err != nil {
		return x, y, err
	}
	right, err := client.Head(ctx, b)
	return compare.Side{Name: a, Digest: left.String()}, compare.Side{Name: b, Digest: right.String()}, err
}

// openSubject opens what an argument names.
func openSubject(ctx context.Context, client *registry.Client, spec string) (compare.Subject, error) {
	var s compare.Subject
	var err error
	if place, ok := strings.CutPrefix(spec, inLayout); ok {
		s, err = openLayout(place)
	} else if file, ok := strings.CutPrefix(spec, inArchive); ok {
		s.Image, err = tarball.ImageFromPath(file, nil)
	} else if file, ok := strings.CutPrefix(spec, inTar); ok {
		s, err = openTar(file)
	} else if dir, ok := strings.CutPrefix(spec, inDir); ok {
		s, err = openDir(ctx, dir)
	} else {
		return openRemote(ctx, client, spec)
	}
	if err != nil {
		return s, fmt.Errorf("open %s: %w", spec, err)
	}
	s.Name = spec
	return s, nil
}

// openTar makes an image of an archive of files.
func openTar(file string) (compare.Subject, error) {
	l, err := tarball.LayerFromFile(file)
	if err != nil {
		return compare.Subject{}, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	return compare.Subject{Image: img, Bare: true}, err
}

// openLayout opens DIR, DIR:NAME or DIR@DIGEST of an OCI layout. Without a name it is
// the only image or index there, else all of them as one index.
func openLayout(place string) (compare.Subject, error) {
	dir, wanted, err := splitPlace(place)
	if err != nil {
		return compare.Subject{}, err
	}
	path, err := layout.FromPath(dir)
	if err != nil {
		return compare.Subject{}, err
	}
	index, err := path.ImageIndex()
	if err != nil {
		return compare.Subject{}, err
	}
	m, err := index.IndexManifest()
	if err != nil {
		return compare.Subject{}, err
	}
	var found []v1.Descriptor
	for _, d := range m.Manifests {
		if wanted(d) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return compare.Subject{}, fmt.Errorf("the layout has no such image: %w", fs.ErrNotExist)
	case len(found) > 1:
		return compare.Subject{Index: inLayoutIndex{index, path}}, nil
	case found[0].MediaType.IsIndex():
		child, err := index.ImageIndex(found[0].Digest)
		return compare.Subject{Index: inLayoutIndex{child, path}}, err
	}
	img, err := index.Image(found[0].Digest)
	return compare.Subject{Image: inLayoutImage{img, path}}, err
}

// splitPlace parts a directory from the name or digest of an image in it. A directory
// of that name, colon and all, is meant first.
func splitPlace(place string) (dir string, wanted match.Matcher, err error) {
	if _, err := os.Stat(place); err == nil {
		return place, func(v1.Descriptor) bool { return true }, nil
	}
	if dir, digest, ok := strings.Cut(place, "@"); ok {
		h, err := v1.NewHash(digest)
		return dir, match.Digests(h), err
	}
	if i := strings.LastIndexByte(place, ':'); i > 0 {
		return place[:i], match.Name(place[i+1:]), nil
	}
	return place, func(v1.Descriptor) bool { return true }, nil
}

// embedded is an index under a name that is not that of one of its methods.
type embedded = v1.ImageIndex

// inLayoutIndex is an index in a layout.
type inLayoutIndex struct {
	embedded
	path layout.Path
}

// Image implements [v1.ImageIndex].
func (i inLayoutIndex) Image(h v1.Hash) (v1.Image, error) {
	img, err := i.embedded.Image(h)
	return inLayoutImage{img, i.path}, err
}

// inLayoutImage is an image in a layout, of whose layers parts can be read.
type inLayoutImage struct {
	v1.Image
	path layout.Path
}

// Layers implements [v1.Image].
func (i inLayoutImage) Layers() ([]v1.Layer, error) {
	layers, err := i.Image.Layers()
	for n, l := range layers {
		layers[n] = inLayoutLayer{l, i.path}
	}
	return layers, err
}

type inLayoutLayer struct {
	v1.Layer
	path layout.Path
}

// Unwrap is the layer as the layout has it.
func (l inLayoutLayer) Unwrap() v1.Layer { return l.Layer }

// Range implements [compare.Ranged].
func (l inLayoutLayer) Range(_ context.Context, offset, length int64) (io.ReadCloser, error) {
	h, err := l.Digest()
	if err != nil {
		return nil, err
	}
	file, err := os.Open(filepath.Join(string(l.path), "blobs", h.Algorithm, h.Hex))
	if err != nil {
		return nil, err
	}
	return part{io.NewSectionReader(file, offset, length), file}, nil
}

// part is a part of what is closed with it.
type part struct {
	io.Reader
	io.Closer
}
