package disk

import (
	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Stamped reports whether the entry p is as the stamps say. What is in a directory
// is not looked at.
func (d *Dir) Stamped(o Scan, s *Stamps, p tree.Path) (bool, error) {
	at := s.find(p)
	if at == nil {
		return false, nil
	}
	now, _, err := d.stampOf(o, s, p)
	if absent(err) {
		return false, nil
	}
	return err == nil && now == *at, err
}

// Restamp makes the stamps say of the entry p what it is now, and what they said of
// all below it. It is for who changed the entry and put it back. An entry that the
// stamps do not know stays unknown.
func (d *Dir) Restamp(o Scan, s *Stamps, p tree.Path) error {
	at := s.find(p)
	if at == nil {
		return nil
	}
	now, newest, err := d.stampOf(o, s, p)
	if err != nil {
		return err
	}
	if (now^*at)&isDir == 0 || p == tree.Root {
		*at, s.newest = now, max(s.newest, newest)
	}
	return nil
}

// stampOf reads the entry p.
func (d *Dir) stampOf(o Scan, s *Stamps, p tree.Path) (stamp uint64, newest int64, err error) {
	w := (&scan{d: d, o: o, after: &Stamps{seed: s.seed}}).worker()
	fd, name := d.fd, ""
	if p != tree.Root {
		name = p.Base()
		if fd, err = openBelow(d.fd, p.Parent(), unix.O_RDONLY|unix.O_DIRECTORY); err == nil {
			defer unix.Close(fd)
		}
	}
	if err == nil {
		err = w.lookup(fd, name)
	}
	if err != nil {
		return 0, 0, pathError("lstat", d.name, p, err)
	}
	return w.stamp(), w.newest, nil
}

// find is where the stamp of p is; nil if there is none.
func (s *Stamps) find(p tree.Path) *uint64 {
	at, in := &s.own, &s.root
	for _, name := range p.Components() {
		if in == nil {
			return nil
		}
		at, in = in.find(name)
		if at == nil {
			return nil
		}
	}
	return at
}

// find is where the stamp of one entry is, and of a directory its folder.
func (f *folder) find(want string) (*uint64, *folder) {
	c := cursor{names: f.names, stamps: f.stamps, subs: f.subs}
	for ; c.more(); c.next() {
		if c.name() == want {
			return &c.stamps[0], c.sub()
		}
	}
	return nil, nil
}
