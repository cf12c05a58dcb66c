package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kaniko-suite/kaniko/inspect/internal/files"
	"github.com/kaniko-suite/kaniko/inspect/internal/output"
)

// listedFile is an entry of a layer or of an image.
type listedFile struct {
	Path   string `json:"path"`
	Type   string `json:"type"`
	Mode   string `json:"mode"` // in octal
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Size   int64  `json:"size"`
	MTime  string `json:"mtime,omitempty"`
	Link   string `json:"link,omitempty"`
	Digest string `json:"digest,omitempty"`
	// Xattrs are the names of its extended attributes.
	Xattrs  []string `json:"xattrs,omitempty"`
	Layer   int      `json:"layer"`
	Implied bool     `json:"implied,omitempty"`
	bits    int64
}

const xattrPrefix = "SCHILY.xattr."

func listed(e *files.Entry, size int64) listedFile {
	h := e.Header
	f := listedFile{
		Path: e.Path, Type: e.Type(), Mode: fmt.Sprintf("%04o", h.Mode&0o7777), UID: h.Uid, GID: h.Gid, Size: size,
		Link: h.Linkname, Layer: e.Layer, Implied: e.Implied, bits: h.Mode & 0o7777,
	}
	if e.Digest != "" {
		f.Digest = "sha256:" + e.Digest
	}
	if !e.Implied {
		f.MTime = h.ModTime.UTC().Format(time.RFC3339)
	}
	for _, k := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if name, ok := strings.CutPrefix(k, xattrPrefix); ok {
			f.Xattrs = append(f.Xattrs, name)
		}
	}
	return f
}

// fileRows is a table of entries, as ls -l prints them.
func fileRows(all []listedFile) *output.Rows {
	rows := output.NewRows()
	for _, f := range all {
		name := f.Path
		switch f.Type {
		case "symlink":
			name += " -> " + f.Link
		case "hardlink":
			name += " => " + f.Link
		}
		rows.Add(f.mode(), fmt.Sprintf("%d:%d", f.UID, f.GID), fmt.Sprint(f.Size), f.MTime, name)
	}
	return rows
}

// mode is type and permissions as ls prints them.
func (f listedFile) mode() string {
	letter := map[string]byte{"dir": 'd', "symlink": 'l', "char": 'c', "block": 'b', "fifo": 'p'}[f.Type]
	if letter == 0 {
		letter = '-'
	}
	out := []byte{letter}
	for _, who := range []struct {
		shift   uint
		special int64
		letter  byte
	}{{6, 0o4000, 's'}, {3, 0o2000, 's'}, {0, 0o1000, 't'}} {
		bits := f.bits >> who.shift & 7
		for i, c := range []byte("rwx") {
			if bits>>(2-i)&1 == 0 {
				c = '-'
			}
			out = append(out, c)
		}
		if f.bits&who.special != 0 {
			c := who.letter
			if bits&1 == 0 {
				c -= 'a' - 'A' // as ls has it
			}
			out[len(out)-1] = c
		}
	}
	return string(out)
}
