package profile

import (
	"errors"
	"path/filepath"

	"github.com/spf13/pflag"
)

// Flags are the files that profiles are written to, as users name them.
type Flags struct {
	CPU    string // empty for none
	Memory string // empty for none
}

// Bind makes the flags settable.
func (f *Flags) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&f.CPU, "cpuprofile", "", "`file` to write to, at the end of the build, where its processor time went, as go tool pprof reads it")
	fs.StringVar(&f.Memory, "memprofile", "", "`file` to write to, at the end of the build, what asked for memory and what still has it, as go tool pprof reads it")
}

// Check finds what is wrong with the flags.
func (f *Flags) Check() error {
	if f.CPU != "" && f.Memory != "" && filepath.Clean(f.CPU) == filepath.Clean(f.Memory) {
		return errors.New("--cpuprofile and --memprofile are the same file")
	}
	return nil
}

// Paths are the absolute paths of the files that are wanted.
func (f *Flags) Paths() []string {
	var all []string
	for _, path := range []string{f.CPU, f.Memory} {
		if path == "" {
			continue
		}
		if abs, err := filepath.Abs(path); err == nil {
			all = append(all, abs)
		}
	}
	return all
}
