package buildcontext

import (
	"encoding/gob"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/kaniko-suite/kaniko/executor/internal/buildcontext/archive"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// handoverName is the file in which one process tells another what it has found.
const handoverName = "handover"

// handover is what is in it.
type handover struct {
	Name    string
	Dir     string
	Fetched bool
	Commit  string
	SHA256  string
	Archive string // the directory that it was kept in; empty if it is none
	Base    tree.Path

	Dockerfile Dockerfile
}

// HandOver notes in a directory what was found, for [TakeOver] in another process:
// what was fetched, or read from standard input, cannot be had again.
func HandOver(dir string, l *Location, d Dockerfile) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("hand over the build context: %w", err)
		}
	}()
	if l.archive != nil {
		if err := l.archive.Save(); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(filepath.Join(dir, handoverName), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = gob.NewEncoder(file).Encode(handover{Name: l.Name, Dir: l.Dir, Fetched: l.Fetched, Commit: l.Commit, SHA256: l.SHA256, Archive: l.kept, Base: l.base, Dockerfile: d})
	return errors.Join(err, file.Close())
}

// TakeOver opens what another process has handed over.
func TakeOver(dir string) (*Location, Dockerfile, error) {
	fail := func(err error) (*Location, Dockerfile, error) {
		return nil, Dockerfile{}, fmt.Errorf("take over the build context: %w", err)
	}
	file, err := os.Open(filepath.Join(dir, handoverName))
	if err != nil {
		return fail(err)
	}
	defer file.Close()
	var h handover
	if err := gob.NewDecoder(file).Decode(&h); err != nil {
		return fail(err)
	}
	l := &Location{Name: h.Name, Dir: h.Dir, Fetched: h.Fetched, Commit: h.Commit, SHA256: h.SHA256, kept: h.Archive, base: h.Base}
	if h.Archive != "" {
		if l.archive, err = archive.Load(h.Archive); err != nil {
			return fail(err)
		}
	}
	return l, h.Dockerfile, nil
}
