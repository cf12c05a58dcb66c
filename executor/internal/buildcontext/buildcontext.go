// Package buildcontext opens what a build may copy from: the files that
// --context names, less what .dockerignore leaves out.
package buildcontext

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// maxText bounds a Dockerfile or an ignore file, in bytes.
const maxText = 16 << 20

// A Location is a build context that was found.
type Location struct {
	Dir string // absolute
	// Without is a directory that is in no build context: what the build itself has
	// under way, which may lie in Dir. Absolute; empty is none.
	Without string
}

// Locate finds the build context that a --context value names: a directory, as a
// plain path or as dir://PATH.
func Locate(name string) (Location, error) {
	dir, ok := strings.CutPrefix(name, "dir://")
	if scheme, _, found := strings.Cut(name, "://"); found && !ok {
		return Location{}, &Error{Name: name, Err: fmt.Errorf("a %s:// build context is not supported", scheme),
			Remedy: "fetch and unpack it first, and name the directory"}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Location{}, &Error{Name: name, Err: err}
	}
	// A mounted configMap is a farm of links, and its directory may be one too.
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return Location{}, &Error{Name: name, Err: reason(err), Remedy: "mount the build context there, or name it with --context"}
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = errors.New("not a directory")
	}
	if err != nil {
		return Location{}, &Error{Name: name, Err: reason(err)}
	}
	return Location{Dir: dir}, nil
}

// Dockerfile is a Dockerfile that was found.
type Dockerfile struct {
	Name string // as the user named it
	Path string
	Text []byte
}

// Dockerfile reads the Dockerfile that a --dockerfile value names: a path from
// the working directory or, if nothing is there, from the build context.
func (l Location) Dockerfile(name string) (Dockerfile, error) {
	if strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://") {
		return Dockerfile{}, &Error{What: "Dockerfile", Name: name, Err: errors.New("a Dockerfile from a URL is not supported"), Remedy: "download it first"}
	}
	for _, path := range []string{name, filepath.Join(l.Dir, name)} {
		text, err := read(path)
		if err == nil {
			return Dockerfile{Name: name, Path: path, Text: text}, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Dockerfile{}, &Error{What: "Dockerfile", Name: name, Err: reason(err)}
		}
	}
	return Dockerfile{}, &Error{What: "Dockerfile", Name: name,
		Err:    fmt.Errorf("neither in the working directory nor in the build context %s", l.Dir),
		Remedy: "name it with --dockerfile"}
}

// Open is the build context without what is ignored for this Dockerfile: a file
// beside it with its name and ".dockerignore" goes before the context's own. A
// named context has no Dockerfile, and only an ignore file of its own.
func (l Location) Open(d Dockerfile) (tree.FS, error) {
	ignore, err := l.ignore(d)
	if err != nil {
		return nil, err
	}
	options := disk.Options{Skip: l.skip(ignore)}
	all, err := disk.Open(l.Dir, options)
	if err != nil {
		return nil, &Error{Name: l.Dir, Err: reason(err)}
	}
	if ignore == nil {
		return all, nil
	}
	return dockerfile.Filter(all, ignore), nil
}

// skip tells what need not be looked at; nil is nothing.
func (l Location) skip(ignore *dockerfile.Ignore) func(tree.Path, tree.Type) bool {
	without := l.within(l.Without)
	switch {
	case without == tree.Root && ignore == nil:
		return nil
	case without == tree.Root:
		return ignore.Skip
	}
	return func(p tree.Path, t tree.Type) bool { return p == without || ignore != nil && ignore.Skip(p, t) }
}

// within is a directory's path in the context; the root if it lies nowhere below.
func (l Location) within(dir string) tree.Path {
	if dir == "" {
		return tree.Root
	}
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

// ignore reads what is to be left out for d; nil is nothing.
func (l Location) ignore(d Dockerfile) (*dockerfile.Ignore, error) {
	paths := []string{filepath.Join(l.Dir, ".dockerignore")}
	if d.Path != "" {
		paths = append([]string{d.Path + ".dockerignore"}, paths...)
	}
	for _, path := range paths {
		text, err := read(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &Error{What: "ignore file", Name: path, Err: reason(err)}
		}
		return dockerfile.ParseIgnore(path, text)
	}
	return nil, nil
}

func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("is a directory")
	case info.Size() > maxText:
		return nil, fmt.Errorf("larger than %d bytes", maxText)
	}
	return os.ReadFile(path)
}

// reason strips a path error down to its cause: the path is said already.
func reason(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// Error is a build context, Dockerfile or ignore file that cannot be had.
type Error struct {
	What   string // empty means the build context
	Name   string
	Err    error
	Remedy string
}

func (e *Error) Error() string {
	what := e.What
	if what == "" {
		what = "build context"
	}
	return fmt.Sprintf("open %s %s: %v", what, e.Name, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ExitCode is EX_NOINPUT.
func (e *Error) ExitCode() int { return 66 }

// Hint says what to do.
func (e *Error) Hint() string { return e.Remedy }
