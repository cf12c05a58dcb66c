package inplace

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/kaniko-suite/kaniko/shared/disk"
	"github.com/kaniko-suite/kaniko/shared/tree"
)

// journalName is the directory, in the driver's own, with a note of each mount that
// is in place. What is found there when a driver starts is of a killed build.
const journalName = "mounts"

// note says what a mount has done, or is about to do: it is written before. Each
// lies in a directory of its own, beside what was put aside for the mount.
type note struct {
	dir string
	// Target is where the mount is. Dev and Ino are what was put there, as soon as
	// that is known.
	Target   string
	Dev, Ino uint64 `json:",omitempty"`
	Aside    string `json:",omitempty"` // where what was at Target is
	Temp     string `json:",omitempty"` // a directory to be removed
	Source   string `json:",omitempty"` // the machine's directory that is shown
	New      string `json:",omitempty"` // a directory in which Source is written anew
}

const (
	noteName  = "note"
	maxNote   = 64 << 10 // bytes; a path has 4 KiB at most
	wholeName = "whole"  // in note.New: what is to become Source, complete
)

// newNote begins the note of a mount.
func (d *Driver) newNote(target tree.Path) (*note, error) {
	d.notes++
	n := &note{dir: filepath.Join(d.path(journalName), strconv.Itoa(d.notes)), Target: target.Abs()}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return nil, err
	}
	return n, n.write()
}

func (n *note) name() string { return filepath.Base(n.dir) }

// write replaces the note at once: a half one is never read.
func (n *note) write() error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	next := filepath.Join(n.dir, noteName+".next")
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, filepath.Join(n.dir, noteName))
}

// close removes the note, and what was put aside if it was not put back.
func (n *note) close() error {
	var errs []error
	for _, dir := range []string{n.Temp, n.New} {
		if dir != "" {
			errs = append(errs, disk.Remove(dir))
		}
	}
	if n.Aside != "" && filepath.Dir(n.Aside) != n.dir {
		errs = append(errs, disk.Remove(filepath.Dir(n.Aside)))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return disk.Remove(n.dir)
}

// recover puts right what a killed build left of its mounts: directories of the
// machine go back, and secrets go.
func (d *Driver) recover() error {
	names, err := os.ReadDir(d.path(journalName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var numbers []int
	for _, e := range names {
		if n, err := strconv.Atoi(e.Name()); err == nil {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	// As they would have been undone.
	for _, number := range slices.Backward(numbers) {
		n := &note{dir: filepath.Join(d.path(journalName), strconv.Itoa(number))}
		if err := n.read(); err != nil {
			return err
		}
		if err := n.recover(); err != nil {
			return fmt.Errorf("put right what is left of a mount at %s: %w", n.Target, err)
		}
	}
	return errors.Join(disk.Remove(d.path(journalName)), disk.Remove(asideRoot))
}

// read reads the note; there is none yet where a build was killed just then.
func (n *note) read() error {
	f, err := os.Open(filepath.Join(n.dir, noteName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if err := json.NewDecoder(io.LimitReader(f, maxNote)).Decode(n); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return nil
}

// recover undoes as much as can be known to be ours.
func (n *note) recover() error {
	if n.Source != "" && !exists(n.Source) {
		from := filepath.Join(n.New, wholeName)
		if n.New == "" || !exists(from) {
			from = n.Target
		}
		if st, err := os.Lstat(from); err == nil && st.IsDir() {
			if err := os.Rename(from, n.Source); err != nil {
				return err
			}
		}
	}
	var st unix.Stat_t
	if n.Ino != 0 && unix.Lstat(n.Target, &st) == nil && uint64(st.Dev) == n.Dev && st.Ino == n.Ino {
		// A directory may have got files since that somebody wants, and goes with the
		// root anyway, unless it lies on a volume.
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || n.Aside != "" && exists(n.Aside) {
			if err := disk.Remove(n.Target); err != nil {
				return err
			}
		}
	}
	if n.Aside != "" && exists(n.Aside) && !exists(n.Target) {
		if err := os.Rename(n.Aside, n.Target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return n.close()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
