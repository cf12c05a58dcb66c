// Package floor does alone what no builder can do without: unpack, hash, compress, look at files, send bytes. Each is a process of its own under `bench measure`, so that its cost is counted
// as a builder's is. It builds nothing.
package floor

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/pgzip"
	"golang.org/x/sys/unix"
)

// Main does one thing, as its name says:
//
//	untar DIR LAYER…    decompresses layers, one after the other, for tar(1) to unpack into a new directory
//	sha256 PATH…        reads files, and those below directories, and hashes them
//	compress PATH…      compresses them as the executor does by default, and throws that away
//	walk DIR            asks statx(2) of everything below a directory
//	send ADDRESS BYTES  sends so many bytes by TCP to who reads them
//	sh DIR SCRIPT       runs a shell script in a directory, which it makes
func Main(args []string) error {
	if len(args) < 2 {
		return errors.New("usage: bench floor untar|sha256|compress|walk|send|sh ARGUMENT...")
	}
	kind, args := args[0], args[1:]
	switch {
	case kind == "untar":
		return untar(args[0], args[1:])
	case kind == "sha256":
		return files(args, sha256.New())
	case kind == "compress":
		return compress(args)
	case kind == "walk" && len(args) == 1:
		n, err := Walk(args[0])
		fmt.Println(n, "entries")
		return err
	case kind == "send" && len(args) == 2:
		n, err := strconv.ParseInt(args[1], 10, 64)
		if err != nil {
			return err
		}
		return send(args[0], n)
	case kind == "sh" && len(args) == 2:
		return shell(args[0], args[1])
	}
	return fmt.Errorf("there is no %s of %d arguments", kind, len(args))
}

func untar(dir string, layers []string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, layer := range layers {
		if err := untarOne(dir, layer); err != nil {
			return fmt.Errorf("unpack %s: %w", layer, err)
		}
	}
	return nil
}

func untarOne(dir, layer string) error {
	f, err := os.Open(layer)
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	cmd := exec.Command("tar", "-x", "-C", dir, "--same-owner", "-p")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = z, os.Stdout, os.Stderr
	return cmd.Run()
}

// files writes the content of all regular files at and below the paths to w.
func files(paths []string, w io.Writer) error {
	buffer := make([]byte, 1<<20)
	for _, path := range paths {
		err := filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			// Hidden, what *os.File can do by itself would have a buffer of its own for each file.
			_, err = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{f}, buffer)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// The executor's default, shared/layer/compression.go.
const (
	gzipLevel = 2
	gzipBlock = 1 << 20
)

func compress(paths []string) error {
	var n counter
	z, err := pgzip.NewWriterLevel(&n, gzipLevel)
	if err != nil {
		return err
	}
	if err := z.SetConcurrency(gzipBlock, 4); err != nil {
		return err
	}
	if err := errors.Join(files(paths, z), z.Close()); err != nil {
		return err
	}
	fmt.Println(n, "bytes")
	return nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

// Walk asks statx of everything below dir, and says of how much that was.
func Walk(dir string) (int, error) {
	f, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	n := len(names)
	for _, name := range names {
		var st unix.Statx_t
		if err := unix.Statx(int(f.Fd()), name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st); err != nil {
			return n, fmt.Errorf("statx %s/%s: %w", dir, name, err)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			below, err := Walk(dir + "/" + name)
			n += below
			if err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// send waits until the other side has read everything and ended the connection.
func send(address string, n int64) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	buffer := make([]byte, 256<<10)
	for n > 0 {
		sent, err := c.Write(buffer[:min(n, int64(len(buffer)))])
		if err != nil {
			return err
		}
		n -= int64(sent)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, c)
	return err
}

// A Sink reads what is sent to it, in the process that has started it.
type Sink struct {
	Addr     string // host:port
	listener net.Listener
}

// StartSink starts one on a loopback port.
func StartSink() (*Sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &Sink{l.Addr().String(), l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			// Senders take turns.
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{c})
			_ = c.Close()
		}
	}()
	return s, nil
}

// Close ends it.
func (s *Sink) Close() error { return s.listener.Close() }

func shell(dir, script string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stderr
	return cmd.Run()
}
