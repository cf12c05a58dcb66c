package inplace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/executor/internal/mountsource"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/sandbox"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// cache is a directory of the machine that a command writes to.
type cache struct {
	dir   string
	how   cacheHow
	looks unix.Stat_t // of the directory before
}

// cacheHow is by which means a directory is shown.
type cacheHow uint8

const (
	moved  cacheHow = iota // it was renamed to the target
	linked                 // a link leads to it
	copied                 // the target is a copy
)

// directory shows a directory of the machine. Renamed into place it is what a
// mount would be. From another file system that is not possible: then a link leads
// to it, or it is copied for a user who could not follow the link.
func (p *placed) directory(ctx context.Context, d *sandbox.Directory) error {
	if now, ok := p.m.moved[d.Path]; ok {
		return os.Symlink(now, p.target.Abs())
	}
	if !p.m.d.protect.covers(tree.Clean(d.Path)) {
		return fmt.Errorf("show %s: it lies in the root that the build replaces", d.Path)
	}
	c := &cache{dir: d.Path}
	if err := unix.Lstat(d.Path, &c.looks); err != nil {
		return fmt.Errorf("show %s: %w", d.Path, err)
	}
	if c.looks.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("show %s: %w", d.Path, unix.ENOTDIR)
	}
	p.note.Source = d.Path
	if err := p.note.write(); err != nil {
		return err
	}
	switch err := os.Rename(d.Path, p.target.Abs()); {
	case err == nil:
		p.m.moved[d.Path] = p.target.Abs()
		p.cache = c
		return nil
	case !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EBUSY):
		return err
	}
	if p.m.reaches(d.Path) {
		c.how, p.cache = linked, c
		p.m.within = append(p.m.within, tree.Clean(d.Path))
		return os.Symlink(d.Path, p.target.Abs())
	}
	if err := p.copyDir(ctx, d.Path); err != nil {
		return err
	}
	c.how, p.cache = copied, c
	return nil
}

// reaches reports whether the command's user surely gets to what is in the
// directory dir, as far as what is above it goes.
func (m *mounts) reaches(dir string) bool {
	user, _, _ := strings.Cut(m.user, ":")
	if user == "" || user == "root" || user == "0" {
		return true
	}
	const all = 0o001
	for dir = filepath.Dir(dir); dir != "/"; dir = filepath.Dir(dir) {
		if st, err := os.Stat(dir); err != nil || st.Mode().Perm()&all == 0 {
			return false
		}
	}
	return true
}

// takeBack makes c.dir hold what the command left in it.
func (c *cache) takeBack(ctx context.Context, p *placed) error {
	var st unix.Stat_t
	isDir := unix.Lstat(p.at.path(), &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch c.how {
	case moved:
		from, ok := p.find()
		if !ok && isDir { // deleted and made anew
			from, ok = p.at.path(), true
		}
		if ok {
			if err := os.Rename(from, c.dir); err != nil {
				return err
			}
			// It is no longer to be taken away.
			err := p.thing.Close()
			p.thing = nil
			if from == p.at.path() {
				err = errors.Join(err, c.dress(c.dir))
			}
			return err
		}
		// Deleted, which nobody can do with a mount: what was in it is gone, as wanted.
		if err := os.Mkdir(c.dir, 0o700); err != nil {
			return err
		}
		return c.dress(c.dir)
	default:
		// A link may have been replaced by a directory.
		if !isDir || ctx.Err() != nil {
			return nil
		}
		return c.replace(ctx, p)
	}
}

// dress gives a directory the owner and mode that c.dir had.
func (c *cache) dress(dir string) error {
	if err := unix.Lchown(dir, int(c.looks.Uid), int(c.looks.Gid)); err != nil {
		return err
	}
	return unix.Chmod(dir, c.looks.Mode&0o7777)
}

// replace makes c.dir a copy of the target. Whenever it is interrupted, either the
// old or the new one is there, or at the next start.
func (c *cache) replace(ctx context.Context, p *placed) (err error) {
	p.note.New = filepath.Join(filepath.Dir(c.dir), ".kaniko-new-"+filepath.Base(c.dir))
	if err := p.note.write(); err != nil {
		return err
	}
	if err := os.Mkdir(p.note.New, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Remove(p.note.New)) }()
	from, err := disk.Open(p.at.path(), disk.Options{Xattrs: true})
	if err != nil {
		return err
	}
	made, err := mountsource.Materialize(ctx, &sandbox.Bind{FS: from}, p.note.New)
	if err := errors.Join(err, from.Close()); err != nil {
		return err
	}
	// Under a name of its own: what has it is known to be complete.
	whole, old := filepath.Join(p.note.New, wholeName), filepath.Join(p.note.New, "old")
	if c.how == linked {
		if err := c.dress(made); err != nil {
			return err
		}
	}
	if err := os.Rename(made, whole); err != nil {
		return err
	}
	if err := os.Rename(c.dir, old); err != nil {
		return err
	}
	if err := os.Rename(whole, c.dir); err != nil {
		return errors.Join(err, os.Rename(old, c.dir))
	}
	return nil
}
