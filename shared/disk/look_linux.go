package disk

import (
	"context"
	"maps"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Looked is what a [Dir.Look] found.
type Looked struct {
	Diff
	// Entries is how many were looked at.
	Entries int
	// Unsure, if not empty, says why a [Dir.Scan] may find more.
	Unsure string
}

// manyLinks is a number of names of files with several from which on they are
// compared with the number of entries: looking at most of these one by one takes
// longer than a scan.
const manyLinks = 1000

// Look is a Scan that looks only at entries, and at what may change without their
// directory being told: the names of files with several names. No directory may have
// come or been moved since.
func (d *Dir) Look(ctx context.Context, o Scan, before *Stamps, entries []tree.Path) (Looked, error) {
	if n := len(before.linked); n > manyLinks && n > before.Len()/8 {
		return Looked{Unsure: "too many files have several names"}, nil
	}
	s := &scan{d: d, o: o, after: &Stamps{seed: before.seed, newest: before.newest}}
	l := &look{ctx: ctx, scanWorker: s.worker(), files: map[Inode]*seen{}}
	held := newHeld(o.Held)
	top := &sight{}
	for _, list := range [][]tree.Path{entries, before.linked} {
		for _, p := range list {
			if !held.within(p) {
				top.at(p).look = true
			}
		}
	}
	if err := l.root(before, top); err != nil {
		return Looked{}, err
	}
	for _, f := range l.files {
		if f.changed && f.names != f.links {
			l.unsure = "a file has names that are not known"
		}
	}
	s.after.newest, s.after.linked = max(s.after.newest, l.newest), l.linked
	return Looked{
		Diff:    Diff{Stamps: s.after, Changed: l.changed, Gone: l.gone},
		Entries: l.entries, Unsure: l.unsure,
	}, nil
}

// sight is an entry to look at, or one on the way there.
type sight struct {
	look  bool
	below map[string]*sight
}

// at is the sight of the entry p.
func (s *sight) at(p tree.Path) *sight {
	for _, name := range p.Components() {
		next := s.below[name]
		if next == nil {
			if s.below == nil {
				s.below = map[string]*sight{}
			}
			next = &sight{}
			s.below[name] = next
		}
		s = next
	}
	return s
}

// looks reports whether something directly in the directory is to be looked at.
func (s *sight) looks() bool {
	for _, b := range s.below {
		if b.look {
			return true
		}
	}
	return false
}

// look is one Look under way.
type look struct {
	*scanWorker
	ctx     context.Context
	files   map[Inode]*seen
	entries int
	unsure  string
}

// seen is a file with several names.
type seen struct {
	names, links uint64
	changed      bool
}

func (l *look) root(before *Stamps, at *sight) error {
	after := l.s.after
	after.own = before.own
	if at.look {
		l.entries++
		if err := l.lookup(l.s.d.fd, ""); err != nil {
			return pathError("lstat", l.s.d.name, tree.Root, err)
		}
		if after.own = l.stamp(); after.own != before.own {
			if err := l.change(l.s.d.fd, "", tree.Root); err != nil {
				return pathError("lstat", l.s.d.name, tree.Root, err)
			}
		}
	}
	root, err := l.folder(tree.Root, &before.root, at)
	if err == nil {
		after.root = *root
	}
	return err
}

// folder is what becomes of the directory p, which was old.
func (l *look) folder(p tree.Path, old *folder, at *sight) (*folder, error) {
	if len(at.below) == 0 {
		return old, nil
	}
	if l.ctx.Err() != nil {
		return nil, context.Cause(l.ctx)
	}
	fd := -1
	if at.looks() {
		var err error
		if fd, err = openBelow(l.s.d.fd, p, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
			if absent(err) {
				l.unsure = "a directory went unseen"
				return old, nil
			}
			return nil, pathError("open directory", l.s.d.name, p, err)
		}
		defer unix.Close(fd)
	}
	m := merge{into: &folder{}, old: cursor{names: old.names, stamps: old.stamps, subs: old.subs}}
	for _, name := range slices.Sorted(maps.Keys(at.below)) {
		for m.old.more() && m.old.name() < name {
			m.keep()
		}
		if err := l.entry(fd, p.Join(name), at.below[name], &m); err != nil {
			return nil, err
		}
	}
	for m.old.more() {
		m.keep()
	}
	m.into.names = string(m.names)
	return m.into, nil
}

// entry is what becomes of the entry p of the directory fd. It is the next of m.old,
// or was not there.
func (l *look) entry(fd int, p tree.Path, at *sight, m *merge) error {
	name := p.Base()
	known := m.old.more() && m.old.name() == name
	var stamp uint64
	var was *folder
	if known {
		stamp, was = m.old.stamps[0], m.old.sub()
		m.old.next()
	}
	if at.look {
		l.entries++
		err := l.lookup(fd, name)
		if err == unix.ENOENT {
			if known {
				l.gone = append(l.gone, p)
			}
			return nil
		}
		if err != nil {
			return pathError("lstat", l.s.d.name, p, err)
		}
		now := l.stamp()
		l.links(p, !known || now != stamp)
		if !known || now != stamp {
			if err := l.change(fd, name, p); err != nil && err != unix.ENOENT {
				return pathError("lstat", l.s.d.name, p, err)
			}
		}
		known, stamp = true, now
	}
	if !known {
		return nil
	}
	if stamp&isDir == 0 {
		m.put(name, stamp, nil)
		return nil
	}
	if was == nil {
		l.unsure = "a directory came unseen"
		was = &folder{}
	}
	sub, err := l.folder(p, was, at)
	if err == nil {
		m.put(name, stamp, sub)
	}
	return err
}

// links notes the file at p that lookup read, if it has several names.
func (l *look) links(p tree.Path, changed bool) {
	if !l.several() {
		return
	}
	l.linked = append(l.linked, p)
	id := Inode{Dev: uint64(l.st.Dev), Ino: l.st.Ino}
	f := l.files[id]
	if f == nil {
		f = &seen{}
		l.files[id] = f
	}
	f.names++
	f.links = uint64(l.st.Nlink)
	f.changed = f.changed || changed
}

// merge makes a folder of another and of what is new.
type merge struct {
	into  *folder
	old   cursor
	names []byte
}

// keep takes the next entry as it was.
func (m *merge) keep() {
	m.put(m.old.name(), m.old.stamps[0], m.old.sub())
	m.old.next()
}

func (m *merge) put(name string, stamp uint64, sub *folder) {
	m.names = append(append(m.names, name...), 0)
	m.into.stamps = append(m.into.stamps, stamp)
	if stamp&isDir != 0 {
		m.into.subs = append(m.into.subs, sub)
	}
}
