package compare

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/stargz-snapshotter/estargz"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
	"github.com/kaniko-suite/kaniko/shared/treediff"
)

// What a layer's entries are known from.
const (
	readArchive = "archive"
	readIndex   = "index"
)

// reading is what is known of a layer's entries.
type reading struct {
	entries []treediff.Member
	index   *toc.Index // nil if the archive was read
}

// CorruptLayerError says that a layer's archive is not what the configuration says.
type CorruptLayerError struct {
	Name      string
	Layer     int
	Want, Got v1.Hash
}

// Error implements error.
func (e *CorruptLayerError) Error() string {
	return fmt.Sprintf("read layer %d of %s: its archive is %s, and the configuration says %s", e.Layer, e.Name, e.Got, e.Want)
}

// ExitCode is that of data that is not right.
func (e *CorruptLayerError) ExitCode() int { return 65 }

func (l *blob) layer() (v1.Layer, error) {
	layers, err := l.of.img.Layers()
	if err == nil && len(layers) < l.n {
		err = fmt.Errorf("it has only %d layers", len(layers))
	}
	if err != nil {
		return nil, err
	}
	return layers[l.n-1], nil
}

func (l *blob) failed(err error) error {
	if err == nil {
		return nil
	}
	var known *CorruptLayerError
	if errors.As(err, &known) {
		return err
	}
	return fmt.Errorf("read layer %d of %s: %w", l.n, l.of.name, err)
}

// stream reads a layer's archive to its end, and checks it against the configuration.
// It stops at an entry for which see returns an error.
func (l *blob) stream(ctx context.Context, keep func(name string, size int64) bool, see func(treediff.Member) error) error {
	layer, err := l.layer()
	if err != nil {
		return l.failed(err)
	}
	r, err := layer.Uncompressed()
	if err != nil {
		return l.failed(err)
	}
	defer r.Close()
	sum := sha256.New()
	hashed := io.TeeReader(r, sum)
	for m, err := range treediff.Members(hashed, keep) {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = see(m)
		}
		if err != nil {
			return l.failed(err)
		}
	}
	// What follows the archive's end is part of the layer, and a blob is verified only at its end.
	if _, err := io.Copy(io.Discard, hashed); err != nil {
		return l.failed(err)
	}
	got := v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum.Sum(nil))}
	if want := l.diffID; want.Algorithm == got.Algorithm && want != got {
		return &CorruptLayerError{Name: l.of.name, Layer: l.n, Want: want, Got: got}
	}
	return nil
}

// archived are the entries of a layer's archive.
func (l *blob) archived(ctx context.Context) ([]treediff.Member, error) {
	var all []treediff.Member
	err := l.stream(ctx, nil, func(m treediff.Member) error {
		if l.indexed() && path.Clean("/"+m.Header.Name) == "/"+estargz.TOCTarName {
			return nil // it follows from all the rest
		}
		if len(all) == toc.MaxEntries {
			return fmt.Errorf("it has more than %d entries", toc.MaxEntries)
		}
		m.Header.Name, m.Header.Linkname = strings.Clone(m.Header.Name), strings.Clone(m.Header.Linkname)
		all = append(all, m)
		return nil
	})
	return all, err
}

// read reads two layers at the same time: their indexes, if both have one that can be
// relied on, else their archives.
func (p *pairing) read(ctx context.Context, a, b *blob) (x, y reading, err error) {
	if a.indexed() && b.indexed() {
		var whyA, whyB error
		both(func() { x.index, whyA = a.readIndex(ctx) }, func() { y.index, whyB = b.readIndex(ctx) })
		if whyA == nil && whyB == nil {
			x.entries, y.entries = x.index.Members(), y.index.Members()
			return x, y, nil
		}
		if err := ctx.Err(); err != nil {
			return x, y, err
		}
		for _, why := range []error{a.failed(whyA), b.failed(whyB)} {
			if why != nil {
				p.note("layers were read whole, not by their indexes: %v", why)
			}
		}
		x, y = reading{}, reading{}
	}
	var other error
	both(func() { x.entries, err = p.known(ctx, a) }, func() { y.entries, other = p.known(ctx, b) })
	return x, y, errors.Join(err, other)
}

// known are a layer's entries, if they were not read before.
func (p *pairing) known(ctx context.Context, l *blob) ([]treediff.Member, error) {
	if entries, ok := p.kept[l]; ok {
		return entries, nil
	}
	return l.archived(ctx)
}

// together are the entries of layers, one after the other; they are kept for the gap.
func (p *pairing) together(ctx context.Context, layers []*blob) ([]treediff.Member, error) {
	var all []treediff.Member
	for _, l := range layers {
		entries, err := l.archived(ctx)
		if err != nil {
			return nil, err
		}
		p.kept[l] = entries
		all = append(all, entries...)
	}
	return slices.Clip(all), nil
}

// both runs two things at once and waits for both.
func both(f, g func()) {
	var wait sync.WaitGroup
	wait.Go(f)
	g()
	wait.Wait()
}
