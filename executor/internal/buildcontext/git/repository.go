package git

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/config"
	"github.com/go-git/go-git/v5/plumbing/format/index"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// repository completes a module's store, so that git takes it for one: HEAD at
// the commit, its reference, the remote that it came from, and the index.
func (f *fetcher) repository(m module, s *filesystem.Storage, w wanted, commit plumbing.Hash, entries []*index.Entry) error {
	if w.name != "" {
		if err := s.SetReference(plumbing.NewHashReference(plumbing.ReferenceName(w.name), w.hash)); err != nil {
			return err
		}
	}
	if err := s.SetReference(plumbing.NewHashReference(plumbing.HEAD, commit)); err != nil {
		return err
	}
	if err := s.SetIndex(&index.Index{Version: 2, Entries: entries}); err != nil {
		return err
	}
	c := config.New().
		AddOption("core", "", "repositoryformatversion", "0").
		AddOption("core", "", "filemode", "true").
		AddOption("core", "", "bare", "false").
		AddOption("core", "", "logallrefupdates", "true")
	if m.path != "" {
		up := strings.Repeat("../", strings.Count(m.gitDir, "/")+1)
		c.AddOption("core", "", "worktree", up+m.path)
	}
	c.AddOption("remote", "origin", "url", m.at.String()).
		AddOption("remote", "origin", "fetch", "+refs/heads/*:refs/remotes/origin/*")
	return f.writeConfig(m, c)
}

// active notes in a kept repository that it has a submodule.
func (f *fetcher) active(m module, name string, at address) error {
	file := f.configFile(m)
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	c := config.New()
	if err := config.NewDecoder(bytes.NewReader(text)).Decode(c); err != nil {
		return err
	}
	c.AddOption("submodule", name, "active", "true").AddOption("submodule", name, "url", at.String())
	return f.writeConfig(m, c)
}

func (f *fetcher) configFile(m module) string {
	return filepath.Join(f.root, filepath.FromSlash(m.gitDir), "config")
}

func (f *fetcher) writeConfig(m module, c *config.Config) error {
	var b bytes.Buffer
	if err := config.NewEncoder(&b).Encode(c); err != nil {
		return err
	}
	return os.WriteFile(f.configFile(m), b.Bytes(), 0o644)
}

// settle gives everything in a kept repository the modes that git gives it, and
// one time: what was written when is nobody's business. There are no links in it.
func settle(repository string, t time.Time) error {
	var dirs []string
	err := filepath.WalkDir(repository, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		switch {
		case e.IsDir():
			dirs = append(dirs, path)
			return os.Chmod(path, 0o755)
		case !e.Type().IsRegular():
			return fmt.Errorf("%s is no file", path)
		case filepath.Base(filepath.Dir(path)) == "pack":
			mode = 0o444
		}
		if err := os.Chmod(path, mode); err != nil {
			return err
		}
		return os.Chtimes(path, t, t)
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = os.Chtimes(dirs[i], t, t)
	}
	return err
}
