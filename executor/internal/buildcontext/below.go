package buildcontext

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Below makes a directory of the build context the whole of it. It must lie inside,
// links included.
func (l *Location) Below(sub string) error {
	rel := strings.Trim(sub, "/")
	switch {
	case rel == "":
		return nil
	case !filepath.IsLocal(rel):
		return l.noDirectory(sub, exitUsage, errors.New("which leads out of it"))
	case l.archive != nil:
		return l.belowArchive(sub, tree.Clean(rel))
	}
	real, err := filepath.EvalSymlinks(filepath.Join(l.Dir, rel))
	if err != nil {
		return l.noDirectory(sub, 0, reason(err))
	}
	info, err := os.Stat(real)
	switch inside, relErr := filepath.Rel(l.Dir, real); {
	case err != nil:
		return l.noDirectory(sub, 0, reason(err))
	case relErr != nil || !filepath.IsLocal(inside):
		return l.noDirectory(sub, exitUsage, errors.New("which is a link that leads out of it"))
	case !info.IsDir():
		return l.noDirectory(sub, 0, errors.New("which is no directory"))
	}
	l.Dir = real
	return nil
}

func (l *Location) belowArchive(sub string, p tree.Path) error {
	real, err := tree.Resolve(l.archive, p)
	if err != nil {
		return l.noDirectory(sub, 0, err)
	}
	e, err := tree.Stat(l.archive, real)
	switch {
	case err != nil:
		return l.noDirectory(sub, 0, reason(err))
	case !e.Node.IsDir():
		return l.noDirectory(sub, 0, errors.New("which is no directory"))
	}
	l.base = real
	return nil
}

func (l *Location) noDirectory(sub string, code int, err error) error {
	return &Error{Name: l.Name, Err: fmt.Errorf("use %s of it: %w", sub, err), Code: code,
		Remedy: "--context-sub-path names a directory of the build context, seen from its top"}
}
