package registry

import (
	"bytes"
	"errors"
	"io"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"

	"github.com/kaniko-suite/kaniko/shared/registry/registrytest"
)

// Parts of a layer are asked for as parts, and of a registry that has none not at all.
func TestLayer_range(t *testing.T) {
	for _, without := range []bool{false, true} {
		s := registrytest.Start(t, registrytest.Config{NoRanges: without})
		c := New(Config{})
		repo, err := c.Repository(s.Host() + "/app")
		if err != nil {
			t.Fatal(err)
		}
		content := bytes.Repeat([]byte("0123456789"), 100_000)
		l := static.NewLayer(content, "application/octet-stream")
		if err := c.PushLayer(t.Context(), repo, l); err != nil {
			t.Fatal(err)
		}
		h, err := l.Digest()
		if err != nil {
			t.Fatal(err)
		}
		d := v1.Descriptor{Digest: h, Size: int64(len(content)), MediaType: "application/octet-stream"}
		for _, at := range [][2]int64{{5, 10}, {0, 3}, {999_990, 10}, {7, 0}} {
			s.Forget()
			r, err := c.Layer(t.Context(), repo, d, h).Range(t.Context(), at[0], at[1])
			var got []byte
			if err == nil {
				got, err = io.ReadAll(r)
				r.Close()
			}
			var corrupt *CorruptError
			switch {
			case without && at[0] == 5:
				if !errors.As(err, &corrupt) {
					t.Errorf("%v without ranges: %d bytes, %v", at, len(got), err)
				}
			case err != nil || !bytes.Equal(got, content[at[0]:at[0]+at[1]]):
				t.Errorf("%v: %q, %v", at, got, err)
			case !without && at[0] > 0 && s.Count("GET blob app 200") > 0:
				t.Errorf("%v: %q", at, s.Requests())
			}
		}
		for _, at := range [][2]int64{{-1, 1}, {0, 1_000_001}, {1_000_000, 1}, {1, -1}} {
			if _, err := c.Layer(t.Context(), repo, d, h).Range(t.Context(), at[0], at[1]); err == nil {
				t.Errorf("%v can be read", at)
			}
		}
	}
}
