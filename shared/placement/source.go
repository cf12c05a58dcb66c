package placement

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// A match is one source: the name it was found by, and where it really is.
type match struct {
	name string // last component as the user would say it; "" for the root
	real tree.Path
	node tree.Node
}

// matches expands the patterns, in their order. A plain path must exist; of the
// patterns with wildcards at least one must match, unless a plain path is there too.
func matches(src tree.FS, patterns []string) ([]match, error) {
	var found []match
	var empty string
	for _, pattern := range patterns {
		got, err := expand(src, pattern)
		if err != nil {
			return nil, err
		}
		if len(got) == 0 {
			if !hasMeta(pattern) {
				return nil, &NotFoundError{pattern}
			}
			empty = pattern
		}
		found = append(found, got...)
	}
	if len(found) == 0 && empty != "" {
		return nil, &NotFoundError{empty}
	}
	return found, nil
}

func hasMeta(pattern string) bool { return strings.ContainsAny(pattern, `*?[\`) }

func expand(src tree.FS, pattern string) ([]match, error) {
	at := []tree.Path{tree.Root}
	for _, name := range tree.Clean(pattern).Components() {
		var next []tree.Path
		for _, dir := range at {
			names, err := children(src, dir, name)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		at = next
	}
	var found []match
	for _, p := range at {
		real, err := tree.Resolve(src, p)
		if err != nil {
			return nil, err
		}
		e, err := tree.Stat(src, real)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, match{name: p.Base(), real: real, node: e.Node})
	}
	return found, nil
}

// children are the entries of dir that one component of a pattern names.
func children(src tree.FS, dir tree.Path, pattern string) ([]tree.Path, error) {
	if !hasMeta(pattern) {
		return []tree.Path{dir.Join(pattern)}, nil
	}
	real, err := tree.Resolve(src, dir)
	if err != nil {
		return nil, err
	}
	var found []tree.Path
	for e, err := range tree.List(src, real) {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		ok, err := path.Match(pattern, e.Path.Base())
		if err != nil {
			return nil, fmt.Errorf("source pattern %q: %w", pattern, err)
		}
		if ok {
			found = append(found, dir.Join(e.Path.Base()))
		}
	}
	return found, nil
}
