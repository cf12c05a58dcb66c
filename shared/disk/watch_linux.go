package disk

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Watch notes what is done to the entries of directories, by inotify(7). It watches
// the directories that a [Dir.Scan] or a [Dir.Refresh] reads, from before it reads
// them, and those of [Watch.Aside].
//
// The kernel tells of a name in a directory, not of a file. What is done to a file by
// another name is thus not told of under the first: [Dir.Look] looks at all names of
// files that have several. A new name that is gone before anybody looks may have been
// one more name of any file, and so may names in directories that are too new to be
// watched. Such things make a Watch unsure.
//
// It may be used by several goroutines.
type Watch struct {
	d     *Dir
	file  *os.File
	limit int
	skip  func(tree.Path) bool
	ended chan struct{}

	mu     sync.Mutex
	buf    []byte
	dirs   map[int32]watched
	marked map[tree.Path]bool
	// newborn are names that a new file has had, aside or not, and moving the cookies
	// of those on their way to another name.
	newborn map[tree.Path]bool
	moving  map[uint32]bool
	// made are directories that came, whether aside or not: they may not be watched.
	made map[tree.Path]bool
	// unsure says why marked may not be all that commands did; lost why it may not
	// even be all that the kernel told of, until everything is looked at.
	unsure, lost string
	broken       error
}

// watched is a directory.
type watched struct {
	path  tree.Path
	aside bool
	gone  bool
}

// Marks are what a [Watch] knows.
type Marks struct {
	// Entries may have changed, their directories among them. Nothing else has, but
	// for files with several names.
	Entries []tree.Path
	// Unsure, if not empty, says why that is not certain.
	Unsure string
}

const (
	watchMask = unix.IN_MODIFY | unix.IN_ATTRIB | unix.IN_CLOSE_WRITE | unix.IN_CREATE | unix.IN_DELETE |
		unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_DELETE_SELF | unix.IN_ONLYDIR
	watchBuffer = 64 << 10 // bytes
	// watchPause lets events gather. The kernel keeps 16,384 of them by default.
	watchPause = 4 * time.Millisecond
	// maxMarks bounds each of a Watch's sets.
	maxMarks = 1 << 15
	// watchLimitName is how many directories one user may watch, in all containers
	// that share the user. Half of them are left to others.
	watchLimitName = "/proc/sys/fs/inotify/max_user_watches"
)

// NewWatch makes a watch that watches nothing yet. Skip names directories of
// [Watch.Aside] to leave out.
func (d *Dir) NewWatch(skip func(tree.Path) bool) (*Watch, error) {
	b, err := os.ReadFile(watchLimitName)
	if err != nil {
		return nil, fmt.Errorf("watch directories: %w", err)
	}
	limit, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return nil, fmt.Errorf("watch directories: read %s: %w", watchLimitName, err)
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch directories: %w", err)
	}
	w := &Watch{
		d: d, file: os.NewFile(uintptr(fd), "inotify"), limit: limit / 2, skip: skip, ended: make(chan struct{}),
		buf: make([]byte, watchBuffer), dirs: map[int32]watched{},
	}
	w.forget()
	w.made = map[tree.Path]bool{}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	go w.listen(raw)
	return w, nil
}

// Close ends the watch.
func (w *Watch) Close() error {
	err := w.file.Close()
	<-w.ended
	return err
}

// forget begins anew to note.
func (w *Watch) forget() {
	w.marked, w.newborn, w.moving, w.unsure = map[tree.Path]bool{}, map[tree.Path]bool{}, map[uint32]bool{}, ""
}

// listen takes what the kernel has to tell before it has too much of it.
func (w *Watch) listen(raw syscall.RawConn) {
	defer close(w.ended)
	// It ends with the file.
	_ = raw.Read(func(fd uintptr) bool {
		w.mu.Lock()
		w.drain(int(fd))
		w.mu.Unlock()
		time.Sleep(watchPause)
		return false
	})
}

// now takes all that the kernel has to tell.
func (w *Watch) now() {
	raw, err := w.file.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { w.drain(int(fd)) })
	}
	if err != nil {
		w.lost = err.Error()
	}
}

func (w *Watch) drain(fd int) {
	for {
		n, err := retry(func() (int, error) { return unix.Read(fd, w.buf) })
		switch {
		case err == unix.EAGAIN:
			return
		case err != nil:
			w.lost = "events cannot be read: " + err.Error()
			return
		}
		for rest := w.buf[:n]; len(rest) >= unix.SizeofInotifyEvent; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(unsafe.SliceData(rest)))
			rest = rest[unix.SizeofInotifyEvent:]
			name, _, _ := strings.Cut(string(rest[:e.Len]), "\x00")
			rest = rest[e.Len:]
			w.event(e, name)
		}
	}
}

// event notes one event.
func (w *Watch) event(e *unix.InotifyEvent, name string) {
	if e.Mask&unix.IN_Q_OVERFLOW != 0 {
		w.lost = "the kernel had more events than it keeps"
		return
	}
	dir, ok := w.dirs[e.Wd]
	switch {
	case !ok:
		return // it ended
	case e.Mask&unix.IN_DELETE_SELF != 0:
		dir.gone = true
		w.dirs[e.Wd] = dir
		return
	case e.Mask&unix.IN_IGNORED != 0:
		delete(w.dirs, e.Wd)
		if !dir.gone {
			w.lost = "a directory is not watched any more"
		}
		return
	case e.Mask&unix.IN_UNMOUNT != 0:
		w.lost = "something was unmounted"
		return
	}
	if !dir.aside {
		w.mark(dir.path)
	}
	if name == "" {
		return
	}
	p := dir.path.Join(name)
	if !dir.aside {
		w.mark(p)
	}
	if e.Mask&unix.IN_ISDIR != 0 {
		w.directory(e.Mask, p, dir.aside)
	} else {
		w.other(e, p, dir.aside)
	}
}

// directory notes what happens to the name of a directory.
func (w *Watch) directory(mask uint32, p tree.Path, aside bool) {
	switch {
	case mask&(unix.IN_CREATE|unix.IN_MOVED_TO) != 0:
		w.unsure = "a directory was made or moved"
		w.made[p] = aside
		w.bound(len(w.made))
	case mask&unix.IN_MOVED_FROM != 0:
		w.unsure = "a directory was moved"
	}
}

const (
	vanished = "a new file went again"
	strayed  = "a file got a name that no image has"
)

// other notes what happens to a name of what is no directory.
func (w *Watch) other(e *unix.InotifyEvent, p tree.Path, aside bool) {
	_, newborn := w.newborn[p]
	switch {
	case e.Mask&unix.IN_CREATE != 0:
		w.newborn[p] = aside
		w.bound(len(w.newborn))
	case e.Mask&unix.IN_DELETE != 0:
		if newborn {
			w.unsure = vanished
		}
	case e.Mask&unix.IN_MOVED_FROM != 0:
		// Not taken from newborn: two names may have been exchanged.
		w.moving[e.Cookie] = newborn
		w.bound(len(w.moving))
	case e.Mask&unix.IN_MOVED_TO != 0:
		is, known := w.moving[e.Cookie]
		delete(w.moving, e.Cookie)
		switch {
		case !known:
			w.unsure = "a file came from nowhere"
		case newborn:
			w.unsure = vanished // something else is in its place
		case is:
			w.newborn[p] = aside
		}
	}
}

func (w *Watch) mark(p tree.Path) {
	w.marked[p] = true
	w.bound(len(w.marked))
}

// bound gives up where a set has become as large as is allowed. Scans begin anew.
func (w *Watch) bound(n int) {
	if n >= maxMarks {
		w.forget()
		w.made = map[tree.Path]bool{}
		w.lost = "too much happened"
	}
}

// add watches the open directory fd, which is at p. It reports whether that was
// watched there already.
func (w *Watch) add(fd int, p tree.Path, aside bool) (known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broken != nil {
		return false
	}
	if len(w.dirs) >= w.limit {
		w.broken = fmt.Errorf("there are more than %d directories", w.limit)
		return false
	}
	var wd int
	raw, err := w.file.SyscallConn()
	if err == nil {
		cerr := raw.Control(func(at uintptr) {
			// The descriptor and no path, which may have become another's.
			wd, err = retry(func() (int, error) {
				return unix.InotifyAddWatch(int(at), "/proc/self/fd/"+strconv.Itoa(fd), watchMask)
			})
		})
		err = errors.Join(cerr, err)
	}
	if err != nil {
		w.broken = fmt.Errorf("%s cannot be watched: %w", p.Abs(), err)
		return false
	}
	was, ok := w.dirs[int32(wd)]
	w.dirs[int32(wd)] = watched{path: p, aside: aside}
	return ok && was.path == p
}

// begin is called before everything is looked at, with the watch. It ends all doubt,
// and reports whether all directories are to be watched anew.
func (w *Watch) begin() (renew bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	renew = w.lost != ""
	w.lost = ""
	return renew
}

// Err says why the watch does not watch all that it should, and never will: the
// kernel allows no more.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.broken
}

// Take is all that was done since the last Take or Idle, for who then looks at it. If
// it is unsure, everything is to be looked at, by a [Dir.Scan] with the watch.
func (w *Watch) Take() Marks {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now()
	for _, newborn := range w.moving {
		if newborn {
			w.unsure = vanished
		}
	}
	w.strays()
	m := Marks{Entries: w.entries(), Unsure: cmp.Or(w.lost, w.unsure)}
	if w.broken != nil {
		m.Unsure = w.broken.Error()
	}
	w.forget()
	return m
}

// strays looks for new names aside of files that have others too.
func (w *Watch) strays() {
	for p, aside := range w.newborn {
		var st unix.Stat_t
		if !aside {
			continue
		}
		if err := unix.Fstatat(w.d.fd, string(p), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || st.Nlink > 1 {
			w.unsure = cmp.Or(w.unsure, strayed)
		}
	}
}

// Idle is all that was done since the last Take or Idle while no command ran: what
// would make it unsure of commands does not.
func (w *Watch) Idle() []tree.Path {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now()
	list := w.entries()
	w.forget()
	return list
}

func (w *Watch) entries() []tree.Path {
	list := make([]tree.Path, 0, len(w.marked))
	for p := range w.marked {
		list = append(list, p)
	}
	return list
}

// Again notes an entry that was taken and not looked at.
func (w *Watch) Again(p tree.Path) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mark(p)
}

// Doubt makes the watch unsure until everything has been looked at.
func (w *Watch) Doubt(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = why
}

// Dirs is how many directories are watched.
func (w *Watch) Dirs() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dirs)
}

// Aside watches a directory, with all below it, that no scan reads. Nothing in it is
// ever among [Marks.Entries]; it can make the watch unsure.
func (w *Watch) Aside(p tree.Path) error {
	if w.skip != nil && w.skip(p) {
		return nil
	}
	fd, err := openBelow(w.d.fd, p, unix.O_RDONLY|unix.O_DIRECTORY)
	if absent(err) {
		return nil // or no directory
	}
	if err != nil {
		return pathError("open directory", w.d.name, p, err)
	}
	defer unix.Close(fd)
	w.add(fd, p, true)
	names, err := readNames(fd, make([]byte, direntBuffer), nil)
	if absent(err) {
		return nil // what a driver throws away is deleted meanwhile
	}
	if err != nil {
		return pathError("read directory", w.d.name, p, err)
	}
	for _, e := range names {
		if e.typ != unix.DT_DIR && e.typ != unix.DT_UNKNOWN {
			continue
		}
		if err := w.Aside(p.Join(e.name)); err != nil {
			return err
		}
	}
	return nil
}

// Confirm sees to it that directories that came since are watched. One that no scan
// has found makes the watch unsure.
func (w *Watch) Confirm() error {
	w.mu.Lock()
	made := w.made
	w.made = map[tree.Path]bool{}
	w.mu.Unlock()
	for p, aside := range made {
		confirm := w.confirm
		if aside {
			confirm = w.Aside
		}
		if err := confirm(p); err != nil {
			return err
		}
	}
	return nil
}

func (w *Watch) confirm(p tree.Path) error {
	fd, err := openBelow(w.d.fd, p, unix.O_RDONLY|unix.O_DIRECTORY)
	if absent(err) {
		return nil
	}
	if err != nil {
		return pathError("open directory", w.d.name, p, err)
	}
	defer unix.Close(fd)
	if !w.add(fd, p, false) {
		w.Doubt(p.Abs() + " came unseen")
	}
	return nil
}
