package sbom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// maxHeader bounds the header of one package, in bytes. Those of the largest have the
// names of a hundred thousand files.
const maxHeader = 64 << 20

// rpmFormat is a format of rpm's database: it yields the headers of packages.
type rpmFormat func(r io.ReaderAt, size int64, each func(header []byte) error) error

// rpmDatabase is how a file in rpm's directory is read, nil if it is not a database of
// packages. There have been three formats; the readers are ours, since a library has to
// bring all of SQLite for a table of two columns, and to bear what an image brings.
func rpmDatabase(name string) rpmFormat {
	switch name {
	case "rpmdb.sqlite":
		return readSQLite
	case "Packages.db":
		return readNDB
	case "Packages":
		return readBDB
	}
	return nil
}

// readRPM reads the packages of a database.
func readRPM(format rpmFormat, file *os.File, size int64, f *finding) error {
	return format(file, size, func(header []byte) error {
		p, err := rpmPackage(header)
		if err != nil {
			return err
		}
		if p.Name == "gpg-pubkey" {
			return nil // a key that rpm trusts is no software
		}
		return f.add(record{Package: p})
	})
}

// The tags of a header that are read (rpm's rpmtag.h).
const (
	tagName      = 1000
	tagVersion   = 1001
	tagRelease   = 1002
	tagEpoch     = 1003
	tagVendor    = 1011
	tagLicense   = 1014
	tagArch      = 1022
	tagSourceRPM = 1044
)

const (
	rpmInt32  = 4
	rpmString = 6
	rpmEntry  = 16 // bytes of an entry of a header's index
)

// rpmPackage reads a header: the numbers of entries and of bytes, the entries, and the
// bytes that they point into; all numbers are big-endian (rpm's docs/manual/hregions.md).
func rpmPackage(header []byte) (Package, error) {
	if len(header) < 8 {
		return Package{}, errors.New("a package's header breaks off")
	}
	entries, bytes := int64(binary.BigEndian.Uint32(header)), int64(binary.BigEndian.Uint32(header[4:]))
	if 8+entries*rpmEntry+bytes > int64(len(header)) {
		return Package{}, errors.New("a package's header breaks off")
	}
	index := header[8 : 8+entries*rpmEntry]
	data := header[8+entries*rpmEntry:][:bytes]
	p := Package{Kind: RPM}
	var release string
	for ; len(index) > 0; index = index[rpmEntry:] {
		tag, kind, at := binary.BigEndian.Uint32(index), binary.BigEndian.Uint32(index[4:]), int64(binary.BigEndian.Uint32(index[8:]))
		if at >= bytes {
			continue // of a region, whose offset is negative
		}
		value := data[at:]
		switch tag {
		case tagName:
			p.Name = rpmText(kind, value)
		case tagVersion:
			p.Version = rpmText(kind, value)
		case tagRelease:
			release = rpmText(kind, value)
		case tagArch:
			p.Arch = rpmText(kind, value)
		case tagLicense:
			p.License = rpmText(kind, value)
		case tagVendor:
			p.Supplier = rpmText(kind, value)
		case tagSourceRPM:
			p.Source = rpmText(kind, value)
		case tagEpoch:
			if kind == rpmInt32 && len(value) >= 4 {
				p.Epoch = fmt.Sprint(binary.BigEndian.Uint32(value))
			}
		}
	}
	if p.Name == "" || p.Version == "" {
		return p, errors.New("a package's header has no name or version")
	}
	if release != "" {
		p.Version += "-" + release
	}
	return p, nil
}

// rpmText is a text that ends with a NUL.
func rpmText(kind uint32, value []byte) string {
	if kind != rpmString {
		return ""
	}
	text, _, ok := strings.Cut(string(value[:min(len(value), maxField+1)]), "\x00")
	if !ok && len(value) <= maxField || text == "(none)" {
		return ""
	}
	return text
}

// readAt reads n bytes at an offset.
func readAt(r io.ReaderAt, at, n int64) ([]byte, error) {
	b := make([]byte, n)
	if _, err := r.ReadAt(b, at); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}
