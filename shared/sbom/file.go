package sbom

import (
	"io"
	"os"
	"strings"

	"github.com/kaniko-suite/kaniko/shared/layer"
)

// reader tells how a file is read, by its name and mode; nil if it is not.
func (s *scan) reader(c layer.Change) reader {
	switch dir, name := c.Path.Parent(), c.Path.Base(); {
	case c.Path == "etc/os-release", c.Path == "usr/lib/os-release":
		return readSystem
	case c.Path == "var/lib/dpkg/status":
		return readDpkg
	case dir == "var/lib/dpkg/status.d" && !strings.HasSuffix(name, ".md5sums"): // distroless: a file for each package
		return readDpkg
	case c.Path == "lib/apk/db/installed", c.Path == "usr/lib/apk/db/installed":
		return readApk
	case dir == "var/lib/rpm" || dir == "usr/lib/sysimage/rpm" || dir == "usr/share/rpm":
		if open := rpmDatabase(name); open != nil {
			return s.spooled(maxDatabase, func(file *os.File, size int64, f *finding) error { return readRPM(open, file, size, f) })
		}
		return nil
	case isPython(c.Path):
		return readPython
	case isNode(c.Path):
		return readNode
	case c.Node.Mode&0o111 != 0 && c.Node.Size >= minProgram && c.Node.Size <= maxProgram:
		return s.readProgram
	}
	return nil
}

// spooled is a reader of what has to be a file; of more than limit bytes it is an error.
func (s *scan) spooled(limit int64, read func(*os.File, int64, *finding) error) reader {
	return func(r io.Reader, f *finding) error {
		file, err := os.CreateTemp(s.spool, "sbom-")
		if err != nil {
			return err
		}
		defer os.Remove(file.Name())
		defer file.Close()
		n, err := io.Copy(file, io.LimitReader(r, limit+1))
		if err != nil {
			return err
		}
		if n > limit {
			return tooLarge(limit)
		}
		return read(file, n, f)
	}
}
