package tree

import (
	"math"
	"time"
)

// packed is a [Node] in half the memory, with what a tree knows of it besides, since a
// tree has millions of them: what few nodes have stands apart.
type packed struct {
	size        int64
	seconds     int64 // since 1970
	fingerprint uint64
	rare        *rare // never changed, but replaced: copies of a tree share it
	nanoseconds uint32
	uid, gid    uint32
	mark        Mark
	mode        Mode
	kind        Type
}

// rare is what few nodes have.
type rare struct {
	link     string
	dev      Dev
	xattrs   Xattrs
	uid, gid int // if wide
	wide     bool
	hard     *inode // shared by all names of one file; nil for a file with one name
}

func pack(n Node) packed {
	p := packed{
		size: n.Size, seconds: n.MTime.Unix(), fingerprint: n.Fingerprint,
		nanoseconds: uint32(n.MTime.Nanosecond()), uid: uint32(n.UID), gid: uint32(n.GID),
		mode: n.Mode, kind: n.Type,
	}
	wide := !fits(n.UID) || !fits(n.GID)
	if n.Link != "" || n.Dev != (Dev{}) || n.Xattrs != nil || wide {
		p.rare = &rare{link: n.Link, dev: n.Dev, xattrs: n.Xattrs, uid: n.UID, gid: n.GID, wide: wide}
	}
	return p
}

func fits(id int) bool { return 0 <= id && int64(id) <= math.MaxUint32 }

func (p *packed) node() Node {
	n := Node{
		Type: p.kind, Mode: p.mode, UID: int(p.uid), GID: int(p.gid), Size: p.size,
		MTime: time.Unix(p.seconds, int64(p.nanoseconds)).UTC(), Fingerprint: p.fingerprint,
	}
	if r := p.rare; r != nil {
		n.Link, n.Dev, n.Xattrs = r.link, r.dev, r.xattrs
		if r.wide {
			n.UID, n.GID = r.uid, r.gid
		}
	}
	return n
}

// hard is the identity that n shares with other names of the file, nil if there are none.
func (p *packed) hard() *inode {
	if p.rare == nil {
		return nil
	}
	return p.rare.hard
}

func (p *packed) setHard(i *inode) {
	var r rare
	if p.rare != nil {
		r = *p.rare
	}
	r.hard = i
	p.rare = &r
}
