package layer

import (
	"archive/tar"
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/containerd/stargz-snapshotter/estargz"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

const (
	// MaxPriority is how many bytes a list of files may have, as it is read.
	MaxPriority = 1 << 20
	// landmarkContent is what marks have in them, in the library's own layers too.
	landmarkContent = 0xf
)

// Priority is a list of files that lie first in layers of eStargz, so that a node which
// runs the image has them before it has the rest. The zero value is none; equal lists are
// equal.
type Priority struct{ lines string }

// ReadPriority reads a list: a path a line, in the order in which the files are wanted.
// Empty lines mean nothing.
func ReadPriority(r io.Reader) (Priority, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxPriority+1))
	if err != nil {
		return Priority{}, err
	}
	if len(raw) > MaxPriority {
		return Priority{}, fmt.Errorf("the list is longer than %d bytes", MaxPriority)
	}
	var all []string
	seen := map[tree.Path]bool{}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, "\r\n")
		if p := tree.Clean(line); line != "" && !seen[p] {
			seen[p] = true
			all = append(all, string(p))
		}
	}
	if len(all) == 0 {
		return Priority{}, errors.New("the list names no file")
	}
	return Priority{strings.Join(all, "\n")}, nil
}

// paths are the files, in order.
func (p Priority) paths() []tree.Path {
	var all []tree.Path
	for line := range strings.SplitSeq(p.lines, "\n") {
		all = append(all, tree.Path(line))
	}
	return all
}

// String is a digest of the list.
func (p Priority) String() string { return fmt.Sprintf("%x", sha256.Sum256([]byte(p.lines))) }

// A prioritized brings the entries of an archive into another order, before they are
// compressed: those with priority, with the directories they are in and what they are
// links to, then a mark that says so to who fetches the layer, then all others. Without any of
// the first a mark says that nothing is to be fetched beforehand (stargz-snapshotter,
// docs/estargz.md). The archive waits in a file meanwhile.
type prioritized struct {
	*stargz
	first []tree.Path
	spool *os.File
	buf   *bufio.Writer
}

// newPrioritized begins an archive that waits in a new file of dir.
func newPrioritized(s *stargz, p Priority, dir string) (*prioritized, error) {
	f, err := os.CreateTemp(dir, "unordered-*.tar")
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &prioritized{stargz: s, first: p.paths(), spool: f, buf: bufio.NewWriterSize(f, tarBuffer)}, nil
}

// Write takes the archive in its usual order.
func (p *prioritized) Write(b []byte) (int, error) { return p.buf.Write(b) }

// Close compresses the archive in its new order.
func (p *prioritized) Close() error {
	defer os.Remove(p.spool.Name())
	err := p.buf.Flush()
	if err == nil {
		err = p.reorder()
	}
	return errors.Join(err, p.spool.Close(), p.stargz.Close())
}

func (p *prioritized) reorder() error {
	entries, err := p.entries()
	if err != nil {
		return err
	}
	first := before(entries, p.first)
	chosen := map[int]bool{}
	for _, i := range first {
		chosen[i] = true
		if err := p.copy(entries[i].from, entries[i].to); err != nil {
			return err
		}
	}
	if err := p.mark(len(first) > 0); err != nil {
		return err
	}
	for i, e := range entries {
		if chosen[i] {
			continue
		}
		if err := p.copy(e.from, e.to); err != nil {
			return err
		}
	}
	_, err = p.stargz.Write(make([]byte, 2*tarBlock)) // the archive's end
	return err
}

// tarBlock is the unit of archives, in bytes.
const tarBlock = 512

// entry is where an archive has an entry, with its padding.
type entry struct {
	path     tree.Path
	hard     tree.Path // what it is a link to
	from, to int64
}

// entries finds the entries of the archive that waits.
func (p *prioritized) entries() ([]entry, error) {
	if _, err := p.spool.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var all []entry
	var at int64
	for tr := tar.NewReader(p.spool); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("order layer: %w", err)
		}
		content, err := p.spool.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		e := entry{path: tree.Clean(h.Name), from: at, to: content}
		switch h.Typeflag {
		case tar.TypeReg:
			e.to += (h.Size + tarBlock - 1) / tarBlock * tarBlock
		case tar.TypeLink:
			e.hard = tree.Clean(h.Linkname)
		}
		all, at = append(all, e), e.to
	}
}

// before are the entries that come first, each after what it needs.
func before(entries []entry, wanted []tree.Path) []int {
	at := make(map[tree.Path]int, len(entries))
	for i, e := range entries {
		at[e.path] = i
	}
	var first []int
	taken := map[int]bool{}
	var take func(tree.Path)
	take = func(path tree.Path) {
		i, ok := at[path]
		if ok && taken[i] {
			return
		}
		if path != tree.Root {
			take(path.Parent())
		}
		if !ok {
			return
		}
		taken[i] = true
		if hard := entries[i].hard; hard != "" {
			take(hard)
		}
		first = append(first, i)
	}
	for _, path := range wanted {
		if _, ok := at[path]; ok {
			take(path)
		}
	}
	return slices.Clip(first)
}

func (p *prioritized) copy(from, to int64) error {
	_, err := io.Copy(onlyWriter{p.stargz}, io.NewSectionReader(p.spool, from, to-from))
	return err
}

// mark writes the entry that says what is to be fetched beforehand: all before it, or
// nothing.
func (p *prioritized) mark(any bool) error {
	name := estargz.NoPrefetchLandmark
	if any {
		name = estargz.PrefetchLandmark
	}
	tw := tar.NewWriter(p.stargz)
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: 1, Format: tar.FormatPAX}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if _, err := tw.Write([]byte{landmarkContent}); err != nil {
		return err
	}
	return tw.Flush()
}
