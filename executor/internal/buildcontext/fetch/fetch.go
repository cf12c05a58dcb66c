// Package fetch gets ADD's remote sources: files by package remote, repositories
// by package git. It implements [engine.Remotes].
package fetch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/git"
	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/remote"
	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Fetcher fetches into a directory. It is safe for use by several goroutines.
type Fetcher struct {
	Dir         string       // an existing directory; what is in use lies there
	Client      *http.Client // nil is one with the process's proxies and authorities
	Credentials git.Credentials
	// Fetched, if set, is told of what was fetched: of a file its SHA-256, as
	// [remote.File] has it, of a repository the commit. Calls come at the same time.
	Fetched func(r plan.Remote, digest string)
}

var _ engine.Remotes = (*Fetcher)(nil)

// Fetch implements [engine.Remotes].
func (f *Fetcher) Fetch(ctx context.Context, r plan.Remote) (tree.FS, tree.Path, func() error, error) {
	dir, err := os.MkdirTemp(f.Dir, "fetch-")
	if err != nil {
		return nil, "", nil, fmt.Errorf("make a directory to fetch into: %w", err)
	}
	fetch := f.file
	if r.Git {
		fetch = f.repository
	}
	files, from, err := fetch(ctx, r, dir)
	if err != nil {
		return nil, "", nil, errors.Join(err, disk.Remove(dir))
	}
	return files, from, func() error {
		var err error
		if open, ok := files.(io.Closer); ok {
			err = open.Close()
		}
		return errors.Join(err, disk.Remove(dir))
	}, nil
}

func (f *Fetcher) repository(ctx context.Context, r plan.Remote, dir string) (tree.FS, tree.Path, error) {
	ref, err := git.Parse(r.URL)
	if err != nil {
		return nil, "", err
	}
	commit, err := git.Fetch(ctx, ref, dir, git.Options{
		Checksum: r.Checksum, Client: f.Client, Credentials: f.Credentials, KeepGitDir: r.KeepGitDir,
	})
	if err != nil {
		return nil, "", err
	}
	f.fetched(r, commit)
	files, err := disk.Open(dir, disk.Options{})
	return files, tree.Root, err
}

func (f *Fetcher) file(ctx context.Context, r plan.Remote, dir string) (tree.FS, tree.Path, error) {
	got, err := remote.Fetch(ctx, f.Client, r.URL, dir, r.Checksum)
	if err != nil {
		return nil, "", err
	}
	f.fetched(r, got.Digest)
	name := r.Name
	if name == "" {
		name = "file" // which is not seen: it comes to lie under the destination's name
	}
	s := &single{file: got, at: tree.Root.Join(name)}
	mtime := got.ModTime
	if mtime.IsZero() {
		mtime = time.Unix(0, 0)
	}
	s.Put(tree.Root, tree.Node{Type: tree.Dir, Mode: 0o755, MTime: mtime})
	s.Put(s.at, tree.Node{Type: tree.File, Mode: remote.Mode, Size: got.Size, MTime: mtime})
	return s, s.at, nil
}

func (f *Fetcher) fetched(r plan.Remote, digest string) {
	if f.Fetched != nil {
		f.Fetched(r, digest)
	}
}

// single is a file system with nothing but the file that was fetched.
type single struct {
	tree.Tree
	file remote.File
	at   tree.Path
}

// Open implements [tree.FS].
func (s *single) Open(p tree.Path) (io.ReadCloser, error) {
	if p != s.at {
		return s.Tree.Open(p)
	}
	return os.Open(s.file.Path)
}
