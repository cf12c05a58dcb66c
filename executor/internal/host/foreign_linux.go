package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kaniko-suite/kaniko/shared/disk"
)

// Runs finds out whether this machine runs programs for a platform, itself or by an
// emulator that is registered with the kernel, by running one that it writes into a
// directory below dir. The error is a [ForeignError] if the kernel refuses; where it
// cannot be tried, what is to be run will show it.
func Runs(ctx context.Context, dir string, p v1.Platform) error {
	m, known := machines()[p.Architecture]
	if !known || p.OS != "linux" || p.Architecture == runtime.GOARCH {
		return nil
	}
	err := try(ctx, dir, m)
	if errors.Is(err, syscall.ENOEXEC) || errors.Is(err, syscall.ENOENT) {
		return &ForeignError{p, err}
	}
	return ctx.Err()
}

// try runs a program of a machine, in a root of its own if that is allowed: there an
// emulator serves only if the kernel has it open (binfmt_misc's flag F), and that is
// how commands of a build run.
func try(ctx context.Context, dir string, m machine) (err error) {
	text, err := m.program()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.MkdirTemp(dir, "foreign-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Remove(root)) }()
	file := filepath.Join(root, "true")
	if err := os.WriteFile(file, text, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, file)
	if os.Geteuid() == 0 {
		cmd = exec.CommandContext(ctx, "/true")
		cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Chroot: root}
	}
	if err = cmd.Run(); err != nil {
		return fmt.Errorf("run a program: %w", bare(err))
	}
	return nil
}

// bare is the error without the path of a file that nobody knows.
func bare(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
