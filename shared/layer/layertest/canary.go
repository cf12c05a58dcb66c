package layertest

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Secret stands in the canary's files, and nothing that a program makes may have it.
const Secret = "c4n4ry-that-nobody-read"

// MaxMemory is what a program may need of memory with the worst input, in bytes.
const MaxMemory = 400 << 20

// A Canary is a directory that a program must leave as it is, and not read.
type Canary struct {
	Dir    string
	t      testing.TB
	before string
}

// NewCanary makes the directory dir with files in it, one of which is called kept.
func NewCanary(t testing.TB, dir string) *Canary {
	t.Helper()
	c := &Canary{Dir: dir, t: t}
	for _, name := range []string{"kept", "new.d/kept", "b/kept", "etc/passwd"} {
		file := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, []byte(Secret), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	c.before = c.sum()
	return c
}

// sum is a line for each file, with all that a write would change.
func (c *Canary) sum() string {
	c.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(c.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d:%d %d %d", path, info.Mode(), st.Uid, st.Gid, st.Nlink, info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %x", sha256.Sum256(raw))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return b.String()
}

// Check demands that nothing was written to the canary, and that nothing below the
// directories has what stands in it.
func (c *Canary) Check(t testing.TB, made ...string) {
	t.Helper()
	if after := c.sum(); after != c.before {
		t.Errorf("it was written outside:\n%s\nbefore:\n%s", after, c.before)
	}
	for _, dir := range made {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			info, infoErr := d.Info()
			if err != nil || infoErr != nil || !d.Type().IsRegular() || info.Size() > 1<<20 || strings.HasPrefix(path, c.Dir+"/") {
				return nil // what is gone, and what is too large to be ours
			}
			if raw, err := os.ReadFile(path); err == nil && strings.Contains(string(raw), Secret) {
				t.Errorf("%s has what stands outside", path)
			}
			return nil
		})
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
}

// CheckMemory demands that a process that has ended, and those that it started, needed no
// more memory than [MaxMemory].
func CheckMemory(t testing.TB, p *os.ProcessState) {
	t.Helper()
	if kib := p.SysUsage().(*syscall.Rusage).Maxrss; kib > MaxMemory>>10 {
		t.Errorf("it needed %d MiB of memory, more than %d", kib>>10, MaxMemory>>20)
	}
}
