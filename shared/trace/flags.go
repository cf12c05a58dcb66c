package trace

import (
	"errors"
	"path/filepath"

	"github.com/spf13/pflag"
)

// Flags are the files that a program tells of its work in, as its users name them.
type Flags struct {
	TraceFile   string // empty for none
	MetricsFile string // empty for none
}

// Bind makes the flags settable.
func (f *Flags) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&f.TraceFile, "trace-file", "", "`file` to write the trace to, as lines of OTLP JSON")
	fs.StringVar(&f.MetricsFile, "metrics-file", "", "`file` to write metrics to at the end, as Prometheus reads them")
}

// Check finds what is wrong with the flags.
func (f *Flags) Check() error {
	if f.TraceFile != "" && f.MetricsFile != "" && filepath.Clean(f.TraceFile) == filepath.Clean(f.MetricsFile) {
		return errors.New("--trace-file and --metrics-file are the same file")
	}
	return nil
}

// Paths are the absolute paths of the files that are wanted.
func (f *Flags) Paths() []string {
	var all []string
	for _, path := range []string{f.TraceFile, f.MetricsFile} {
		if path == "" {
			continue
		}
		if abs, err := filepath.Abs(path); err == nil {
			all = append(all, abs)
		}
	}
	return all
}
