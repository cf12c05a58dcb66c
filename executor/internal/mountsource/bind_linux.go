package mountsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// content is the name of what Materialize makes.
const content tree.Path = "content"

// Materialize copies the file or directory that b shows into the existing empty
// directory dir, and returns where it is. It has the metadata it has in b.FS;
// links in b.From are followed there. What this machine does not let anybody make
// (device nodes, some attributes) is left out. After an error dir may hold half
// of it.
func Materialize(ctx context.Context, b *sandbox.Bind, dir string) (path string, err error) {
	from, err := tree.Resolve(b.FS, b.From)
	if err != nil {
		return "", fmt.Errorf("find %s for a mount: %w", b.From.Abs(), err)
	}
	e, err := tree.Stat(b.FS, from)
	if err != nil {
		return "", fmt.Errorf("find %s for a mount: %w", b.From.Abs(), err)
	}
	if !e.Node.IsDir() && e.Node.Type != tree.File {
		return "", fmt.Errorf("mount %s: %w", b.From.Abs(), errKind)
	}
	tolerate := func(disk.Refusal) error { return nil }
	if err := disk.WriteAll(ctx, dir, disk.WriterOptions{Refused: tolerate}, changes(b.FS, from), nil); err != nil {
		return "", fmt.Errorf("copy %s for a mount: %w", b.From.Abs(), err)
	}
	return filepath.Join(dir, string(content)), nil
}

var errKind = errors.New("it is neither a file nor a directory")

// changes is what lies at from, as a layer that has it at content.
func changes(fsys tree.FS, from tree.Path) layer.Changes {
	at := func(p tree.Path) tree.Path { return content.Join(string(p.Rel(from))) }
	return func(yield func(layer.Change, error) bool) {
		for e, err := range fsys.Walk(from) {
			if err != nil {
				yield(layer.Change{}, err)
				return
			}
			if e.Node.Type == 0 {
				continue // a socket means nothing to another process
			}
			c := layer.Change{Path: at(e.Path), Kind: layer.Put, Node: e.Node}
			switch {
			case e.Hard != "":
				c.Hard = at(e.Hard)
			case e.Node.Type == tree.File:
				c.Open = func() (io.ReadCloser, error) { return fsys.Open(e.Path) }
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}
