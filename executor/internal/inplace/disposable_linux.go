package inplace

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Marker is the file in the executor's directory that says: nothing in this root
// is worth keeping. Our debug image ships it, and the driver leaves it in a root
// that it found to be empty.
const Marker = "disposable-root"

// RootError says that the root holds something a build would delete.
type RootError struct {
	Path   string // the first thing that would be lost
	Marker string // the file that would allow it
}

func (e *RootError) Error() string {
	return fmt.Sprintf("build in place: the build would delete %s, as all else in this root", e.Path)
}

// Hint says what helps.
func (e *RootError) Hint() string {
	return "run the executor in its own image, which holds nothing else; use --isolation=namespaces; " +
		"or, if all of this root may go, say so with --force or by creating " + e.Marker
}

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
	root, err := disk.Open("/", disk.Options{Skip: func(p tree.Path, _ tree.Type) bool { return d.protect.set[p] }})
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
