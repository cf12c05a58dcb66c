package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Names that the image layer format gives a meaning to (OCI image spec, layer.md,
// "Whiteouts").
const (
	whiteoutPrefix = ".wh."
	opaqueName     = ".wh..wh..opq"
	xattrRecord    = "SCHILY.xattr."
)

// ErrReservedName says that a file cannot be in a layer, because its name there
// would mean that something is deleted.
var ErrReservedName = errors.New(`names that begin with ".wh." mark deletions in image layers`)

// Reserved reports whether p cannot be put in a layer, because its name or that of
// a directory on the way to it would mean that something is deleted.
func Reserved(p tree.Path) bool {
	return strings.HasPrefix(string(p), whiteoutPrefix) || strings.Contains(string(p), "/"+whiteoutPrefix)
}

// A Writer writes changes as a canonical tar archive: PAX headers only where
// they are needed, numeric owners, whole seconds, nothing of the machine that
// writes. The same changes give the same bytes.
type Writer struct {
	tw    *tar.Writer
	clamp time.Time
	count int
	buf   []byte
	// indexed is whether the archive gets an index, whose names files cannot have.
	indexed bool
}

// NewWriter makes a Writer to w. Times after clamp become clamp, unless that is
// the zero time.
func NewWriter(w io.Writer, clamp time.Time) *Writer {
	return &Writer{tw: tar.NewWriter(w), clamp: clamp, buf: make([]byte, 128<<10)}
}

// Count is how many changes were written.
func (w *Writer) Count() int { return w.count }

// Add writes one change, reading its content.
func (w *Writer) Add(c Change) error {
	if err := w.header(c); err != nil {
		return err
	}
	if c.Open == nil || !hasContent(c) {
		return nil
	}
	r, err := c.Open()
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(onlyWriter{w.tw}, io.LimitReader(r, c.Node.Size+1), w.buf)
	return complete(c, errors.Join(err, r.Close()), w.tw)
}

// onlyWriter hides tar.Writer's ReadFrom, which would leave the buffer unused.
type onlyWriter struct{ io.Writer }

// complete explains a content that was not as long as its header said.
func complete(c Change, err error, tw *tar.Writer) error {
	var unsteady *UnsteadyError
	switch {
	case errors.As(err, &unsteady):
		return unsteady
	case errors.Is(err, tar.ErrWriteTooLong):
		return &UnsteadyError{Path: c.Path, Size: c.Node.Size, Grew: true}
	case err != nil:
		return fmt.Errorf("read %s: %w", c.Path.Abs(), err)
	case tw.Flush() != nil:
		return &UnsteadyError{Path: c.Path, Size: c.Node.Size}
	}
	return nil
}

func hasContent(c Change) bool {
	return c.Kind == Put && c.Node.Type == tree.File && c.Hard == "" && c.Node.Size > 0
}

func (w *Writer) header(c Change) error {
	h, err := w.tarHeader(c)
	if err != nil {
		return err
	}
	if err := w.tw.WriteHeader(h); err != nil {
		return fmt.Errorf("write layer entry %s: %w", c.Path.Abs(), err)
	}
	w.count++
	return nil
}

func (w *Writer) tarHeader(c Change) (*tar.Header, error) {
	if Reserved(c.Path) {
		return nil, fmt.Errorf("put %q in a layer: %w", c.Path.Abs(), ErrReservedName)
	}
	if w.indexed && c.Kind == Put && isStargzPart(c.Path) {
		return nil, fmt.Errorf("put %q in a layer: %w", c.Path.Abs(), ErrIndexName)
	}
	switch c.Kind {
	case Delete:
		if c.Path == tree.Root {
			return nil, errors.New("delete the root directory: not possible in a layer")
		}
		return whiteout(c.Path.Parent().Join(whiteoutPrefix + c.Path.Base())), nil
	case Opaque:
		return whiteout(c.Path.Join(opaqueName)), nil
	}
	return w.nodeHeader(c)
}

func whiteout(p tree.Path) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: string(p), Format: tar.FormatPAX}
}

func (w *Writer) nodeHeader(c Change) (*tar.Header, error) {
	n := c.Node
	h := &tar.Header{
		Name:    string(c.Path),
		Mode:    int64(n.Mode),
		Uid:     n.UID,
		Gid:     n.GID,
		ModTime: time.Unix(n.MTime.Unix(), 0),
		Format:  tar.FormatPAX,
	}
	if n.MTime.IsZero() {
		h.ModTime = time.Unix(0, 0)
	}
	if !w.clamp.IsZero() && h.ModTime.After(w.clamp) {
		h.ModTime = time.Unix(w.clamp.Unix(), 0)
	}
	switch {
	case c.Hard != "":
		h.Typeflag, h.Linkname = tar.TypeLink, string(c.Hard)
		return h, nil
	case n.Type == tree.File:
		h.Typeflag, h.Size = tar.TypeReg, n.Size
	case n.Type == tree.Dir:
		h.Typeflag = tar.TypeDir
		h.Name += "/"
		if c.Path == tree.Root {
			h.Name = "./"
		}
	case n.Type == tree.Symlink:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.Link
	case n.Type == tree.Fifo:
		h.Typeflag = tar.TypeFifo
	case n.Type == tree.CharDevice:
		h.Typeflag = tar.TypeChar
	case n.Type == tree.BlockDevice:
		h.Typeflag = tar.TypeBlock
	default:
		return nil, fmt.Errorf("put %s in a layer: unknown type of file %d", c.Path.Abs(), n.Type)
	}
	h.Devmajor, h.Devminor = int64(n.Dev.Major), int64(n.Dev.Minor)
	for name, value := range n.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+name] = value
	}
	return h, nil
}

// Close ends the archive; it does not close what lies below.
func (w *Writer) Close() error { return w.tw.Close() }

// Tee passes the changes on and writes each as it goes by. A content is read
// once: what the consumer reads of it is written too, and the rest is read when
// the consumer asks for the next change. So a consumer that reads nothing costs
// nothing more.
func (w *Writer) Tee(changes Changes) Changes {
	return func(yield func(Change, error) bool) {
		for c, err := range changes {
			if err == nil {
				err = w.header(c)
			}
			if err != nil {
				yield(Change{}, err)
				return
			}
			if !hasContent(c) {
				if !yield(c, nil) {
					return
				}
				continue
			}
			t := &teeContent{w: w, change: c}
			passed := c
			passed.Open = t.Open
			if !yield(passed, nil) {
				return
			}
			if err := complete(c, t.finish(), w.tw); err != nil {
				yield(Change{}, err)
				return
			}
		}
	}
}

// teeContent is a file's content on its way to a consumer and to the archive.
type teeContent struct {
	w      *Writer
	change Change
	src    io.ReadCloser
	left   io.Reader
	err    error // of the source or of the archive
	eof    bool
}

func (t *teeContent) Open() (io.ReadCloser, error) {
	if t.src != nil {
		return nil, errors.New("content opened twice")
	}
	if t.start(); t.err != nil {
		return nil, t.err
	}
	return t, nil
}

// start opens the source, and reads one byte more than its header promised at
// most: enough to see that it grew.
func (t *teeContent) start() {
	t.src, t.err = t.change.Open()
	if t.err == nil {
		t.left = io.LimitReader(t.src, t.change.Node.Size+1)
	}
}

func (t *teeContent) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.left.Read(p)
	if n > 0 {
		if _, werr := t.w.tw.Write(p[:n]); werr != nil {
			// The consumer may give up for it, and then its error is the one told.
			if t.err = werr; errors.Is(werr, tar.ErrWriteTooLong) {
				t.err = &UnsteadyError{Path: t.change.Path, Size: t.change.Node.Size, Grew: true}
			}
			return 0, t.err
		}
	}
	switch {
	case err == io.EOF:
		t.eof = true
	case err != nil:
		t.err = err
	}
	return n, err
}

// Close leaves the source open: what is left of it still has to be written.
func (t *teeContent) Close() error { return nil }

func (t *teeContent) finish() error {
	if t.src == nil && t.err == nil {
		t.start()
	}
	if t.src == nil {
		return t.err
	}
	if t.err == nil && !t.eof {
		_, t.err = io.CopyBuffer(onlyWriter{t.w.tw}, t.left, t.w.buf)
	}
	return errors.Join(t.err, t.src.Close())
}
