package layer

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/klauspost/compress/zstd"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// The index of a layer is its changes without contents, a line each, compressed
// with zstd:
//
//	kaniko layer index 1
//	d 755 0 0 1700000000 "etc"
//	f 644 0 0 1700000000 "etc/passwd" s 1210 c
//	…1210 bytes, and a line's end
//	l 777 0 0 1700000000 "bin" l "usr/bin"
//	f 644 0 0 1700000000 "b" h "etc/passwd"
//	c 666 0 0 1700000000 "dev/null" d 1 3
//	f 755 0 0 1700000000 "ping" s 90000 x "security.capability" "\x01…"
//	- "gone"
//	o "opaque"
//	end 8
//
// A Put's fields are type, mode in octal, owner, group, seconds since 1970 and path.
// What follows has a letter and is there if it is not zero: size, link, hard link,
// device, extended attributes by name. Strings are quoted as in Go. The contents of
// accounts are there, since names of users are looked up in them.
const (
	indexFirst = "kaniko layer index 1"
	indexLast  = "end "
)

const (
	// MaxAccounts bounds the content of an account file that is kept, in bytes.
	MaxAccounts = 8 << 20
	// maxIndexLine bounds a line of an index, in bytes: a path, a link and attributes,
	// of at most 1 MiB each in a tar archive, with four bytes for one.
	maxIndexLine = 16 << 20
	// indexWindow is the memory that a reader of an index needs to decompress it, in bytes.
	indexWindow = 1 << 20
)

// IsAccounts reports whether p is one of the files in which names of users and groups
// are looked up, so that their contents must be known even of a layer not unpacked.
func IsAccounts(p tree.Path) bool { return p == "etc/passwd" || p == "etc/group" }

// Indexed is a layer that may know what it does to files without being read.
type Indexed interface {
	// Index is the layer's changes as [ReadIndex] yields them; false if they are not
	// known after all.
	Index() (Changes, bool)
}

// Metadata is what a layer does to files, read from its index if it has one and
// otherwise from its archive. Contents may therefore be missing: see [ReadIndex].
func Metadata(l v1.Layer) Changes {
	if i, ok := As[Indexed](l); ok {
		if changes, ok := i.Index(); ok {
			return changes
		}
	}
	return Open(l)
}

// typeLetters are the node types as an index writes them, by [tree.Type].
const typeLetters = "?fdlpcb"

// An IndexWriter writes the index of a stream of changes. The same changes give the
// same bytes.
type IndexWriter struct {
	z     *zstd.Encoder
	line  []byte
	count int
	ended bool
	err   error
}

// NewIndexWriter starts an index. It must be ended by Close.
func NewIndexWriter(w io.Writer) (*IndexWriter, error) {
	// Many indexes are short and several are written at once: a level that compresses by
	// a few parts in a hundred less takes a quarter of the memory.
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(indexWindow),
		zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("write index of a layer: %w", err)
	}
	i := &IndexWriter{z: z}
	i.write([]byte(indexFirst + "\n"))
	return i, nil
}

// Tee passes the changes on and writes each as it goes by. The contents of accounts
// are read to the end if the consumer does not do so. An index that cannot be written
// does not disturb the stream: Close tells of it.
func (i *IndexWriter) Tee(changes Changes) Changes {
	return func(yield func(Change, error) bool) {
		for c, err := range changes {
			if err != nil {
				yield(Change{}, err)
				return
			}
			if c.Open == nil || !hasContent(c) || !IsAccounts(c.Path) || c.Node.Size > MaxAccounts {
				i.add(c, nil)
				if !yield(c, nil) {
					return
				}
				continue
			}
			more, err := i.accounts(c, yield)
			if err != nil {
				yield(Change{}, err)
			}
			if !more || err != nil {
				return
			}
		}
		i.ended = true
	}
}

// accounts passes an account file on and keeps its content.
func (i *IndexWriter) accounts(c Change, yield func(Change, error) bool) (more bool, err error) {
	k := &keptContent{change: c}
	passed := c
	passed.Open = k.Open
	if !yield(passed, nil) {
		k.close() // nobody is left to hear of an error
		return false, nil
	}
	content, err := k.finish()
	if err != nil {
		return false, fmt.Errorf("read %s: %w", c.Path.Abs(), err)
	}
	i.add(c, content)
	return true, nil
}

// Close ends the index, and returns the first error in writing it. An index of a
// stream that did not pass to its end is an error too, and no reader takes it.
// What lies below is not closed.
func (i *IndexWriter) Close() error {
	switch {
	case i.err != nil:
	case !i.ended:
		i.fail(errors.New("not all of its changes have passed"))
	default:
		i.write(strconv.AppendInt([]byte(indexLast), int64(i.count), 10))
		i.write([]byte("\n"))
	}
	if i.err != nil {
		return i.err // without an end of the compressed data, so that it does not look whole
	}
	if err := i.z.Close(); err != nil {
		i.fail(err)
	}
	return i.err
}

func (i *IndexWriter) write(p []byte) {
	if i.err != nil {
		return
	}
	if _, err := i.z.Write(p); err != nil {
		i.fail(err)
	}
}

func (i *IndexWriter) fail(err error) {
	if i.err == nil {
		i.err = fmt.Errorf("write index of a layer: %w", err)
	}
}

func (i *IndexWriter) add(c Change, content []byte) {
	if c.Kind == Put && (c.Node.Type == 0 || int(c.Node.Type) >= len(typeLetters)) {
		i.fail(fmt.Errorf("%s is of an unknown type", c.Path.Abs()))
		return
	}
	i.line = appendChange(i.line[:0], c)
	if content != nil {
		i.line = append(i.line, " c"...)
	}
	if len(i.line) > maxIndexLine {
		i.fail(fmt.Errorf("the line of %.100s is too long", c.Path.Abs()))
	}
	i.write(append(i.line, '\n'))
	if content != nil {
		i.write(content)
		i.write([]byte{'\n'})
	}
	i.count++
}

func appendChange(b []byte, c Change) []byte {
	switch c.Kind {
	case Delete:
		return strconv.AppendQuote(append(b, "- "...), string(c.Path))
	case Opaque:
		return strconv.AppendQuote(append(b, "o "...), string(c.Path))
	}
	n := c.Node
	b = append(b, typeLetters[n.Type], ' ')
	b = strconv.AppendUint(b, uint64(n.Mode), 8)
	for _, number := range []int64{int64(n.UID), int64(n.GID), n.MTime.Unix()} {
		b = strconv.AppendInt(append(b, ' '), number, 10)
	}
	b = strconv.AppendQuote(append(b, ' '), string(c.Path))
	if n.Size != 0 {
		b = strconv.AppendInt(append(b, " s "...), n.Size, 10)
	}
	if n.Link != "" {
		b = strconv.AppendQuote(append(b, " l "...), n.Link)
	}
	if c.Hard != "" {
		b = strconv.AppendQuote(append(b, " h "...), string(c.Hard))
	}
	if n.Dev != (tree.Dev{}) {
		b = strconv.AppendUint(append(b, " d "...), uint64(n.Dev.Major), 10)
		b = strconv.AppendUint(append(b, ' '), uint64(n.Dev.Minor), 10)
	}
	return appendXattrs(b, n.Xattrs)
}

func appendXattrs(b []byte, x tree.Xattrs) []byte {
	if len(x) == 0 {
		return b
	}
	names := make([]string, 0, len(x))
	for name := range x {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		b = strconv.AppendQuote(append(b, " x "...), name)
		b = strconv.AppendQuote(append(b, ' '), x[name])
	}
	return b
}
