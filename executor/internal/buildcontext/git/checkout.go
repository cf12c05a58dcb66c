package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/index"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// maxLink bounds a symbolic link's target, in bytes: the kernel takes no longer one.
const maxLink = 4095

// fetch has a module, and those in it, checked out.
func (f *fetcher) fetch(ctx context.Context, m module) (commit string, err error) {
	s := f.store(m)
	defer s.Close()
	w, err := f.download(ctx, m, s)
	if err != nil {
		return "", err
	}
	fail := func(attempt string, err error) error {
		if err == nil || known(err) {
			return err
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &Error{Repository: m.at.String(), Attempt: attempt + " " + m.spoken(), Err: err}
	}
	c, err := peel(s, w.hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) && w.exact {
		return "", &RefError{Repository: m.at.String(), Ref: w.hash.String()}
	}
	if err != nil {
		return "", fail("read", err)
	}
	if m.nesting == 0 {
		f.time = between(c.Committer.When)
		if f.checkout {
			f.time = time.Now()
		}
	}
	out := &checkout{ctx: ctx, store: s, time: f.time, seen: map[tree.Path]bool{}, keep: f.keep}
	if f.keep && m.path != "" {
		up := strings.Repeat("../", strings.Count(m.path, "/")+1)
		out.pointer = "gitdir: " + up + m.gitDir + "\n"
	}
	root, err := c.Tree()
	if err != nil {
		return "", fail("read", err)
	}
	top, above, err := descend(s, root, m.dir)
	if err != nil {
		return "", fail("find the directory "+m.dir+" in", err)
	}
	out.dir = m.dir
	if err := write(ctx, filepath.Join(f.root, filepath.FromSlash(m.path)), out.changes(top, above)); err != nil {
		return "", fail("check out", err)
	}
	if f.keep {
		if err := f.repository(m, s, w, c.Hash, out.entries); err != nil {
			return "", fail("keep the repository at", err)
		}
	}
	if f.submodules && len(out.links) > 0 {
		if err := f.modules(ctx, m, s, root, out.links); err != nil {
			return "", fail("check out the submodules at", err)
		}
	}
	return c.Hash.String(), nil
}

// between is the nearest time that git's index can hold: a commit may claim any.
func between(t time.Time) time.Time {
	return time.Unix(min(max(t.Unix(), 0), math.MaxUint32), 0)
}

// descend finds a directory of a tree, and what the files above it say of its
// files. Links are not followed.
func descend(s *filesystem.Storage, root *object.Tree, dir string) (_ *object.Tree, above attributes, err error) {
	at, t := "", root
	for name := range strings.SplitSeq(dir, "/") {
		if name == "" {
			break
		}
		if above, err = above.into(s, t, at); err != nil {
			return nil, above, err
		}
		if t, err = t.Tree(name); errors.Is(err, object.ErrDirectoryNotFound) || errors.Is(err, object.ErrEntryNotFound) {
			return nil, above, &DirError{Dir: dir}
		}
		if err != nil {
			return nil, above, err
		}
		at = path.Join(at, name)
	}
	return t, above, nil
}

// A DirError is a sub-directory that the commit does not have.
type DirError struct{ Dir string }

func (e *DirError) Error() string { return "the commit has no directory " + e.Dir }

// ExitCode is EX_DATAERR.
func (e *DirError) ExitCode() int { return 65 }

// Hint says what to look at.
func (e *DirError) Hint() string {
	return "check the part after the colon, or subdir=: it must be a directory of that commit, and links are not followed"
}

// checkout makes a stream of files of a tree.
type checkout struct {
	ctx     context.Context
	store   *filesystem.Storage
	time    time.Time
	keep    bool
	dir     string // of the repository, that the files are in
	pointer string // content of the file .git; empty is none
	seen    map[tree.Path]bool
	links   []gitLink
	entries []*index.Entry // if the repository is kept
}

// gitLink is the place of a submodule.
type gitLink struct {
	path string // from the top of the repository's files that are wanted
	hash plumbing.Hash
}

func (c *checkout) changes(top *object.Tree, above attributes) layer.Changes {
	return func(yield func(layer.Change, error) bool) {
		if !yield(c.put(tree.Root, tree.Node{Type: tree.Dir, Mode: 0o755}), nil) {
			return
		}
		if c.pointer != "" {
			pointer := c.put(tree.Clean(gitDir), tree.Node{Type: tree.File, Mode: 0o644, Size: int64(len(c.pointer))})
			pointer.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(c.pointer)), nil }
			if !yield(pointer, nil) {
				return
			}
		}
		if err := c.walk(top, "", above, yield); err != nil && !errors.Is(err, errStopped) {
			yield(layer.Change{}, err)
		}
	}
}

// errStopped says that nobody wants more.
var errStopped = errors.New("stopped")

func (c *checkout) put(p tree.Path, n tree.Node) layer.Change {
	n.UID, n.GID = owner()
	n.MTime = c.time
	return layer.Change{Path: p, Kind: layer.Put, Node: n}
}

func (c *checkout) walk(t *object.Tree, dir string, above attributes, yield func(layer.Change, error) bool) error {
	says, err := above.into(c.store, t, path.Join(c.dir, dir))
	if err != nil {
		return err
	}
	for _, e := range t.Entries {
		if err := c.ctx.Err(); err != nil {
			return context.Cause(c.ctx)
		}
		if err := checkName(e.Name); err != nil {
			return &HostileError{Path: path.Join(dir, e.Name), Err: err}
		}
		name := path.Join(dir, e.Name)
		p := tree.Clean(name)
		if c.seen[p] {
			return &HostileError{Path: name, Err: errors.New("it is there twice")}
		}
		c.seen[p] = true
		change, err := c.change(p, e, says)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if c.keep && e.Mode != filemode.Dir {
			mode := e.Mode
			if mode == filemode.Deprecated {
				mode = filemode.Regular
			}
			c.entries = append(c.entries, &index.Entry{Name: name, Hash: e.Hash, Mode: mode, Size: uint32(change.Node.Size), ModifiedAt: c.time})
		}
		if !yield(change, nil) {
			return errStopped
		}
		switch e.Mode {
		case filemode.Submodule:
			c.links = append(c.links, gitLink{path: name, hash: e.Hash})
		case filemode.Dir:
			sub, err := object.GetTree(c.store, e.Hash)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if err := c.walk(sub, name, says, yield); err != nil {
				return err
			}
		}
	}
	return nil
}

// change is what an entry of a tree is on disk.
func (c *checkout) change(p tree.Path, e object.TreeEntry, says attributes) (layer.Change, error) {
	switch e.Mode {
	case filemode.Dir, filemode.Submodule:
		return c.put(p, tree.Node{Type: tree.Dir, Mode: 0o755}), nil
	case filemode.Regular, filemode.Deprecated, filemode.Executable, filemode.Symlink:
	default:
		return layer.Change{}, fmt.Errorf("what has the mode %o is unknown", uint32(e.Mode))
	}
	blob, err := c.store.EncodedObject(plumbing.BlobObject, e.Hash)
	if err != nil {
		return layer.Change{}, err
	}
	if e.Mode == filemode.Symlink {
		target, err := readBlob(blob, maxLink)
		if err != nil {
			return layer.Change{}, err
		}
		if len(target) == 0 || bytes.IndexByte(target, 0) >= 0 {
			return layer.Change{}, &HostileError{Path: string(p), Err: errors.New("a link that cannot be")}
		}
		return c.put(p, tree.Node{Type: tree.Symlink, Mode: 0o777, Link: string(target)}), nil
	}
	n := tree.Node{Type: tree.File, Mode: 0o644, Size: blob.Size()}
	if e.Mode == filemode.Executable {
		n.Mode = 0o755
	}
	open := blob.Reader
	if is, auto := says.crlf(path.Join(c.dir, string(p))); is {
		if open, n.Size, err = convert(blob, auto); err != nil {
			return layer.Change{}, err
		}
	}
	change := c.put(p, n)
	change.Open = open
	return change, nil
}

// readBlob reads a small file as a whole.
func readBlob(o plumbing.EncodedObject, most int64) ([]byte, error) {
	if o.Size() > most {
		return nil, fmt.Errorf("it is larger than %d bytes", most)
	}
	r, err := o.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, most))
}

// checkName refuses names that git does not check out either.
func checkName(name string) error {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/\x00"):
		return errors.New("it is no name of a file")
	case strings.EqualFold(name, gitDir), strings.EqualFold(name, "git~1"):
		return errors.New("it would pass for a repository")
	}
	return nil
}

// A HostileError is something in a repository that no git would have put there.
type HostileError struct {
	Path string
	Err  error
}

func (e *HostileError) Error() string { return fmt.Sprintf("the path %q: %v", e.Path, e.Err) }

func (e *HostileError) Unwrap() error { return e.Err }

// ExitCode is EX_DATAERR.
func (e *HostileError) ExitCode() int { return 65 }

// Hint says what it means.
func (e *HostileError) Hint() string {
	return "the repository was made to do harm, or is damaged: git fsck says more"
}
