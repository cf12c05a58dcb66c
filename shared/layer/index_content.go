package layer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// keptContent is a small file's content, kept while a consumer reads it.
type keptContent struct {
	change Change
	src    io.ReadCloser
	kept   bytes.Buffer
	err    error
	eof    bool
}

func (k *keptContent) Open() (io.ReadCloser, error) {
	if k.src != nil {
		return nil, errors.New("content opened twice")
	}
	if k.src, k.err = k.change.Open(); k.err != nil {
		return nil, k.err
	}
	return k, nil
}

func (k *keptContent) Read(p []byte) (int, error) {
	if k.err != nil {
		return 0, k.err
	}
	n, err := k.src.Read(p)
	// A source that has more than it promised is the consumer's to complain about;
	// what is kept stays bounded.
	if room := int(k.change.Node.Size) + 1 - k.kept.Len(); room > 0 {
		k.kept.Write(p[:min(n, room)])
	}
	switch {
	case err == io.EOF:
		k.eof = true
	case err != nil:
		k.err = err
	}
	return n, err
}

// Close leaves the source open: what is left of it still has to be kept.
func (k *keptContent) Close() error { return nil }

// finish reads what the consumer left, and returns all of the content.
func (k *keptContent) finish() ([]byte, error) {
	if k.src == nil && k.err == nil {
		k.Open()
	}
	if k.src != nil && k.err == nil && !k.eof {
		_, err := io.Copy(io.Discard, io.LimitReader(k, k.change.Node.Size+1-int64(k.kept.Len())))
		k.err = err
	}
	if err := errors.Join(k.err, k.close()); err != nil {
		return nil, err
	}
	if got := int64(k.kept.Len()); got != k.change.Node.Size {
		return nil, fmt.Errorf("it is not as long as was said (%d bytes expected)", k.change.Node.Size)
	}
	return k.kept.Bytes(), nil
}

func (k *keptContent) close() error {
	if k.src == nil {
		return nil
	}
	return k.src.Close()
}
