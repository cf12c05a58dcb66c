package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/kaniko-suite/kaniko/shared/layer"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

const (
	remedyDamaged = "make or fetch the archive anew; tar -tvf lists what can be read of it"
	remedyHostile = "make the archive with names from its own top only, as tar -C DIRECTORY -cf FILE . does"
	remedyForm    = "give a tar archive: plain, or compressed with gzip, zstd, xz or bzip2"
	remedyEmpty   = "check what makes the archive; from standard input, that something is connected to it (docker run -i)"
)

// read indexes an archive and keeps what is in its files.
func (f *Files) read(ctx context.Context, r io.Reader) error {
	src := &source{ctx: ctx, r: r}
	z, err := placement.Decompress(src)
	if err != nil {
		return src.reason(err, remedyForm)
	}
	defer z.Close() //nolint:errcheck // it was read to the end, or is in error already
	in := &blocks{r: z}
	tr := tar.NewReader(in)
	content := &live{ctx: ctx, r: tr}
	out := &sparse{file: f.content}
	for n := 0; ; n++ {
		h, err := tr.Next()
		switch {
		case err == io.EOF:
			if err := out.finish(); err != nil {
				return err
			}
			return f.end(src, in, n)
		case n == 0 && src.failed() == nil && errors.Is(err, tar.ErrHeader):
			return &Error{Err: errors.New("it is none"), Remedy: remedyForm}
		case n == 0 && src.failed() == nil && in.n < blockSize && errors.Is(err, io.ErrUnexpectedEOF):
			return &Error{Err: errors.New("it is none, or breaks off at its beginning"), Remedy: remedyForm}
		case err != nil:
			return src.reason(err, remedyDamaged)
		}
		if err := f.entry(h, content, out, src); err != nil {
			return err
		}
	}
}

// end is what there is to see at the end of an archive of so many entries.
func (f *Files) end(src *source, in *blocks, entries int) error {
	if !in.ended() {
		if err := src.failed(); err != nil {
			return err
		}
		if src.empty() {
			return &Error{Err: errors.New("nothing arrived"), Empty: true, Remedy: remedyEmpty}
		}
		return &Error{Err: fmt.Errorf("it ends after %d bytes without an end mark, so something is missing", in.n), Remedy: remedyDamaged}
	}
	// Behind the mark is padding, and the sums of what is compressed.
	if _, err := io.Copy(io.Discard, in); err != nil {
		return src.reason(err, remedyDamaged)
	}
	if _, err := io.Copy(io.Discard, src); err != nil {
		return err
	}
	if entries == 0 || f.tree.Len() <= 1 {
		return &Error{Err: errors.New("there are no files in it"), Empty: true, Remedy: remedyEmpty}
	}
	if _, ok := f.tree.Lookup(tree.Root); !ok {
		f.tree.Put(tree.Root, implied())
	}
	return nil
}

// implied is a directory that an archive does not mention.
func implied() tree.Node {
	return tree.Node{Type: tree.Dir, Mode: 0o755, MTime: time.Unix(0, 0)}
}

// typeLabel is GNU tar's entry for the name of a volume, which is no file.
const typeLabel = 'V'

// entry takes one entry of the archive; tr has its content.
func (f *Files) entry(h *tar.Header, tr io.Reader, out *sparse, src *source) error {
	if h.Typeflag == tar.TypeXGlobalHeader || h.Typeflag == typeLabel {
		return nil
	}
	fail := func(err error) error { return &Error{Entry: h.Name, Err: err, Remedy: remedyHostile} }
	named, err := local(h.Name)
	if err != nil {
		return fail(err)
	}
	c, err := layer.PutOf(h)
	if err == nil {
		err = f.bulk.Add(c)
	}
	if err != nil {
		return fail(err)
	}
	at, err := f.place(named)
	switch {
	case err != nil:
		return fail(err)
	case at == tree.Root && !c.Node.IsDir():
		return fail(errors.New("only a directory can be the top of the archive"))
	}
	f.parents(at)
	switch {
	case c.Hard != "":
		err = f.link(at, h.Linkname)
	case c.Node.Type == tree.File:
		var sum [sha256.Size]byte
		var offset int64
		if offset, sum, err = out.keep(tr, c.Node.Size); err == nil {
			f.tree.Put(at, c.Node)
			f.places[at] = place{offset, sum}
			return nil
		}
		if disk := (*diskError)(nil); errors.As(err, &disk) {
			return disk
		}
		if stopped := context.Cause(src.ctx); stopped != nil {
			return stopped
		}
		return src.reason(err, remedyDamaged)
	default:
		f.tree.Put(at, c.Node)
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// local makes a path of a name in an archive, which must not lead out of it.
func local(name string) (tree.Path, error) {
	switch {
	case name == "":
		return "", errors.New("it has no name")
	case strings.HasPrefix(name, "/"):
		return "", errors.New("its name is absolute")
	case strings.ContainsRune(name, 0):
		return "", errors.New("its name has a zero byte")
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New(`its name has ".."`)
		}
	}
	return tree.Clean(name), nil
}

// place is where an entry goes: links on the way are followed, inside the archive.
func (f *Files) place(p tree.Path) (tree.Path, error) {
	const maxLinks = 40 // as in Linux
	at, links := tree.Root, 0
	rest := p.Components()
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..": // of a link
			if at == tree.Root {
				return "", errors.New("a link on its way leads out of the archive")
			}
			at = at.Parent()
			continue
		}
		next := at.Join(name)
		if len(rest) == 0 {
			return next, nil
		}
		n, ok := f.tree.Lookup(next)
		switch {
		case ok && n.Type == tree.Symlink:
			if links++; links > maxLinks {
				return "", tree.ErrLoop
			}
			if path.IsAbs(n.Link) {
				return "", fmt.Errorf("%s is a link that leads out of the archive, to %s", next, n.Link)
			}
			rest = append(strings.Split(n.Link, "/"), rest...)
			continue
		case ok && !n.IsDir():
			return "", fmt.Errorf("%s is not a directory", next)
		}
		at = next
	}
	return at, nil
}

// parents makes the directories above p that the archive has not mentioned yet.
func (f *Files) parents(p tree.Path) {
	dir := tree.Root
	for _, name := range p.Components() {
		if _, ok := f.tree.Lookup(dir); !ok {
			f.tree.Put(dir, implied())
		}
		dir = dir.Join(name)
	}
}

// link makes another name of a file that is there already.
func (f *Files) link(at tree.Path, to string) error {
	target, err := local(to)
	if err == nil {
		target, err = f.place(target)
	}
	if err != nil {
		return fmt.Errorf("it is a link to %q: %w", to, err)
	}
	n, ok := f.tree.Lookup(target)
	if !ok || n.IsDir() {
		return fmt.Errorf("it is a link to %q, which is no file before it in the archive", to)
	}
	kept := f.places[target]
	if err := f.tree.Link(at, target); err != nil {
		return err
	}
	f.places[at] = kept
	return nil
}

// live reads a file of an archive until the build is stopped: for its holes nothing is
// read from the source.
type live struct {
	ctx context.Context
	r   io.Reader
}

func (l *live) Read(p []byte) (int, error) {
	if err := context.Cause(l.ctx); err != nil {
		return 0, err
	}
	return l.r.Read(p)
}

// source is where an archive comes from. It remembers why it ended, to tell that from
// what is wrong with the archive. Who decompresses may read ahead.
type source struct {
	ctx context.Context
	r   io.Reader

	mu  sync.Mutex
	n   int64
	err error
}

func (s *source) Read(p []byte) (n int, err error) {
	if err = context.Cause(s.ctx); err == nil {
		n, err = s.r.Read(p)
		if cause := context.Cause(s.ctx); err != nil && cause != nil {
			err = cause
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// failed is why the source ended before its end; nil if it did not.
func (s *source) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *source) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n == 0
}

// reason is why reading failed: the source's error, or one of the archive.
func (s *source) reason(err error, remedy string) error {
	if failed := s.failed(); failed != nil {
		return failed
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it breaks off")
	} else {
		err = fmt.Errorf("it is damaged: %w", err)
	}
	return &Error{Err: err, Remedy: remedy}
}

// blocks is a plain archive. It knows whether its last block is one of zeros, which is
// how an archive ends: the reader of package tar takes any end for one.
type blocks struct {
	r    io.Reader
	n    int64
	last [blockSize]byte
}

const blockSize = 512

func (b *blocks) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	for rest := p[:n]; len(rest) > 0; {
		took := copy(b.last[b.n%blockSize:], rest)
		b.n += int64(took)
		rest = rest[took:]
	}
	return n, err
}

func (b *blocks) ended() bool { return b.n > 0 && b.n%blockSize == 0 && b.last == [blockSize]byte{} }
