package buildcontext

import (
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// dataName is the link to the present state of a volume that Kubernetes makes of a
// configMap, a secret or what is projected: each name at the top of the volume is a
// link to a file below it, and so changes all at once.
const dataName = "..data"

// farmOf finds out whether a directory is such a volume, and where its files are.
func farmOf(dir string) (data string, ok bool) {
	target, err := os.Readlink(filepath.Join(dir, dataName))
	if err != nil || !filepath.IsLocal(target) || strings.Contains(target, "/") {
		return "", false
	}
	info, err := os.Lstat(filepath.Join(dir, target))
	return target, err == nil && info.IsDir()
}

// farm shows such a volume as those who mounted it mean it: the links at its top are
// what they lead to, and the machinery is not there.
type farm struct {
	under tree.FS
	names []string             // at the top, sorted
	real  map[string]tree.Path // where they are
}

func openFarm(dir, data string) (tree.FS, error) {
	all, err := disk.Open(dir, disk.Options{})
	if err != nil {
		return nil, err
	}
	f := &farm{under: all, real: map[string]tree.Path{}}
	for e, err := range all.List(tree.Root) {
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		name := e.Path.Base()
		if strings.HasPrefix(name, "..") {
			continue
		}
		f.names, f.real[name] = append(f.names, name), e.Path
		if rest, ok := strings.CutPrefix(e.Node.Link, dataName+"/"); ok && filepath.IsLocal(rest) {
			f.real[name] = tree.Path(data).Join(rest)
		}
	}
	return f, nil
}

// at is where p is; false if it is not shown.
func (f *farm) at(p tree.Path) (tree.Path, bool) {
	if p == tree.Root {
		return p, true
	}
	top, rest, _ := strings.Cut(string(p), "/")
	real, ok := f.real[top]
	return real.Join(rest), ok
}

// Walk implements [tree.FS].
func (f *farm) Walk(from tree.Path) iter.Seq2[tree.Entry, error] {
	return func(yield func(tree.Entry, error) bool) {
		if from != tree.Root {
			f.walk(from, yield)
			return
		}
		for e, err := range f.under.Walk(tree.Root) {
			if !yield(e, err) || err != nil {
				return
			}
			break
		}
		for _, name := range f.names {
			if !f.walk(tree.Path(name), yield) {
				return
			}
		}
	}
}

// walk walks below the top.
func (f *farm) walk(from tree.Path, yield func(tree.Entry, error) bool) bool {
	real, ok := f.at(from)
	if !ok {
		return yield(tree.Entry{}, missing("lstat", from))
	}
	for e, err := range f.under.Walk(real) {
		if err == nil {
			e.Path = e.Path.Rel(real).Below(from)
			if e.Hard != "" {
				e.Hard = e.Hard.Rel(real).Below(from)
			}
		}
		if !yield(e, err) || err != nil {
			return false
		}
	}
	return true
}

// Open implements [tree.FS].
func (f *farm) Open(p tree.Path) (io.ReadCloser, error) {
	real, ok := f.at(p)
	if !ok {
		return nil, missing("open", p)
	}
	return f.under.Open(real)
}

func missing(op string, p tree.Path) error {
	return &fs.PathError{Op: op, Path: p.Abs(), Err: fs.ErrNotExist}
}
