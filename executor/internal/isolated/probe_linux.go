package isolated

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/reaper"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// overlayOptions are tried in order. What upper directories hold must be plain
// files, read without the overlay: no renamed directories, no metadata without
// data. volatile spares the sync of what is thrown away anyway; old kernels and
// gVisor do not know it, or none of them.
func overlayOptions() []string {
	const plain = "index=off,metacopy=off,redirect_dir=nofollow"
	return []string{plain + ",volatile", plain, ""}
}

// try is what a probe does inside: for each directory, what a sandbox would do.
func try(ctx context.Context, o order) report {
	var rep report
	g := *o.Grant
	if ids, err := ownMap("/proc/self/uid_map"); err == nil {
		g.IDs = count(ids)
	}
	network := make(chan error, 1)
	go func() { network <- tryNetwork(ctx) }()
	for _, d := range o.Try {
		got, err := g.tryDir(ctx, d)
		if err == nil {
			if err := <-network; err != nil {
				got.NoNetwork = err.Error()
			}
			return report{Grant: &got}
		}
		r := reported{Dir: []byte(d.Path), Err: []byte(err.Error())}
		errors.As(err, &r.Errno)
		rep.Attempts = append(rep.Attempts, r)
	}
	<-network
	return rep
}

// tryNetwork finds out whether a command can have a network of its own. That it
// cannot keeps no other command from running.
func tryNetwork(ctx context.Context) error {
	return reaper.Run(ctx, reaper.Spec{Namespaces: unix.CLONE_NEWNET, SetupOnly: true})
}

func (g Grant) tryDir(ctx context.Context, d StateDir) (Grant, error) {
	if d.Make {
		if err := os.MkdirAll(d.Path, 0o700); err != nil {
			return g, err
		}
	}
	base, err := filepath.EvalSymlinks(d.Path)
	if err != nil {
		return g, err
	}
	base, err = filepath.Abs(base)
	if err != nil {
		return g, err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(base, &st); err != nil {
		return g, fmt.Errorf("look at %s: %w", base, err)
	}
	if m := int64(st.Type); !d.Memory && (m == unix.TMPFS_MAGIC || m == unix.RAMFS_MAGIC) { //nolint:unconvert // its width depends on the architecture
		return g, errors.New("it is kept in memory, where layers are put only if it is named explicitly")
	}
	dir, err := os.MkdirTemp(base, "kaniko-probe-")
	if err != nil {
		return g, err
	}
	defer disk.Remove(dir)
	g.Dir = base

	var first error
	for _, g.UserXattr = range []bool{false, true} {
		for i, options := range overlayOptions() {
			g.Options = options
			if g.UserXattr {
				g.Options = join(options, "userxattr")
			}
			err := g.tryOverlay(ctx, filepath.Join(dir, fmt.Sprintf("%t%d", g.UserXattr, i)))
			if err == nil {
				return g.tryRoot(ctx, dir)
			}
			if first == nil {
				first = err
			}
		}
	}
	return g, first
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "," + b
}

// tryOverlay finds out whether an overlay below dir can be mounted and means by
// its marks what [disk] reads and writes.
func (g Grant) tryOverlay(ctx context.Context, dir string) error {
	for _, d := range []string{"", "low", "mid", "up", "work", "at"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	d := func(p tree.Path) layer.Change {
		return layer.Change{Path: p, Kind: layer.Put, Node: tree.Node{Type: tree.Dir, Mode: 0o755}}
	}
	mark := func(p tree.Path, k layer.Kind) layer.Change { return layer.Change{Path: p, Kind: k} }
	write := func(name string, cs ...layer.Change) error {
		return disk.WriteAll(ctx, filepath.Join(dir, name), disk.WriterOptions{Whiteouts: g.whiteouts()},
			func(yield func(layer.Change, error) bool) {
				for _, c := range cs {
					if !yield(c, nil) {
						return
					}
				}
			}, nil)
	}
	if err := write("low", d("a"), d("a/b"), d("c"), d("e"), d("e/f"), d("h"), d("h/i")); err != nil {
		return fmt.Errorf("write a directory: %w", err)
	}
	if err := write("mid", mark("c", layer.Delete), d("a"), mark("a", layer.Opaque)); err != nil {
		return fmt.Errorf("write overlay marks: %w", err)
	}
	at := filepath.Join(dir, "at")
	o := reaper.Overlay{Dir: dir, Lower: []string{"mid", "low"}, Upper: "up", Work: "work", Options: g.Options}
	if err := o.Mount(at); err != nil {
		return err
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	for _, gone := range []string{"c", "a/b"} {
		if _, err := os.Lstat(filepath.Join(at, gone)); err == nil {
			return fmt.Errorf("mount overlay: it does not heed the mark that hides %s", gone)
		}
	}
	if err := os.RemoveAll(filepath.Join(at, "e")); err != nil {
		return fmt.Errorf("delete in an overlay: %w", err)
	}
	if err := os.RemoveAll(filepath.Join(at, "h")); err != nil {
		return fmt.Errorf("delete in an overlay: %w", err)
	}
	if err := os.Mkdir(filepath.Join(at, "h"), 0o755); err != nil {
		return fmt.Errorf("replace a directory in an overlay: %w", err)
	}
	up, err := disk.Open(filepath.Join(dir, "up"), disk.Options{Overlay: g.overlayPrefix()})
	if err != nil {
		return err
	}
	defer up.Close()
	var whiteout, opaque bool
	for s, err := range up.Stats(tree.Root) {
		if err != nil {
			return err
		}
		whiteout = whiteout || s.Path == "e" && s.Whiteout
		opaque = opaque || s.Path == "h" && s.Opaque
	}
	if !whiteout || !opaque {
		return fmt.Errorf("read an upper directory: no marks are found where something was deleted (whiteout %t, opaque %t)", whiteout, opaque)
	}
	return nil
}

// tryRoot makes a sandbox's root and leaves it, with as much as is granted.
func (g Grant) tryRoot(ctx context.Context, dir string) (Grant, error) {
	if err := makeScaffold(ctx, filepath.Join(dir, "root")); err != nil {
		return g, err
	}
	if err := makeEtc(filepath.Join(dir, "etc")); err != nil {
		return g, err
	}
	const own = unix.CLONE_NEWNS | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	var last error
	for i, way := range []struct {
		namespaces uintptr
		freshProc  bool
	}{
		{own | unix.CLONE_NEWPID, true},
		{own, false},
		{unix.CLONE_NEWNS, false},
	} {
		g.Namespaces, g.FreshProc = way.namespaces, way.freshProc
		n := fmt.Sprint(i)
		for _, d := range []string{"up", "work", "at"} {
			if err := os.Mkdir(filepath.Join(dir, d+n), 0o755); err != nil {
				return g, err
			}
		}
		o := reaper.Overlay{Dir: dir, Lower: []string{"root"}, Upper: "up" + n, Work: "work" + n, Options: g.Options}
		err := reaper.Run(ctx, reaper.Spec{
			Root:       g.root(filepath.Join(dir, "at"+n), o, filepath.Join(dir, "etc"), false),
			Namespaces: g.Namespaces,
			SetupOnly:  true,
		})
		if err == nil {
			return g, nil
		}
		// What keeps the last, humblest way from working is what is missing.
		last = err
	}
	return g, last
}
