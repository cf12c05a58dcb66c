package layer

import (
	"fmt"
	"strings"
)

// What one archive may come to. An archive of a few bytes can say that it is endless,
// as a file of holes or as a name that is repeated, and compresses to nothing.
const (
	maxName     = 4096      // bytes of a path or of the target of a link: Linux's PATH_MAX
	maxPart     = 255       // bytes of one name in a path: NAME_MAX
	maxXattr    = 64 << 10  // bytes of an extended attribute's value: XATTR_SIZE_MAX
	maxXattrs   = 128 << 10 // bytes of all attributes of an entry
	maxMetadata = 1 << 30   // bytes that all entries need when they are remembered
	maxContent  = 1 << 40   // bytes of all files, with their holes
	// entryBytes is what an entry needs beside its name, target and attributes.
	entryBytes = 128
)

// Bulk adds up what an archive holds, and refuses what exceeds any real one.
type Bulk struct{ metadata, content int64 }

// Add counts a change. Its error says which limit is exceeded; it is a [DamagedError].
func (b *Bulk) Add(c Change) error {
	b.metadata += entryBytes + int64(len(c.Path)+len(c.Hard)+len(c.Node.Link)) + xattrBytes(c)
	if c.Hard == "" {
		if c.Node.Size > maxContent-b.content {
			return refuse(c, "with it all files have more than %d bytes", int64(maxContent))
		}
		b.content += c.Node.Size
	}
	if b.metadata > maxMetadata {
		return refuse(c, "names and attributes up to it have more than %d bytes", int64(maxMetadata))
	}
	return nil
}

// checkNames refuses an entry that no file system of Linux can hold.
func checkNames(c Change) error {
	if len(c.Path) > maxName || len(c.Hard) > maxName || len(c.Node.Link) >= maxName {
		return refuse(c, "a path in it has more than %d bytes", maxName-1)
	}
	for name := range strings.SplitSeq(string(c.Path), "/") {
		if len(name) > maxPart {
			return refuse(c, "a name in it has more than %d bytes", maxPart)
		}
	}
	if strings.IndexByte(string(c.Path), 0) >= 0 || strings.IndexByte(string(c.Hard), 0) >= 0 || strings.IndexByte(c.Node.Link, 0) >= 0 {
		return refuse(c, "a name in it has a zero byte")
	}
	for name, value := range c.Node.Xattrs {
		if len(name) > maxPart || len(value) > maxXattr {
			return refuse(c, "the attribute %.40q has %d bytes, more than %d", name, len(value), maxXattr)
		}
	}
	if xattrBytes(c) > maxXattrs {
		return refuse(c, "its attributes have more than %d bytes", maxXattrs)
	}
	return nil
}

func xattrBytes(c Change) (n int64) {
	for name, value := range c.Node.Xattrs {
		n += int64(len(name) + len(value))
	}
	return n
}

// refuse is a [DamagedError] of an entry, of whose name the beginning will do.
func refuse(c Change, format string, args ...any) error {
	const shown = 80
	name := c.Path.Abs()
	if len(name) > shown {
		name = strings.ToValidUTF8(name[:shown], "") + "…"
	}
	return &DamagedError{fmt.Errorf("the entry %q: %s", name, fmt.Sprintf(format, args...))}
}
