// Package buildcontext opens what a build may copy from: the files that
// --context names, wherever they are, less what .dockerignore leaves out.
//
// It owns how an address is read and what of a build context is seen. How files come
// from elsewhere is known to the packages below it, and to those that are given to it.
package buildcontext

import (
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/archive"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A Location is a build context that was found. It is a directory or an archive.
type Location struct {
	Name string // as the user named it, without secrets
	Dir  string // absolute; empty for an archive
	// Fetched says that Dir is the build's own, with files from elsewhere: no link in
	// it leads out.
	Fetched bool
	// Commit is the hash of the commit that was checked out, of a repository.
	Commit string
	// SHA256 is of an archive, as it came, in hexadecimal.
	SHA256 string
	// Without are paths that are in no build context: what the build itself has
	// under way, which may lie in Dir. Absolute.
	Without []string

	archive *archive.Files
	kept    string    // where archive is
	base    tree.Path // in archive
}

// Close forgets what was opened to read the build context.
func (l *Location) Close() error {
	if l == nil || l.archive == nil {
		return nil
	}
	return l.archive.Close()
}

// Open is the build context without what is ignored for this Dockerfile: a file
// beside it with its name and ".dockerignore" goes before the context's own. A
// named context has no Dockerfile, and only an ignore file of its own.
func (l *Location) Open(d Dockerfile) (tree.FS, error) {
	ignore, err := l.Ignore(d)
	if err != nil {
		return nil, err
	}
	all, err := l.open(ignore)
	if err != nil {
		return nil, &Error{Name: l.Name, Err: reason(err)}
	}
	if ignore == nil {
		return all, nil
	}
	return dockerfile.Filter(all, ignore), nil
}

// open is the whole build context, except perhaps for what is ignored.
func (l *Location) open(ignore *dockerfile.Ignore) (tree.FS, error) {
	if l.archive != nil {
		return tree.Sub(l.archive, l.base), nil
	}
	if !l.Fetched {
		if data, ok := farmOf(l.Dir); ok {
			return openFarm(l.Dir, data)
		}
	}
	return disk.Open(l.Dir, disk.Options{Skip: l.skip(ignore)})
}

// skip tells what need not be looked at; nil is nothing.
func (l *Location) skip(ignore *dockerfile.Ignore) func(tree.Path, tree.Type) bool {
	without := map[tree.Path]bool{}
	for _, dir := range l.Without {
		if p := l.within(dir); p != tree.Root {
			without[p] = true
		}
	}
	switch {
	case len(without) == 0 && ignore == nil:
		return nil
	case len(without) == 0:
		return ignore.Skip
	}
	return func(p tree.Path, t tree.Type) bool { return without[p] || ignore != nil && ignore.Skip(p, t) }
}

// within is a directory's path in the context; the root if it lies nowhere below.
func (l *Location) within(dir string) tree.Path {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return tree.Root
	}
	rel, err := filepath.Rel(l.Dir, real)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return tree.Root
	}
	return tree.Clean(rel)
}
