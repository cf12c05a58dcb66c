package compare

import (
	"bytes"
	"context"
	"fmt"

	"github.com/kaniko-suite/kaniko/inspect/internal/source"
	"github.com/kaniko-suite/kaniko/inspect/internal/toc"
)

// Ranged is a layer of whose blob parts can be read.
type Ranged = source.Ranged

// readIndex reads the index of a layer.
func (l *blob) readIndex(ctx context.Context) (*toc.Index, error) {
	v, err := l.layer()
	if err != nil {
		return nil, err
	}
	return toc.Open(ctx, v, l.desc)
}

// content reads a file of at most [MaxText] bytes.
func content(ctx context.Context, i *toc.Index, name string) ([]byte, error) {
	var b limited
	err := i.Copy(ctx, &b, name)
	return b.Bytes(), err
}

// limited takes no more than [MaxText] bytes.
type limited struct{ bytes.Buffer }

// Write implements [io.Writer].
func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > MaxText {
		return 0, fmt.Errorf("it has more than %d bytes", MaxText)
	}
	return l.Buffer.Write(p)
}
