package main

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"
)

const (
	// maxFile bounds what is read of a package's file, in bytes.
	maxFile = 16 << 20
	// licence is what the archive calls the package's statement of its licence, GPL 2.
	licence = "copyright"
)

// writeBusybox writes a tar archive with the busybox of a Debian package, the links to
// it that applets names, and its licence.
func writeBusybox(path, deb, applets string) error {
	names, err := os.ReadFile(applets)
	if err != nil {
		return err
	}
	found, err := unpack(deb, map[string]string{"./bin/busybox": "busybox", "./usr/share/doc/busybox-static/copyright": licence})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name string
		mode int64
	}{{"busybox", 0o755}, {licence, 0o644}} {
		content := found[f.name]
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(content))}); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	for _, name := range strings.Fields(string(names)) {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: "busybox", Mode: 0o777}); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return writeFile(path, b.Bytes())
}

// unpack reads files of a Debian package, and returns them under other names.
func unpack(deb string, want map[string]string) (map[string][]byte, error) {
	f, err := os.Open(deb)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := member(f, "data.tar.xz")
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", deb, err)
	}
	z, err := xz.NewReader(data)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", deb, err)
	}
	found := map[string][]byte{}
	for r := tar.NewReader(z); len(found) < len(want); {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read %s: it has only %d of %d files", deb, len(found), len(want))
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", deb, err)
		}
		name, ok := want[h.Name]
		if !ok {
			continue
		}
		if h.Size > maxFile {
			return nil, fmt.Errorf("read %s: %s has %d bytes", deb, h.Name, h.Size)
		}
		if found[name], err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("read %s: %w", deb, err)
		}
	}
	return found, nil
}

// member finds a file in an ar archive, the form of Debian's packages: a line, and for
// each file a header of 60 bytes with its name in the first 16 and its size in ten
// from 48, and its content, padded to an even length.
func member(r io.Reader, name string) (io.Reader, error) {
	if _, err := io.CopyN(io.Discard, r, int64(len("!<arch>\n"))); err != nil {
		return nil, err
	}
	for {
		var h [60]byte
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return nil, fmt.Errorf("find %s: %w", name, err)
		}
		size, err := strconv.ParseInt(strings.TrimSpace(string(h[48:58])), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", name, err)
		}
		if strings.TrimRight(string(h[:16]), " /") == name {
			return io.LimitReader(r, size), nil
		}
		if _, err := io.CopyN(io.Discard, r, size+size%2); err != nil {
			return nil, fmt.Errorf("find %s: %w", name, err)
		}
	}
}
