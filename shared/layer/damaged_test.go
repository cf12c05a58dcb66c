package layer_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// verdict ends with an error where other readers end, as one does that has compared
// digests.
type verdict struct {
	io.Reader
	err error
}

func (v *verdict) Read(p []byte) (int, error) {
	n, err := v.Reader.Read(p)
	if err == io.EOF {
		err = v.err
	}
	return n, err
}

// TestDecompress_damaged: of what cannot be decompressed the source has the last word; if
// it has nothing to say, the data is damaged.
func TestDecompress_damaged(t *testing.T) {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, strings.Repeat("some text\n", 100_000)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	spoilt := b.Bytes()
	spoilt[b.Len()-6] ^= 1 // in the checksum
	wrong := errors.New("the digest is another")
	for _, said := range []error{io.EOF, wrong} {
		r, err := layer.Decompress(io.NopCloser(&verdict{bytes.NewReader(spoilt), said}))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // and it stays so
			_, err = io.Copy(io.Discard, r)
			var damaged *layer.DamagedError
			switch {
			case said == wrong && !errors.Is(err, wrong):
				t.Errorf("the error is %v, not the source's", err)
			case said == io.EOF && (!errors.As(err, &damaged) || damaged.ExitCode() != 65):
				t.Errorf("the error is %v", err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}
