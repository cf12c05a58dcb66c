package buildcontext

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// maxText bounds a Dockerfile or an ignore file, in bytes.
const maxText = 16 << 20

// Origin is where a Dockerfile is.
type Origin uint8

// The origins.
const (
	OnDisk    Origin = iota + 1 // a file of this machine
	InContext                   // in a build context that is no directory of the user's
	Elsewhere                   // standard input, or the web
)

// Dockerfile is a Dockerfile that was found.
type Dockerfile struct {
	Name   string // as the user named it, without secrets
	Path   string // by its Origin
	Origin Origin
	Text   []byte
}

// ReadsStdin reports whether a --dockerfile value means standard input.
func ReadsStdin(name string) bool { return name == "-" || name == "/dev/stdin" }

// Dockerfile reads the Dockerfile that a --dockerfile value names: "-" for standard
// input, an http or https URL, or a path from the working directory or, if nothing is
// there, from the build context.
func (f *Finder) Dockerfile(ctx context.Context, l *Location, name string) (Dockerfile, error) {
	shown := name
	fail := func(err error, remedy string) (Dockerfile, error) {
		return Dockerfile{}, &Error{What: "Dockerfile", Name: shown, Err: reason(err), Remedy: remedy}
	}
	switch {
	case ReadsStdin(name):
		r, done := interruptible(ctx, f.Stdin)
		defer done()
		text, err := readAll(r)
		if err == nil && len(text) == 0 {
			err = errors.New("nothing arrived on standard input")
		}
		if cause := context.Cause(ctx); cause != nil {
			return Dockerfile{}, cause
		}
		if err != nil {
			return fail(err, "")
		}
		return Dockerfile{Name: "-", Path: "-", Origin: Elsewhere, Text: text}, nil
	case strings.HasPrefix(name, "http://"), strings.HasPrefix(name, "https://"):
		shown = remote.Redact(name)
		r, err := remote.Stream(ctx, f.Client, name)
		if err != nil {
			return Dockerfile{}, err
		}
		defer r.Close()
		text, err := readAll(r)
		if err != nil {
			return fail(err, "")
		}
		return Dockerfile{Name: shown, Path: shown, Origin: Elsewhere, Text: text}, nil
	}
	text, err := read(name)
	if err == nil {
		return Dockerfile{Name: name, Path: name, Origin: OnDisk, Text: text}, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		d := Dockerfile{Name: name, Path: name, Origin: InContext}
		if l.plain() {
			d.Path, d.Origin = filepath.Join(l.Dir, name), OnDisk
		}
		if d.Text, err = l.text(name); err == nil {
			return d, nil
		}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fail(err, "")
	}
	return fail(fmt.Errorf("neither in the working directory nor in the build context %s", l.Name), "name it with --dockerfile")
}

// Ignore is what the build context leaves out for d; nil is nothing.
func (l *Location) Ignore(d Dockerfile) (*dockerfile.Ignore, error) {
	const name = ".dockerignore"
	type candidate struct {
		path string
		read func(string) ([]byte, error)
	}
	all := []candidate{{name, l.text}}
	switch d.Origin {
	case OnDisk:
		all = append([]candidate{{d.Path + name, read}}, all...)
	case InContext:
		all = append([]candidate{{d.Path + name, l.text}}, all...)
	}
	for _, c := range all {
		text, err := c.read(c.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &Error{What: "ignore file", Name: c.path, Err: reason(err)}
		}
		return dockerfile.ParseIgnore(c.path, text)
	}
	return nil, nil
}

// plain reports whether the build context is a directory of the user's.
func (l *Location) plain() bool { return l.archive == nil && !l.Fetched }

// text reads a small file of the build context.
func (l *Location) text(name string) ([]byte, error) {
	if l.plain() {
		return read(filepath.Join(l.Dir, name))
	}
	if !filepath.IsLocal(strings.TrimLeft(name, "/")) {
		return nil, fs.ErrNotExist
	}
	if l.archive != nil {
		return textOf(tree.Sub(l.archive, l.base), tree.Clean(name))
	}
	dir, err := disk.Open(l.Dir, disk.Options{})
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return textOf(dir, tree.Clean(name))
}

// textOf reads a small file. Links are followed within the file system.
func textOf(files tree.FS, p tree.Path) ([]byte, error) {
	real, err := tree.Resolve(files, p)
	if err != nil {
		return nil, err
	}
	e, err := tree.Stat(files, real)
	switch {
	case err != nil:
		return nil, err
	case e.Node.IsDir():
		return nil, errors.New("is a directory")
	}
	r, err := files.Open(real)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return readAll(r)
}

func read(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("is a directory")
	}
	return readAll(file)
}

// readAll reads what may not be large.
func readAll(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxText+1))
	if err == nil && len(text) > maxText {
		err = fmt.Errorf("larger than %d bytes", maxText)
	}
	return text, err
}
