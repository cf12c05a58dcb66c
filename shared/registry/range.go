package registry

import (
	"context"
	"fmt"
	"io"
)

// Range reads length bytes of the layer as the registry has it, from an offset on. They
// are not checked: that is for who knows what is in them. A registry that does not know
// ranges is an error, a [CorruptError], rather than the whole layer, unless the bytes are its
// last or first.
func (l *Layer) Range(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < 0 || offset > l.desc.Size-length {
		return nil, fmt.Errorf("read layer %s: it has no bytes %d to %d", l.Ref().Name(), offset, offset+length-1)
	}
	if offset == 0 { // no range is asked for then, so that all of it comes
		r, err := l.OpenAt(ctx, 0)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{io.LimitReader(r, length), r}, nil
	}
	part := *l
	part.desc.Size = offset + length // the end of what is asked for
	return part.open(ctx, offset, func(r io.ReadCloser) io.ReadCloser { return r })
}
