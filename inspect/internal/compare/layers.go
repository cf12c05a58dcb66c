package compare

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/estargz/zstdchunked"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
)

// compareLayers compares layers pair by pair, or the trees that all of them come to.
func (p *pairing) compareLayers(ctx context.Context) error {
	ctx, done := p.entered(ctx, Layers, p.platform)
	defer done()
	for _, g := range p.gaps() {
		if err := p.gap(ctx, g); err != nil {
			return err
		}
	}
	if moved, ok := outOfOrder(p.pairs); ok {
		p.found(Difference{
			Level: Layers, LayerA: moved.a + 1, LayerB: moved.b + 1, Field: "order",
			A: fmt.Sprintf("layer %d", moved.a+1), B: fmt.Sprintf("layer %d", moved.b+1),
		})
	}
	if p.Squash && p.Level >= Files {
		return p.squashed(ctx)
	}
	return nil
}

// gaps are the layers in the order of the pairs: one matched pair, or what lies
// between two of those.
func (p *pairing) gaps() [][]alignment {
	var all [][]alignment
	var open bool
	for _, pair := range p.pairs {
		same := pair.same() && p.a.layers[pair.a].same(p.b.layers[pair.b])
		if same || !open {
			all = append(all, nil)
		}
		open = !same
		all[len(all)-1] = append(all[len(all)-1], pair)
	}
	return all
}

func (p *pairing) gap(ctx context.Context, g []alignment) error {
	if p.Level >= Files && !p.Squash {
		defer clear(p.kept)
		regrouped, err := p.split(ctx, g)
		if regrouped || err != nil {
			return err
		}
	}
	for _, pair := range g {
		if err := p.layer(ctx, pair); err != nil {
			return err
		}
	}
	return nil
}

// layer compares a pair of layers.
func (p *pairing) layer(ctx context.Context, pair alignment) error {
	l := p.describe(pair)
	var err error
	switch {
	case pair.b < 0:
		l.State = LayerRemoved
		p.found(Difference{Level: Layers, LayerA: l.A, Field: "removed", A: text(p.a.layers[pair.a]), B: none})
	case pair.a < 0:
		l.State = LayerAdded
		p.found(Difference{Level: Layers, LayerB: l.B, Field: "added", A: none, B: text(p.b.layers[pair.b])})
	default:
		err = p.matched(ctx, &l, p.a.layers[pair.a], p.b.layers[pair.b])
	}
	p.layers = append(p.layers, l)
	return err
}

// matched compares two layers that take each other's place.
func (p *pairing) matched(ctx context.Context, l *LayerPair, a, b *blob) error {
	l.State = LayerEqual
	p.descriptors(a, b)
	switch {
	case a.desc.Digest == b.desc.Digest:
		return nil
	case !a.isArchive() || !b.isArchive():
		l.State = LayerDiffers
		p.at(a, b, Difference{Level: Layers, Field: "blob", A: a.desc.Digest.String(), B: b.desc.Digest.String()})
		return nil
	case a.same(b):
		l.State = LayerRecompressed
		p.at(a, b, Difference{Level: Layers, Field: "recompressed", A: packed(a), B: packed(b)})
		return nil
	}
	l.State = LayerDiffers
	if x, y := a.compression(), b.compression(); x != y {
		p.at(a, b, Difference{Level: Layers, Field: "compression", A: x, B: y})
	}
	if p.Level < Files {
		p.at(a, b, Difference{Level: Layers, Field: "content", A: orNone(a.archive()), B: orNone(b.archive())})
		return nil
	}
	if p.Squash {
		return nil
	}
	return p.files(ctx, l, a, b)
}

// at reports a difference of a pair of layers.
func (p *pairing) at(a, b *blob, d Difference) {
	d.LayerA, d.LayerB = a.n, b.n
	p.found(d)
}

func (p *pairing) describe(pair alignment) LayerPair {
	var l LayerPair
	if pair.a >= 0 {
		a := p.a.layers[pair.a]
		l.A, l.DigestA, l.SizeA, l.CreatedBy = a.n, a.desc.Digest.String(), a.desc.Size, a.createdBy
	}
	if pair.b >= 0 {
		b := p.b.layers[pair.b]
		l.B, l.DigestB, l.SizeB = b.n, b.desc.Digest.String(), b.desc.Size
		if l.CreatedBy == "" {
			l.CreatedBy = b.createdBy
		}
	}
	return l
}

// descriptors compares what two manifests say of layers beside their digests. What
// says only how a layer is compressed follows from that.
func (p *pairing) descriptors(a, b *blob) {
	var derived []string
	if a.desc.Digest != b.desc.Digest {
		derived = []string{
			estargz.TOCJSONDigestAnnotation, estargz.StoreUncompressedSizeAnnotation, zstdchunked.ManifestChecksumAnnotation,
			zstdchunked.ManifestPositionAnnotation, "containerd.io/uncompressed",
		}
	}
	for _, d := range annotations("layer", a.desc.Annotations, b.desc.Annotations, derived...) {
		p.at(a, b, d)
	}
	if x, y := a.desc.MediaType, b.desc.MediaType; x != y && (a.desc.Digest == b.desc.Digest || a.codec() == b.codec()) {
		p.at(a, b, Difference{Level: Manifest, Path: "layer", Field: "mediaType", A: string(x), B: string(y)})
	}
	if x, y := strings.Join(a.desc.URLs, " "), strings.Join(b.desc.URLs, " "); x != y {
		p.at(a, b, Difference{Level: Manifest, Path: "layer", Field: "urls", A: orNone(x), B: orNone(y)})
	}
}

// isArchive reports whether the layer is an archive of files, rather than a statement
// or whatever else is kept as one.
func (l *blob) isArchive() bool {
	mt := l.desc.MediaType
	return mt.IsLayer() || mt == "" || strings.HasPrefix(string(mt), string(types.OCIUncompressedLayer)) || strings.HasPrefix(string(mt), string(types.DockerUncompressedLayer))
}

// codec is how the layer's archive is compressed, by its media type.
func (l *blob) codec() string {
	switch mt := string(l.desc.MediaType); {
	case strings.HasSuffix(mt, "zstd"):
		return "zstd"
	case strings.HasSuffix(mt, "gzip"):
		return "gzip"
	}
	return "none"
}

// compression is the codec, and whether single files can be read.
func (l *blob) compression() string {
	return toc.Format(l.desc)
}

// indexed reports whether the manifest announces an index of the layer.
func (l *blob) indexed() bool { return toc.Announced(l.desc) }

func packed(l *blob) string {
	return fmt.Sprintf("%s, %d bytes, %s", l.compression(), l.desc.Size, l.desc.Digest)
}

func (l *blob) archive() string {
	if l.diffID.Hex == "" {
		return l.desc.Digest.String()
	}
	return l.diffID.String()
}

func text(l *blob) string {
	return strings.TrimSpace(fmt.Sprintf("%d bytes, %s %s", l.desc.Size, l.desc.Digest, l.createdBy))
}

// split finds out whether one layer is what several are together; then that is all
// there is to say of them.
func (p *pairing) split(ctx context.Context, g []alignment) (bool, error) {
	var a, b []*blob
	for _, pair := range g {
		if pair.a >= 0 {
			a = append(a, p.a.layers[pair.a])
		}
		if pair.b >= 0 {
			b = append(b, p.b.layers[pair.b])
		}
	}
	if len(a) == 0 || len(b) == 0 || len(a) == len(b) || len(a) > 1 && len(b) > 1 || !archives(a) || !archives(b) {
		return false, nil
	}
	x, err := p.together(ctx, a)
	y, other := p.together(ctx, b)
	if err = errors.Join(err, other); err != nil {
		return false, err
	}
	if len(members(x, y, false)) > 0 {
		return false, nil
	}
	p.found(Difference{Level: Layers, LayerA: a[0].n, LayerB: b[0].n, Field: "split", A: numbers(a), B: numbers(b) + ", with the same files"})
	for _, pair := range g {
		l := p.describe(pair)
		l.State, l.Read = LayerSplit, readArchive
		p.layers = append(p.layers, l)
	}
	return true, nil
}

func archives(all []*blob) bool {
	for _, l := range all {
		if !l.isArchive() {
			return false
		}
	}
	return true
}

func numbers(all []*blob) string {
	if len(all) == 1 {
		return fmt.Sprintf("layer %d", all[0].n)
	}
	return fmt.Sprintf("layers %d to %d", all[0].n, all[len(all)-1].n)
}
