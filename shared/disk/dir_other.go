//go:build !linux

package disk

import (
	"io"
	"iter"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Dir reads a directory as a [tree.FS]. On this system it knows no owners (all is
// root's), attributes, hard links or devices. It may be used by several goroutines.
type Dir struct{ p *portable }

// Open opens the directory dir; links in dir itself are followed.
func Open(dir string, o Options) (*Dir, error) {
	p, err := openPortable(dir, o)
	return &Dir{p}, err
}

// Close frees the directory's descriptor. Files that Open gave stay readable.
func (d *Dir) Close() error { return d.p.close() }

// Walk implements [tree.FS].
func (d *Dir) Walk(from tree.Path) iter.Seq2[tree.Entry, error] { return d.p.walk(from) }

// Open implements [tree.FS].
func (d *Dir) Open(p tree.Path) (io.ReadCloser, error) { return d.p.open(p) }
