package layer_test

import (
	"bytes"
	"io"
	"math/rand"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// words is text that compresses better the more is spent on it.
func words(n int) string {
	r := rand.New(rand.NewSource(1))
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString([]string{"alpha ", "beta ", "gamma ", "delta\n", "epsilon "}[r.Intn(5)])
		b.WriteByte(byte('a' + r.Intn(26)))
	}
	return b.String()[:n]
}

func packed(t *testing.T, c layer.Compression, workers int, text string) *layer.Blob {
	t.Helper()
	e, err := layer.NewEncoder(layer.EncoderOptions{Dir: t.TempDir(), Workers: workers, Compression: c})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Add(file("words", text)); err != nil {
		t.Fatal(err)
	}
	b, err := e.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCompression: each is what it says, the archive within is always the same, and
// the number of workers changes nothing.
func TestCompression(t *testing.T) {
	text := words(3 << 20)
	plain := must(packed(t, layer.Compression{}, 1, text).DiffID())
	for _, tc := range []struct {
		algorithm string
		level     int
		magic     string
		mediaType types.MediaType
	}{
		{"gzip", -1, "\x1f\x8b", types.DockerLayer},
		{"gzip", 9, "\x1f\x8b", types.DockerLayer},
		{"zstd", -1, "\x28\xb5\x2f\xfd", types.OCILayerZStd},
		{"zstd", 19, "\x28\xb5\x2f\xfd", types.OCILayerZStd},
		{"zstd:chunked", -1, "\x28\xb5\x2f\xfd", types.OCILayerZStd},
		{"none", -1, "words", types.DockerUncompressedLayer},
	} {
		c, err := layer.ParseCompression(tc.algorithm, tc.level)
		if err != nil {
			t.Fatal(err)
		}
		var digests []v1.Hash
		for _, workers := range []int{1, 2, 8} {
			b := packed(t, c, workers, text)
			digests = append(digests, must(b.Digest()))
			if must(b.DiffID()) != plain || must(b.MediaType()) != tc.mediaType {
				t.Errorf("%s: diff id %v, media type %s", c, must(b.DiffID()), must(b.MediaType()))
			}
			raw := must(io.ReadAll(must(b.Compressed())))
			if !bytes.HasPrefix(raw, []byte(tc.magic)) {
				t.Errorf("%s begins with %q", c, raw[:4])
			}
		}
		if digests[0] != digests[1] || digests[1] != digests[2] {
			t.Errorf("%s depends on the number of workers: %v", c, digests)
		}
	}
}

// TestCompression_level: a higher level makes less of it.
func TestCompression_level(t *testing.T) {
	text := words(2 << 20)
	for algorithm, levels := range map[string][2]int{"gzip": {1, 9}, "zstd": {1, 19}, "estargz": {1, 9}, "zstd:chunked": {1, 19}} {
		low, high := must(layer.ParseCompression(algorithm, levels[0])), must(layer.ParseCompression(algorithm, levels[1]))
		if a, b := must(packed(t, low, 2, text).Size()), must(packed(t, high, 2, text).Size()); b >= a {
			t.Errorf("%s is %d bytes, %s %d", low, a, high, b)
		}
	}
}

func TestParseCompression(t *testing.T) {
	for _, tc := range []struct {
		algorithm string
		level     int
	}{{"brotli", -1}, {"gzip", 0}, {"gzip", 10}, {"zstd", 23}, {"zstd", -2}, {"estargz", 10}, {"zstd:chunked", 23}, {"none", 0}, {"none", 1}} {
		if c, err := layer.ParseCompression(tc.algorithm, tc.level); err == nil {
			t.Errorf("%s %d is %s", tc.algorithm, tc.level, c)
		}
	}
	if must(layer.ParseCompression("zstd", 3)) != must(layer.ParseCompression("zstd", -1)) || must(layer.ParseCompression("", 2)) != (layer.Compression{}) {
		t.Error("the default level is not the default")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
