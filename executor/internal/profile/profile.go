// Package profile writes what this process spent its processor time and memory on to
// files, in the format of pprof. It knows nothing of builds, and of other processes: what
// RUN's commands cost is in no profile.
package profile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"github.com/kaniko-suite/kaniko/shared/trace"
)

// A Profile is one that is being taken. Nil is none, and may be ended all the same.
type Profile struct {
	cpu, memory *file // nil if not wanted, or ended
}

// Start begins the profiles that are wanted. Both files are made at once, so that a path
// that cannot be written to is found before there is anything to lose; the error is a
// [trace.FileError] then.
func Start(f Flags) (_ *Profile, err error) {
	p := &Profile{}
	if p.cpu, err = create("CPU profile", f.CPU); err != nil {
		return nil, err
	}
	if p.memory, err = create("memory profile", f.Memory); err != nil {
		return nil, errors.Join(err, p.cpu.close())
	}
	if p.cpu == nil {
		return p, nil
	}
	if err := pprof.StartCPUProfile(p.cpu); err != nil {
		return nil, errors.Join(fmt.Errorf("begin a CPU profile: %w", err), p.cpu.close(), p.memory.close())
	}
	return p, nil
}

// Abandon ends the profiles with whatever their files have: another process, which this
// one only waits for, writes them anew.
func (p *Profile) Abandon() error {
	if p == nil {
		return nil
	}
	cpu, memory := p.cpu, p.memory
	p.cpu, p.memory = nil, nil
	if cpu != nil {
		pprof.StopCPUProfile()
	}
	return errors.Join(cpu.close(), memory.close())
}

// Stop ends the profiles and writes what is missing of their files. The error is a
// [trace.FileError].
func (p *Profile) Stop() error {
	if p == nil {
		return nil
	}
	if p.memory != nil {
		runtime.GC()                                    // what is in use is told as of the last collection
		_ = pprof.Lookup("allocs").WriteTo(p.memory, 0) // the file remembers its error
	}
	return p.Abandon()
}

// file remembers the first error: the runtime does not tell of those in writing a CPU
// profile.
type file struct {
	what string
	*os.File
	err error
}

func create(what, path string) (*file, error) {
	if path == "" {
		return nil, nil
	}
	out, err := createFile(path)
	if err != nil {
		return nil, &trace.FileError{What: what, Path: path, Err: err}
	}
	return &file{what: what, File: out}, nil
}

// createFile makes the file, or empties it. Missing directories are made.
func createFile(path string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
}

func (f *file) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if f.err == nil {
		f.err = err
	}
	return n, err
}

func (f *file) close() error {
	if f == nil {
		return nil
	}
	err := f.Close()
	if f.err != nil {
		err = f.err
	}
	if err != nil {
		return &trace.FileError{What: f.what, Path: f.Name(), Err: err}
	}
	return nil
}
