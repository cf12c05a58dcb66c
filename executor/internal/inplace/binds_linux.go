package inplace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/mountsource"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// bindsName is the directory, in the driver's own, with copies that no command has
// changed and the next may want again.
const bindsName = "binds"

// bindKey is what a copy shows.
type bindKey struct {
	key  string
	from tree.Path
}

// copies is a copied directory, and how to tell whether a command changed it.
type copies struct {
	key    bindKey
	stamps *disk.Stamps
	looks  unix.Stat_t // of the directory itself, whose change time moving it alters
}

// kept is a copy that is put by.
type kept struct {
	path string
	*copies
}

// files shows a copy of files, an earlier one if there is one.
func (p *placed) files(ctx context.Context, b *sandbox.Bind) error {
	d, key := p.m.d, bindKey{key: b.Key, from: b.From}
	if k, ok := d.binds[key]; ok {
		delete(d.binds, key)
		err := os.Rename(k.path, p.target.Abs())
		if err == nil {
			p.copies = k.copies
			return nil
		}
		if err := disk.Remove(k.path); err != nil {
			return err
		}
	}
	if err := p.copy(ctx, b); err != nil || b.Key == "" {
		return err
	}
	st, stamps, err := p.scan(ctx, p.target.Abs(), nil)
	if err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return err
	}
	p.copies = &copies{key: key, stamps: stamps.Stamps, looks: st}
	// A change by the command must not fall into the same grain of the clock.
	return settle(ctx, stamps.Stamps)
}

// copy copies files to the target.
func (p *placed) copy(ctx context.Context, b *sandbox.Bind) (err error) {
	p.note.Temp = p.sibling() + "-copy"
	if err := p.note.write(); err != nil {
		return err
	}
	if err := os.Mkdir(p.note.Temp, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Remove(p.note.Temp)) }()
	made, err := mountsource.Materialize(ctx, b, p.note.Temp)
	if err != nil {
		return err
	}
	return os.Rename(made, p.target.Abs())
}

// copyDir copies a directory of this machine to the target.
func (p *placed) copyDir(ctx context.Context, dir string) error {
	d, err := disk.Open(dir, disk.Options{Xattrs: true})
	if err != nil {
		return err
	}
	return errors.Join(p.copy(ctx, &sandbox.Bind{FS: d}), d.Close())
}

// scan looks at a directory; of anything else it gives only the looks.
func (p *placed) scan(ctx context.Context, dir string, before *disk.Stamps) (st unix.Stat_t, diff disk.Diff, err error) {
	if err := unix.Lstat(dir, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return st, diff, err
	}
	fsys, err := disk.Open(dir, disk.Options{Xattrs: true})
	if err != nil {
		return st, diff, err
	}
	defer fsys.Close()
	diff, err = fsys.Scan(ctx, disk.Scan{Xattrs: p.m.d.quirks.silentXattr, Workers: min(4, max(2, runtime.GOMAXPROCS(0)))}, before)
	return st, diff, err
}

// putBy keeps the copy for another command, if this one has left it as it was. Where
// that is not certain it stays where it is, to be removed.
func (p *placed) putBy(ctx context.Context) {
	path, ok := p.find()
	if !ok || ctx.Err() != nil {
		return
	}
	st, diff, err := p.scan(ctx, path, p.copies.stamps)
	if err != nil || len(diff.Gone) > 0 || len(diff.Changed) > 1 || len(diff.Changed) == 1 && diff.Changed[0].Path != tree.Root {
		return
	}
	if was := p.copies.looks; st.Mode != was.Mode || st.Uid != was.Uid || st.Gid != was.Gid || st.Mtim != was.Mtim {
		return
	}
	d := p.m.d
	if err := os.MkdirAll(d.path(bindsName), 0o700); err != nil {
		return
	}
	if _, ok := d.binds[p.copies.key]; ok {
		return // it was mounted twice
	}
	to := filepath.Join(d.path(bindsName), strconv.Itoa(d.notes)+"-"+p.note.name())
	if os.Rename(path, to) != nil {
		return
	}
	d.binds[p.copies.key] = kept{path: to, copies: p.copies}
	p.thing.Close()
	p.thing = nil
}
