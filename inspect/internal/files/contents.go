package files

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// Contents writes the contents of many files, and of hard links to such, each to what
// create makes for it and is closed afterwards. A layer is read once for all that it
// has of them.
func (f *FS) Contents(ctx context.Context, all []*Entry, create func(*Entry) (io.WriteCloser, error)) error {
	wanted := make([]map[*Entry][]*Entry, len(f.layers))
	for _, e := range all {
		file, err := f.file(ctx, e)
		if err != nil {
			return f.failed("read", e.Path, err)
		}
		if n := file.Layer - 1; wanted[n] == nil {
			wanted[n] = map[*Entry][]*Entry{}
		}
		wanted[file.Layer-1][file] = append(wanted[file.Layer-1][file], e)
	}
	for n, w := range wanted {
		if err := f.layers[n].contents(ctx, w, create); err != nil {
			return fmt.Errorf("read layer %d of %s: %w", n+1, f.name, err)
		}
	}
	return nil
}

// contents writes the contents of files of the layer, each for all entries that are it.
func (l *Layer) contents(ctx context.Context, wanted map[*Entry][]*Entry, create func(*Entry) (io.WriteCloser, error)) error {
	if len(wanted) == 0 {
		return nil
	}
	if l.index != nil {
		for _, file := range slices.SortedFunc(maps.Keys(wanted), func(a, b *Entry) int { return strings.Compare(a.Path, b.Path) }) {
			if err := writeAll(wanted[file], create, func(w io.Writer) error { return l.copy(ctx, w, file) }); err != nil {
				return err
			}
		}
		return nil
	}
	byPlace := map[int][]*Entry{}
	for file, entries := range wanted {
		byPlace[file.at] = entries
	}
	return l.stream(ctx, func(n int, _ *tar.Header, content io.Reader) error {
		if byPlace[n] == nil {
			return nil
		}
		return writeAll(byPlace[n], create, func(w io.Writer) error {
			_, err := io.Copy(w, content)
			return err
		})
	})
}

// writeAll writes one content to all that is made for the entries.
func writeAll(entries []*Entry, create func(*Entry) (io.WriteCloser, error), write func(io.Writer) error) (err error) {
	var to []io.Writer
	var open []io.Closer
	defer func() {
		for _, w := range open {
			err = errors.Join(err, w.Close())
		}
	}()
	for _, e := range entries {
		w, err := create(e)
		if err != nil {
			return err
		}
		to, open = append(to, w), append(open, w)
	}
	return write(io.MultiWriter(to...))
}
