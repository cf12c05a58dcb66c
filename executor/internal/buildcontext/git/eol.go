package git

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/gitattributes"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// maxAttributes bounds a file .gitattributes, in bytes.
const maxAttributes = 1 << 20

// attributes are what .gitattributes say of files, from the top down. Only the
// line endings of a checkout are of interest.
type attributes struct {
	lines  []gitattributes.MatchAttribute
	macros map[string][]gitattributes.Attribute // of the file at the top
	eol    bool                                 // there is something about them at all
}

// into is what holds in the directory dir, whose tree is t.
func (a attributes) into(s *filesystem.Storage, t *object.Tree, dir string) (attributes, error) {
	i := slices.IndexFunc(t.Entries, func(e object.TreeEntry) bool { return e.Name == ".gitattributes" && e.Mode.IsRegular() })
	if i < 0 {
		return a, nil
	}
	blob, err := s.EncodedObject(plumbing.BlobObject, t.Entries[i].Hash)
	if err != nil {
		return a, err
	}
	text, err := readBlob(blob, maxAttributes)
	if err != nil {
		return a, fmt.Errorf("%s: %w", path.Join(dir, ".gitattributes"), err)
	}
	var domain []string
	if dir != "" {
		domain = strings.Split(dir, "/")
	}
	a.lines = slices.Clip(a.lines)
	for line := range strings.Lines(string(text)) {
		m, err := gitattributes.ParseAttributesLine(strings.TrimSpace(line), domain, dir == "")
		if err != nil || m.Name == "" || strings.HasPrefix(m.Name, "!") {
			continue // git passes over what it does not understand as well
		}
		if m.Pattern != nil {
			a.lines = append(a.lines, m)
		} else if a.macros == nil {
			a.macros = map[string][]gitattributes.Attribute{m.Name: m.Attributes}
		} else {
			a.macros[m.Name] = m.Attributes
		}
		a.eol = a.eol || slices.ContainsFunc(m.Attributes, func(at gitattributes.Attribute) bool { return at.Name() == "eol" })
	}
	return a, nil
}

// crlf tells whether a file's lines end in CR LF when it is checked out; auto
// says that only a text's do. The library's own matcher lets the first line that
// matches win, and git the last.
func (a attributes) crlf(name string) (is, auto bool) {
	if !a.eol {
		return false, false
	}
	var eol, binary bool
	parts := strings.Split(name, "/")
	var apply func(at gitattributes.Attribute)
	apply = func(at gitattributes.Attribute) {
		switch at.Name() {
		case "eol":
			eol = at.Value() == "crlf"
		case "text":
			binary, auto = at.IsUnset(), at.Value() == "auto"
		case "binary": // a macro that git has by itself
			if at.IsSet() {
				binary, auto = true, false
			}
		default:
			if at.IsSet() {
				for _, each := range a.macros[at.Name()] {
					if a.macros[each.Name()] == nil {
						apply(each)
					}
				}
			}
		}
	}
	for _, line := range a.lines {
		if line.Pattern.Match(parts) {
			for _, at := range line.Attributes {
				apply(at)
			}
		}
	}
	return eol && !binary, auto
}

// endings counts what tells a text from other things.
type endings struct {
	crlf, lf, cr           int64 // line endings; of the last two those that are alone
	nul                    bool
	printable, unprintable int64
}

// binary is git's own guess.
func (e endings) binary() bool { return e.cr > 0 || e.nul || e.printable>>7 < e.unprintable }

func countEndings(r io.Reader) (endings, error) {
	var e endings
	b := bufio.NewReaderSize(r, 64<<10)
	before := byte(0)
	for {
		c, err := b.ReadByte()
		if err != nil {
			if before == '\r' {
				e.cr++
			}
			if before == 0x1a { // the end of a text, once
				e.unprintable--
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return e, err
		}
		switch {
		case c == '\n' && before == '\r':
			e.crlf++
		case c == '\n':
			e.lf++
		case before == '\r':
			e.cr++
		}
		switch {
		case c == '\n', c == '\r':
		case c == 0:
			e.nul = true
			e.unprintable++
		case c == 127, c < 32 && c != '\b' && c != '\t' && c != '\f' && c != 27:
			e.unprintable++
		default:
			e.printable++
		}
		before = c
	}
}

// convert is a file whose lines are to end in CR LF, and its size then; as it
// is, if git would leave it so.
func convert(blob plumbing.EncodedObject, auto bool) (open func() (io.ReadCloser, error), size int64, err error) {
	r, err := blob.Reader()
	if err != nil {
		return nil, 0, err
	}
	e, err := countEndings(r)
	r.Close()
	if err != nil || e.lf == 0 || auto && (e.crlf > 0 || e.binary()) {
		return blob.Reader, blob.Size(), err
	}
	return func() (io.ReadCloser, error) {
		r, err := blob.Reader()
		if err != nil {
			return nil, err
		}
		return &crlfReader{closer: r, in: bufio.NewReaderSize(r, 64<<10)}, nil
	}, blob.Size() + e.lf, nil
}

// crlfReader puts a CR before each LF that has none.
type crlfReader struct {
	closer  io.Closer
	in      *bufio.Reader
	before  byte
	pending bool // a LF whose CR was just given
}

func (c *crlfReader) Read(p []byte) (n int, err error) {
	for n < len(p) {
		b := byte('\n')
		if c.pending {
			c.pending = false
		} else if b, err = c.in.ReadByte(); err != nil {
			break
		} else if b == '\n' && c.before != '\r' {
			c.pending, b = true, '\r'
		}
		p[n], c.before = b, b
		n++
	}
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func (c *crlfReader) Close() error { return c.closer.Close() }
