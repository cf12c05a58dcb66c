package layer

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// ReadIndex yields the changes of a layer as an [IndexWriter] wrote them. Opening a
// file fails with [tree.ErrNoContent], unless it is empty or one of [IsAccounts]. An index that
// is cut off or damaged ends in an error, after what could be read of it.
func ReadIndex(r io.Reader) Changes {
	return func(yield func(Change, error) bool) {
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(indexWindow))
		if err != nil {
			yield(Change{}, fmt.Errorf("read index of a layer: %w", err))
			return
		}
		defer z.Close()
		i := &indexReader{r: bufio.NewReaderSize(z, 64<<10)}
		for {
			c, err := i.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Change{}, fmt.Errorf("read index of a layer, line %d: %w", i.lines, err))
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

type indexReader struct {
	r     *bufio.Reader
	lines int
	count int // of changes
}

// next is the next change, or io.EOF after the end mark.
func (i *indexReader) next() (Change, error) {
	if i.lines == 0 {
		if line, err := i.line(); err != nil {
			return Change{}, err
		} else if line != indexFirst {
			return Change{}, fmt.Errorf("not an index of a version that is known: %.40q", line)
		}
	}
	line, err := i.line()
	if err != nil {
		return Change{}, err
	}
	if count, ok := strings.CutPrefix(line, indexLast); ok {
		return Change{}, i.end(count)
	}
	l := &indexLine{rest: line}
	c, content := l.change()
	if l.err != nil {
		return Change{}, l.err
	}
	i.count++
	if content {
		return c, i.content(&c)
	}
	if c.Kind == Put && c.Node.Type == tree.File && c.Hard == "" {
		c.Open = openless(c.Path, c.Node.Size)
	}
	return c, nil
}

func openless(p tree.Path, size int64) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		if size == 0 {
			return io.NopCloser(strings.NewReader("")), nil
		}
		return nil, fmt.Errorf("open %s: %w", p.Abs(), tree.ErrNoContent)
	}
}

// line is the next line, without its end.
func (i *indexReader) line() (string, error) {
	var long []byte
	i.lines++
	for {
		part, err := i.r.ReadSlice('\n')
		switch {
		case err == nil && long == nil:
			return string(part[:len(part)-1]), nil
		case err == nil:
			return string(append(long, part[:len(part)-1]...)), nil
		case err == io.EOF:
			return "", io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", err
		}
		if long = append(long, part...); len(long) > maxIndexLine {
			return "", fmt.Errorf("it is longer than %d bytes", maxIndexLine)
		}
	}
}

// end checks the end mark, and that nothing follows.
func (i *indexReader) end(count string) error {
	if count != strconv.Itoa(i.count) {
		return fmt.Errorf("the end mark says %.20q changes, there were %d", count, i.count)
	}
	if _, err := i.r.ReadByte(); err == nil {
		return errors.New("something follows the end mark")
	} else if err != io.EOF {
		return err
	}
	return io.EOF
}

// content reads the bytes of an account file, which follow its line.
func (i *indexReader) content(c *Change) error {
	if c.Kind != Put || c.Node.Type != tree.File || c.Hard != "" || c.Node.Size > MaxAccounts {
		return errors.New("it cannot have a content")
	}
	var b bytes.Buffer
	if _, err := io.CopyN(&b, i.r, c.Node.Size); err != nil {
		return io.ErrUnexpectedEOF
	}
	if end, err := i.r.ReadByte(); err != nil || end != '\n' {
		return errors.Join(err, errors.New("its content is longer than was said"))
	}
	c.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return nil
}

// indexLine reads the fields of one line; what is read after an error is zero.
type indexLine struct {
	rest string
	err  error
}

func (l *indexLine) change() (c Change, content bool) {
	switch kind := l.word(); kind {
	case "-", "o":
		c = Change{Kind: Delete, Path: l.path()}
		if kind == "o" {
			c.Kind = Opaque
		}
		if l.rest != "" {
			l.fail("something follows the path")
		}
		return c, false
	default:
		c.Kind, c.Node.Type = Put, l.nodeType(kind)
	}
	c.Node.Mode = tree.Mode(l.unsigned(8, 16))
	c.Node.UID, c.Node.GID = int(l.signed()), int(l.signed())
	c.Node.MTime = time.Unix(l.signed(), 0)
	c.Path = l.path()
	for l.rest != "" && l.err == nil {
		content = l.option(&c) || content
	}
	return c, content
}

// option reads one of the fields that have a letter; true for that of a content.
func (l *indexLine) option(c *Change) (content bool) {
	switch l.word() {
	case "s":
		if c.Node.Size = l.signed(); c.Node.Size < 0 {
			l.fail("its size is negative")
		}
	case "l":
		c.Node.Link = l.text()
	case "h":
		if c.Hard = l.path(); c.Hard == tree.Root {
			l.fail("its hard link has no target")
		}
	case "d":
		c.Node.Dev = tree.Dev{Major: uint32(l.unsigned(10, 32)), Minor: uint32(l.unsigned(10, 32))}
	case "x":
		if c.Node.Xattrs == nil {
			c.Node.Xattrs = tree.Xattrs{}
		}
		name := l.text()
		c.Node.Xattrs[name] = l.text()
	case "c":
		return true
	default:
		l.fail("it has a field that is not known")
	}
	return false
}

func (l *indexLine) fail(what string) {
	if l.err == nil {
		l.err = errors.New(what)
	}
	l.rest = ""
}

func (l *indexLine) word() string {
	word, rest, _ := strings.Cut(l.rest, " ")
	l.rest = rest
	return word
}

func (l *indexLine) nodeType(letter string) tree.Type {
	if at := strings.Index(typeLetters, letter); len(letter) == 1 && at > 0 {
		return tree.Type(at)
	}
	l.fail("it begins with a word that is not known")
	return 0
}

func (l *indexLine) unsigned(base, bits int) uint64 {
	n, err := strconv.ParseUint(l.word(), base, bits)
	if err != nil {
		l.fail("it has a number that is none")
	}
	return n
}

func (l *indexLine) signed() int64 {
	n, err := strconv.ParseInt(l.word(), 10, 64)
	if err != nil {
		l.fail("it has a number that is none")
	}
	return n
}

// text is a quoted string and the space after it.
func (l *indexLine) text() string {
	s, rest, ok := unquote(l.rest)
	after, spaced := strings.CutPrefix(rest, " ")
	if !ok || rest != "" && (!spaced || after == "") {
		l.fail("it has a string that is not quoted")
		return ""
	}
	l.rest = after
	return s
}

// unquote reads a string in double quotes. Nearly all have nothing to be unquoted.
func unquote(s string) (text, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", "", false
	}
	if end := strings.IndexByte(s[1:], '"') + 1; strings.IndexByte(s[1:max(end, 1)], '\\') < 0 {
		return s[1:max(end, 1)], s[end+1:], end > 0
	}
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", "", false
	}
	text, err = strconv.Unquote(quoted)
	return text, s[len(quoted):], err == nil
}

func (l *indexLine) path() tree.Path {
	s := l.text()
	if !isClean(s) {
		l.fail("it has a path that is not clean")
		return tree.Root
	}
	return tree.Path(s)
}

// isClean reports whether [tree.Clean] would leave s as it is, in less time.
func isClean(s string) bool {
	for rest, more := s, s != ""; more; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	return true
}
