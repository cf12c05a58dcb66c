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
	"github.com/kaniko-suite/kaniko/shared/dockerfile"
	"github.com/kaniko-suite/kaniko/shared/engine"
	"github.com/kaniko-suite/kaniko/shared/placement"
	"github.com/kaniko-suite/kaniko/shared/plan"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// Fetcher fetches into a directory. It is safe for use by several goroutines.
type Fetcher struct {
	Dir         string       // an existing directory; what is in use lies there
	Client      *http.Client // nil is one with the process's proxies and authorities
	Credentials git.Credentials
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
	if err := f.checkOut(ctx, r, dir); err != nil {
		return nil, "", err
	}
	files, err := disk.Open(dir, disk.Options{})
	return files, tree.Root, err
}

// checkOut writes what r wants of a repository into dir.
func (f *Fetcher) checkOut(ctx context.Context, r plan.Remote, dir string) error {
	ref, err := git.Parse(r.URL)
	if err != nil {
		return err
	}
	_, err = git.Fetch(ctx, ref, dir, git.Options{
		Checksum: r.Checksum, Client: f.Client, Credentials: f.Credentials, KeepGitDir: r.KeepGitDir,
	})
	return err
}

func (f *Fetcher) file(ctx context.Context, r plan.Remote, dir string) (tree.FS, tree.Path, error) {
	got, err := remote.Fetch(ctx, f.Client, r.URL, dir, r.Checksum)
	if err != nil {
		return nil, "", err
	}
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

// Directory fetches a build context, a repository or an archive of files, into a
// directory below f.Dir, which stays.
func (f *Fetcher) Directory(ctx context.Context, address string) (string, error) {
	dir, err := os.MkdirTemp(f.Dir, "context-")
	if err != nil {
		return "", fmt.Errorf("make a directory to fetch into: %w", err)
	}
	if dockerfile.Remote(address) == dockerfile.Repository {
		return dir, f.checkOut(ctx, plan.Remote{URL: address}, dir)
	}
	files, from, release, err := f.Fetch(ctx, plan.Remote{URL: address})
	if err != nil {
		return "", err
	}
	err = unpack(ctx, files, from, dir)
	if err != nil {
		err = fmt.Errorf("unpack %s: %w", remote.Redact(address), err)
	}
	return dir, errors.Join(err, release())
}

// unpack writes the archive at from into dir; what is no archive is an error.
func unpack(ctx context.Context, files tree.FS, from tree.Path, dir string) error {
	archive := placement.Request{Source: files, Patterns: []string{string(from)}, Dest: tree.Root, DestDir: true, Unpack: true}
	empty := &tree.Tree{}
	empty.Put(tree.Root, tree.Node{Type: tree.Dir, Mode: 0o755})
	is, err := placement.IsArchive(files, from)
	if err != nil {
		return err
	}
	if !is {
		return errors.New("it is no tar archive")
	}
	tolerate := func(disk.Refusal) error { return nil }
	return disk.WriteAll(ctx, dir, disk.WriterOptions{Refused: tolerate}, placement.Place(archive, empty), nil)
}
