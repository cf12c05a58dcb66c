package git

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

const (
	// maxModules bounds the file .gitmodules, in bytes.
	maxModules = 1 << 20
	// maxNesting bounds submodules in submodules.
	maxNesting = 32
)

// modules checks out the submodules at the places of a module that was checked out.
func (f *fetcher) modules(ctx context.Context, m module, s *filesystem.Storage, root *object.Tree, links []gitLink) error {
	if m.nesting >= maxNesting {
		return fmt.Errorf("submodules are nested more than %d deep", maxNesting)
	}
	listed, err := readModules(s, root)
	if err != nil {
		return err
	}
	for _, link := range links {
		sub, err := listed.at(path.Join(m.dir, link.path))
		if err != nil {
			return err
		}
		next, err := m.sub(sub, link)
		if err != nil {
			return &ModuleError{Path: sub.Path, Err: err}
		}
		if next.user == nil && sameHost(next.at, f.home) {
			next.user = f.user
		}
		if _, err := f.fetch(ctx, next); err != nil {
			return err
		}
		if f.keep {
			if err := f.active(m, sub.Name, next.at); err != nil {
				return err
			}
		}
	}
	return nil
}

// sub is the module that a submodule is.
func (m module) sub(s *config.Submodule, link gitLink) (module, error) {
	if err := checkModuleName(s.Name); err != nil {
		return module{}, err
	}
	at, user, err := moduleAddress(m.at, s.URL)
	if err != nil {
		return module{}, err
	}
	if user == nil && strings.HasPrefix(s.URL, ".") {
		user = m.user
	}
	return module{at: at, user: user, ref: link.hash.String(), path: path.Join(m.path, link.path),
		gitDir: path.Join(m.gitDir, "modules", s.Name), nesting: m.nesting + 1}, nil
}

// A ModuleError is a submodule that cannot be fetched as it is described.
type ModuleError struct {
	Path string
	Err  error
}

func (e *ModuleError) Error() string { return fmt.Sprintf("submodule %s: %v", e.Path, e.Err) }

func (e *ModuleError) Unwrap() error { return e.Err }

// ExitCode is EX_DATAERR.
func (e *ModuleError) ExitCode() int { return 65 }

// Hint says how to do without.
func (e *ModuleError) Hint() string {
	return "leave submodules out with ?submodules=false behind the repository's address"
}

// moduleList is what .gitmodules says.
type moduleList map[string]*config.Submodule

func readModules(s *filesystem.Storage, root *object.Tree) (moduleList, error) {
	e, err := root.FindEntry(".gitmodules")
	if errors.Is(err, object.ErrEntryNotFound) {
		return moduleList{}, nil
	}
	if err != nil {
		return nil, err
	}
	if e.Mode == filemode.Symlink {
		return nil, &HostileError{Path: ".gitmodules", Err: errors.New("it is a link")}
	}
	blob, err := s.EncodedObject(plumbing.BlobObject, e.Hash)
	if err != nil {
		return nil, fmt.Errorf(".gitmodules: %w", err)
	}
	text, err := readBlob(blob, maxModules)
	if err != nil {
		return nil, fmt.Errorf(".gitmodules: %w", err)
	}
	c := config.NewModules()
	if err := c.Unmarshal(text); err != nil {
		return nil, fmt.Errorf(".gitmodules: %w", err)
	}
	return c.Submodules, nil
}

// at is the submodule that belongs at a path.
func (l moduleList) at(p string) (*config.Submodule, error) {
	for _, s := range l {
		if cleanDir(s.Path) == p && s.URL != "" {
			return s, nil
		}
	}
	return nil, &ModuleError{Path: p, Err: errors.New(".gitmodules does not say where it is")}
}

// checkModuleName refuses names that would be paths to somewhere else.
func checkModuleName(name string) error {
	for _, part := range strings.FieldsFunc(name, func(r rune) bool { return r == '/' || r == '\\' }) {
		if part == ".." || part == "." {
			return &HostileError{Path: name, Err: errors.New("it is no name of a submodule")}
		}
	}
	if name == "" || strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\x00\n") {
		return &HostileError{Path: name, Err: errors.New("it is no name of a submodule")}
	}
	return nil
}

// moduleAddress is where a submodule is, seen from the repository that names it.
func moduleAddress(from address, raw string) (address, *url.Userinfo, error) {
	if strings.HasPrefix(raw, "./") || strings.HasPrefix(raw, "../") {
		at := from
		at.path = path.Join(from.path, raw)
		if strings.HasPrefix(at.path, "..") {
			return address{}, nil, fmt.Errorf("%s leads out of the host", raw)
		}
		return at, nil, nil
	}
	if strings.Contains(raw, "://") {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return address{}, nil, errors.New("its address cannot be read")
		}
		at := address{scheme: u.Scheme, host: u.Host, path: u.Path}
		switch u.Scheme {
		case "http", "https":
			return at, u.User, nil
		case "ssh":
			if u.User != nil {
				at.user = u.User.Username()
			}
			return at, nil, nil
		case "git":
			return at, nil, nil
		}
		return address{}, nil, fmt.Errorf("%s is no protocol that repositories are fetched by", u.Scheme)
	}
	if m := scpForm().FindStringSubmatch(raw); m != nil && m[4] == "" && m[5] == "" && m[3] != "" {
		return address{scheme: "ssh", user: m[1], host: m[2], path: m[3], scp: true}, nil, nil
	}
	return address{}, nil, errors.New("its address is a path of this machine, or none at all")
}
