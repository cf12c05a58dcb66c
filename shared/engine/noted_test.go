package engine_test

import (
	"io"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
)

// counted is an image that counts how often its layers are read.
type counted struct {
	v1.Image
	read atomic.Int32
}

func (c *counted) Layers() ([]v1.Layer, error) {
	all, err := c.Image.Layers()
	for i, l := range all {
		all[i] = &countedLayer{l, c}
	}
	return all, err
}

type countedLayer struct {
	v1.Layer
	of *counted
}

func (l *countedLayer) Compressed() (io.ReadCloser, error) {
	l.of.read.Add(1)
	return l.Layer.Compressed()
}

func (l *countedLayer) Uncompressed() (io.ReadCloser, error) {
	l.of.read.Add(1)
	return l.Layer.Uncompressed()
}

// What one stage unpacks another needs not read to know the files: links on the way,
// and the names of users.
func TestBuild_baseIsReadOnce(t *testing.T) {
	for _, limit := range []int{0, 1} {
		base, img := image(t, map[string]string{"lib": "-> usr/lib", "usr/lib/x": "X", "usr/lib/y": "== usr/lib/x"}, map[string]string{"etc/passwd": "user:x:3:4::/:\n"})
		tool := stage(0, plan.Base{Image: base}, run("write", "out", "made"))
		own := copyStep(&plan.Source{Stage: tool}, "/lib/", "out")
		op := own.Op.(plan.Copy)
		op.Chown = "user"
		own.Op = op
		b := newBench(t, limit, stages(tool, stage(1, plan.Base{Image: base}, own)), img)
		b.driver.shares = true
		want := files(t, must(engine.Build(t.Context(), b.Config)))

		reads := &counted{Image: img}
		b.Bases = shelf{must(img.Digest()): reads}
		b.driver = newMemory(limit)
		b.driver.shares = true
		b.Exporter = &recorder{} // which reads nothing
		got := must(engine.Build(t.Context(), b.Config))
		if n := reads.read.Load(); n != 2 {
			t.Errorf("limit %d: the two layers of the base were read %d times", limit, n)
		}
		if got := files(t, got); got != want || got != "etc/passwd=user:x:3:4::/:\n lib=usr/lib usr/lib/out=made usr/lib/x=X usr/lib/y==usr/lib/x" {
			t.Errorf("limit %d: %s, and %s", limit, got, want)
		}
	}
}
