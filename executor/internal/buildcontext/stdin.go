package buildcontext

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// interruptible is a reader that ends with the context where it would wait: reading
// from a pipe that the process was given cannot be ended, but from the same pipe
// opened once more it can. Done must be called.
func interruptible(ctx context.Context, r io.Reader) (_ io.Reader, done func()) {
	nothing := func() {}
	file, ok := r.(*os.File)
	if !ok {
		return r, nothing
	}
	info, err := file.Stat()
	if err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		return r, nothing
	}
	again, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	if err != nil {
		return r, nothing // it may be another user's, or /proc may be missing
	}
	stop := context.AfterFunc(ctx, func() { again.Close() })
	return again, func() {
		stop()
		again.Close()
	}
}
