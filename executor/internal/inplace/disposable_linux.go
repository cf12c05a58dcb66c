package inplace

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// disposable is nil if the root may be lost: because somebody said so, or because
// nothing is in it.
func (d *Driver) disposable(ctx context.Context) error {
	marker := d.path(Marker)
	if d.o.Force {
		return nil
	}
	if _, err := os.Lstat(marker); err == nil {
		return nil
	}
	root, err := disk.Open("/", disk.Options{Skip: func(p tree.Path, _ tree.Type) bool { return d.protect.kept.in[p] }})
	if err != nil {
		return err
	}
	defer root.Close()
	for e, err := range root.Walk(tree.Root) {
		if errors.Is(err, fs.ErrPermission) {
			return &RootError{Path: e.Path.Abs(), Marker: marker}
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !e.Node.IsDir() && !madeByRuntime(e.Path) {
			return &RootError{Path: e.Path.Abs(), Marker: marker}
		}
	}
	// The next build in this container finds what this one leaves.
	if err := os.MkdirAll(d.path(""), 0o755); err != nil {
		return err
	}
	return os.WriteFile(marker, []byte("Builds may delete everything outside of this directory.\n"), 0o444)
}

// madeByRuntime lists the files that runtimes, or our image, put into a root and
// that nobody misses.
func madeByRuntime(p tree.Path) bool {
	switch p {
	case "etc/mtab", "etc/nsswitch.conf", "etc/passwd", "etc/group", "run/.containerenv", dockerMarker:
		return true
	}
	return false
}
