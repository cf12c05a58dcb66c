package disk

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Fields says what a stamp is made of.
type Fields uint8

// The sets of fields, from the strictest. Userland can set all of them but the
// inode's number and change time.
const (
	AllFields Fields = iota // device, inode, change time, links and all of the below
	Redo                    // time of modification, size, mode, owner
	TimeOnly                // time of modification
)

// Scan says what [Dir.Scan] looks at.
type Scan struct {
	// Held are left out, with all below them.
	Held []tree.Path
	// Fields of all scans of one directory must be the same.
	Fields Fields
	// Xattrs makes attributes part of the stamp, where the kernel does not change a
	// file's change time for them. It costs a system call per entry.
	Xattrs bool
	// Workers is how many directories are read at once; 0 is one.
	Workers int
	// Watch, if not nil, watches the directories from before they are read.
	Watch *Watch
}

// Stamps remember of every entry of a directory what betrays a change, in some
// 25 bytes per entry. They are compared only with later stamps of the same
// directory, never with a clock.
type Stamps struct {
	root   folder
	own    uint64 // the stamp of the directory itself
	newest int64
	seed   maphash.Seed
	// linked are the names of files that have several, in no order. There may be too
	// many of them.
	linked []tree.Path
}

// Newest is the latest change time among the entries.
func (s *Stamps) Newest() time.Time { return time.Unix(0, s.newest) }

// Len is the number of entries, the directory itself included.
func (s *Stamps) Len() int { return 1 + s.root.len() }

// folder is the stamps of one directory's entries, ordered by name.
type folder struct {
	names  string // each ends with a zero byte
	stamps []uint64
	subs   []*folder // of the entries whose stamp has isDir, in their order
}

// isDir is a stamp's lowest bit.
const isDir = 1

func (f *folder) len() int {
	n := len(f.stamps)
	for _, s := range f.subs {
		n += s.len()
	}
	return n
}

// each yields name, stamp and, of a directory, the folder.
func (f *folder) each(yield func(name string, stamp uint64, sub *folder)) {
	names, subs := f.names, f.subs
	for _, stamp := range f.stamps {
		i := strings.IndexByte(names, 0)
		name := names[:i]
		names = names[i+1:]
		var sub *folder
		if stamp&isDir != 0 {
			sub, subs = subs[0], subs[1:]
		}
		yield(name, stamp, sub)
	}
}

// Diff is what a scan found.
type Diff struct {
	Stamps *Stamps
	// Changed are the entries that are new or whose stamp differs, with everything
	// known of them, in no order. Sockets have no type.
	Changed []Stat
	// Gone are the entries that are not there any more; of a directory, itself only.
	Gone []tree.Path
}

// Scan reads the stamps of all entries, and compares them with those before if
// these are not nil.
func (d *Dir) Scan(ctx context.Context, o Scan, before *Stamps) (Diff, error) {
	s := &scan{d: d, o: o, held: newHeld(o.Held), before: before, after: &Stamps{seed: maphash.MakeSeed()}}
	if before != nil {
		s.after.seed = before.seed
	}
	return s.run(ctx)
}

// Refresh brings stamps up to date where it is known what may have changed: the
// entries of the directories dirs, and whatever is below those among them that
// are new. Nothing is compared.
func (d *Dir) Refresh(ctx context.Context, o Scan, before *Stamps, dirs []tree.Path) (*Stamps, error) {
	s := &scan{
		d: d, o: o, held: newHeld(o.Held), before: before, quiet: true,
		after: &Stamps{seed: before.seed, newest: before.newest},
		only:  map[tree.Path]bool{},
	}
	for _, p := range dirs {
		s.only[p] = true
		for p != tree.Root {
			p = p.Parent()
			if _, ok := s.only[p]; ok {
				break
			}
			s.only[p] = false
		}
	}
	diff, err := s.run(ctx)
	return diff.Stamps, err
}

// scan is one scan under way.
type scan struct {
	d             *Dir
	o             Scan
	held          held
	before, after *Stamps
	quiet         bool
	renew         bool // watch also what is watched
	// only, if not nil, holds the directories to read (true) and those on the way
	// to them (false).
	only map[tree.Path]bool

	mu    sync.Mutex
	more  *sync.Cond
	tasks []scanTask
	busy  int
	err   error
	diff  Diff
}

// scanTask is a directory to read.
type scanTask struct {
	path  tree.Path
	old   *folder // nil if it is new
	into  *folder
	fresh bool // not in before: read whatever only says
	same  bool // its stamp is as it was, and so is what watches it
}

func (s *scan) run(ctx context.Context) (Diff, error) {
	w := s.worker()
	if err := w.lookup(s.d.fd, ""); err != nil {
		return Diff{}, pathError("lstat", s.d.name, tree.Root, err)
	}
	s.after.own = w.stamp()
	s.after.newest = max(s.after.newest, w.newest)
	task := scanTask{path: tree.Root, into: &s.after.root, fresh: s.before == nil}
	if s.o.Watch != nil && s.only == nil {
		s.renew = s.o.Watch.begin()
	}
	if s.before != nil {
		task.old, task.same = &s.before.root, s.before.own == s.after.own
		if s.before.own != s.after.own && !s.quiet {
			if err := w.change(s.d.fd, "", tree.Root); err != nil {
				return Diff{}, pathError("lstat", s.d.name, tree.Root, err)
			}
		}
	}
	s.diff = Diff{Stamps: s.after, Changed: w.changed}
	s.more = sync.NewCond(&s.mu)
	s.tasks = []scanTask{task}
	stop := context.AfterFunc(ctx, func() { s.fail(context.Cause(ctx)) })
	defer stop()
	var wg sync.WaitGroup
	for range max(1, s.o.Workers) {
		wg.Go(func() { s.work(s.worker()) })
	}
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = context.Cause(ctx)
	}
	if s.err != nil {
		if s.o.Watch != nil {
			s.o.Watch.Doubt("a scan came to no end")
		}
		return Diff{}, s.err
	}
	if s.only != nil {
		for _, p := range s.before.linked {
			if !s.only[p.Parent()] {
				s.after.linked = append(s.after.linked, p)
			}
		}
	}
	return s.diff, nil
}

func (s *scan) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	s.more.Broadcast()
}

// work takes directories until there are none left. The newest comes first, which
// keeps the list short.
func (s *scan) work(w *scanWorker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.tasks) == 0 && s.busy > 0 && s.err == nil {
			s.more.Wait()
		}
		if len(s.tasks) == 0 || s.err != nil {
			break
		}
		task := s.tasks[len(s.tasks)-1]
		s.tasks = s.tasks[:len(s.tasks)-1]
		s.busy++
		s.mu.Unlock()
		w.tasks = w.tasks[:0]
		err := w.read(task)
		s.mu.Lock()
		s.busy--
		if err != nil && s.err == nil {
			s.err = err
		}
		s.tasks = append(s.tasks, w.tasks...)
		if len(w.tasks) > 0 || s.busy == 0 || s.err != nil {
			s.more.Broadcast()
		}
	}
	s.after.newest = max(s.after.newest, w.newest)
	s.diff.Changed = append(s.diff.Changed, w.changed...)
	s.diff.Gone = append(s.diff.Gone, w.gone...)
	s.after.linked = append(s.after.linked, w.linked...)
	w.changed, w.gone, w.linked = nil, nil, nil
}

type scanWorker struct {
	s       *scan
	st      unix.Stat_t
	key     [10]uint64
	attrs   uint64
	newest  int64
	tasks   []scanTask
	changed []Stat
	gone    []tree.Path
	linked  []tree.Path
	buf     []byte
	xbuf    []byte
	names   []dirent
	joined  []byte
}

func (s *scan) worker() *scanWorker {
	return &scanWorker{s: s, buf: make([]byte, direntBuffer), xbuf: make([]byte, 1024)}
}

// lookup reads name in the directory fd.
func (w *scanWorker) lookup(fd int, name string) error {
	flags := unix.AT_SYMLINK_NOFOLLOW
	if name == "" {
		flags |= unix.AT_EMPTY_PATH
	}
	for {
		err := unix.Fstatat(fd, name, &w.st, flags)
		if err == nil {
			break
		}
		if err != unix.EINTR {
			return err
		}
	}
	w.newest = max(w.newest, w.st.Ctim.Nano())
	w.attrs = 0
	if w.s.o.Xattrs {
		xattrs, err := readXattrs(fd, name, w.xbuf)
		if err != nil {
			return err
		}
		for attr, v := range xattrs { // a sum, as a map has no order
			w.attrs += maphash.String(w.s.after.seed, attr+"\x00"+v)
		}
	}
	return nil
}

// stamp is the hash of what lookup read.
func (w *scanWorker) stamp() uint64 {
	st := &w.st
	k := w.key[:0]
	switch w.s.o.Fields {
	case AllFields:
		k = append(k, uint64(st.Dev), st.Ino, uint64(st.Ctim.Nano()), uint64(st.Nlink))
		fallthrough
	case Redo:
		k = append(k, uint64(st.Mode), uint64(st.Uid)<<32|uint64(st.Gid), uint64(st.Size))
		fallthrough
	default:
		k = append(k, uint64(st.Mode)&unix.S_IFMT, uint64(st.Mtim.Nano()), w.attrs)
	}
	h := maphash.Bytes(w.s.after.seed, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(k))), len(k)*8))
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return h | isDir
	}
	return h &^ isDir
}

// change notes that the entry that lookup read differs.
func (w *scanWorker) change(fd int, name string, p tree.Path) error {
	s := Stat{
		Entry: tree.Entry{Path: p, Node: nodeOf(&w.st)},
		Inode: Inode{Dev: uint64(w.st.Dev), Ino: w.st.Ino},
		Links: uint64(w.st.Nlink),
		CTime: time.Unix(w.st.Ctim.Unix()),
	}
	var err error
	if s.Node.Type == tree.Symlink {
		if s.Node.Link, err = readlink(fd, name, int(w.st.Size)); err != nil {
			return err
		}
	}
	if s.Node.Type != 0 {
		if s.Node.Xattrs, err = readXattrs(fd, name, w.xbuf); err != nil {
			return err
		}
	}
	w.changed = append(w.changed, s)
	return nil
}

// read fills task.into from the directory.
func (w *scanWorker) read(task scanTask) error {
	s := w.s
	if s.only != nil && !task.fresh {
		if read := s.only[task.path]; !read {
			w.pass(task)
			return nil
		}
	}
	fd, err := openBelow(s.d.fd, task.path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		if absent(err) {
			return nil
		}
		return pathError("open directory", s.d.name, task.path, err)
	}
	defer unix.Close(fd)
	if s.o.Watch != nil && (task.fresh || !task.same || s.renew || s.only != nil) {
		s.o.Watch.add(fd, task.path, false)
	}
	w.names, err = readNames(fd, w.buf, w.names[:0])
	if err != nil {
		return pathError("read directory", s.d.name, task.path, err)
	}
	slices.SortFunc(w.names, func(a, b dirent) int { return strings.Compare(a.name, b.name) })
	w.joined = w.joined[:0]
	prefix := string(task.path)
	if task.path != tree.Root {
		prefix += "/"
	}
	guarded := s.held.leads(task.path)
	compare := s.before != nil && !s.quiet
	old := cursor{}
	if task.old != nil {
		old = cursor{names: task.old.names, stamps: task.old.stamps, subs: task.old.subs}
	}
	into := task.into
	into.stamps = make([]uint64, 0, len(w.names))
	// passed is called for what was there and is not now. What is held now was not
	// always.
	passed := func() {
		p := tree.Path(prefix + old.name())
		if compare && !(guarded && s.held.covers(p)) {
			w.gone = append(w.gone, p)
		}
		old.next()
	}
	for _, e := range w.names {
		if guarded && s.held.covers(tree.Path(prefix+e.name)) {
			continue
		}
		err := w.lookup(fd, e.name)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return pathError("lstat", s.d.name, tree.Path(prefix+e.name), err)
		}
		stamp := w.stamp()
		if w.several() {
			w.linked = append(w.linked, tree.Path(prefix+e.name))
		}
		for old.more() && old.name() < e.name {
			passed()
		}
		var was *folder
		same := false
		if old.more() && old.name() == e.name {
			was, same = old.sub(), old.stamps[0] == stamp
			old.next()
		}
		if compare && !same {
			if err := w.change(fd, e.name, tree.Path(prefix+e.name)); err != nil && err != unix.ENOENT {
				return pathError("lstat", s.d.name, tree.Path(prefix+e.name), err)
			}
		}
		w.joined = append(append(w.joined, e.name...), 0)
		into.stamps = append(into.stamps, stamp)
		if stamp&isDir == 0 {
			continue
		}
		w.descend(task, prefix+e.name, was, same)
	}
	for old.more() {
		passed()
	}
	into.names = string(w.joined)
	return nil
}

// several reports whether what lookup read is a file with several names.
func (w *scanWorker) several() bool {
	return w.st.Nlink > 1 && w.st.Mode&unix.S_IFMT != unix.S_IFDIR
}

// descend sees to the directory p, which was known as was, or not at all.
func (w *scanWorker) descend(task scanTask, p string, was *folder, same bool) {
	s := w.s
	if s.only != nil && was != nil {
		if _, ok := s.only[tree.Path(p)]; !ok {
			task.into.subs = append(task.into.subs, was)
			return
		}
	}
	sub := &folder{}
	task.into.subs = append(task.into.subs, sub)
	w.tasks = append(w.tasks, scanTask{path: tree.Path(p), old: was, into: sub, fresh: was == nil, same: same})
}

// pass copies a directory that is only on the way to those to read.
func (w *scanWorker) pass(task scanTask) {
	task.into.names, task.into.stamps = task.old.names, task.old.stamps
	prefix := string(task.path)
	if task.path != tree.Root {
		prefix += "/"
	}
	task.old.each(func(name string, stamp uint64, sub *folder) {
		if sub != nil {
			w.descend(task, prefix+name, sub, true)
		}
	})
}

// cursor goes through a folder.
type cursor struct {
	names  string
	stamps []uint64
	subs   []*folder
}

func (c *cursor) more() bool { return len(c.stamps) > 0 }

func (c *cursor) name() string { return c.names[:strings.IndexByte(c.names, 0)] }

func (c *cursor) sub() *folder {
	if c.stamps[0]&isDir != 0 {
		return c.subs[0]
	}
	return nil
}

func (c *cursor) next() {
	if c.stamps[0]&isDir != 0 {
		c.subs = c.subs[1:]
	}
	c.stamps = c.stamps[1:]
	c.names = c.names[strings.IndexByte(c.names, 0)+1:]
}
