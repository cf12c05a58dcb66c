package dockerfile

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	symbolic "github.com/tonistiigi/dchapes-mode"

	"github.com/kaniko-suite/kaniko/shared/tree"
)

// ErrMode says that a text is no file mode.
var ErrMode = errors.New("not an octal number between 0 and 07777, nor symbolic as u=rwX,go=rX")

// A ModeChange is what --chmod does to the mode of a file: it sets it or, in the
// symbolic form of chmod(1), makes a new one of the old.
type ModeChange struct {
	text  string
	octal bool
	set   tree.Mode
	rules symbolic.Set
}

// String is the change as it was written.
func (m ModeChange) String() string { return m.text }

// Sets reports whether the change gives every file the same mode, whatever it had.
func (m ModeChange) Sets() bool { return m.octal }

// Apply is the mode that a file or directory with this mode gets.
func (m ModeChange) Apply(mode tree.Mode, dir bool) tree.Mode {
	if m.octal {
		return m.set
	}
	old := fs.FileMode(mode).Perm()
	for bit, flag := range modeFlags() {
		if mode&bit != 0 {
			old |= flag
		}
	}
	if dir {
		old |= fs.ModeDir
	}
	changed := m.rules.Apply(old)
	out := tree.Mode(changed.Perm())
	for bit, flag := range modeFlags() {
		if changed&flag != 0 {
			out |= bit
		}
	}
	return out
}

// modeFlags are the bits above the permissions, as tar and as Go has them.
func modeFlags() map[tree.Mode]fs.FileMode {
	return map[tree.Mode]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky}
}

// ParseMode reads the value of --chmod.
func ParseMode(s string) (ModeChange, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err == nil && n <= uint64(tree.ModeMask) {
		return ModeChange{text: s, octal: true, set: tree.Mode(n)}, nil
	}
	if err == nil {
		return ModeChange{}, fmt.Errorf("--chmod=%s: %w", s, ErrMode)
	}
	rules, err := symbolic.Parse(s)
	if err != nil {
		return ModeChange{}, fmt.Errorf("--chmod=%s: %w", s, ErrMode)
	}
	return ModeChange{text: s, rules: rules}, nil
}
