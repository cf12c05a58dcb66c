package treediff

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
)

// Member is an entry of a layer's archive: its header, and what its content comes to.
type Member struct {
	Header *tar.Header
	Size   int64  // of a regular file's content, in bytes
	Digest string // of a regular file: the SHA-256 of its content in hex
	Text   []byte // the content itself, where it was to be kept
}

// maxContent bounds what all files of an archive have, in bytes, with their holes: a
// few bytes can say that a file is endless.
const maxContent = 1 << 40

// Members are the entries of an archive, in its order; whiteouts and global headers
// are among them. Contents are hashed as they stream by, and those kept that keep, if
// it is not nil, wants by their entry's name and size.
func Members(r io.Reader, keep func(name string, size int64) bool) iter.Seq2[Member, error] {
	return func(yield func(Member, error) bool) {
		tr := tar.NewReader(r)
		var total int64
		for {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				return
			}
			m := Member{Header: h}
			if err == nil && m.IsFile() {
				if h.Size > maxContent-total {
					yield(m, fmt.Errorf("with %.80q all files have more than %d bytes", h.Name, int64(maxContent)))
					return
				}
				total += h.Size
				err = m.read(tr, keep != nil && keep(h.Name, h.Size))
			}
			if !yield(m, err) || err != nil {
				return
			}
		}
	}
}

// IsFile reports whether the entry is a regular file, with content of its own.
func (m Member) IsFile() bool {
	switch m.Header.Typeflag {
	case tar.TypeReg, '\x00', tar.TypeGNUSparse:
		return true
	}
	return false
}

// Xattrs are the entry's extended attributes, nil if there are none.
func (m Member) Xattrs() map[string]string {
	var all map[string]string
	for k, v := range m.Header.PAXRecords {
		if name, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
			if all == nil {
				all = map[string]string{}
			}
			all[name] = v
		}
	}
	return all
}

func (m *Member) read(body io.Reader, keep bool) error {
	sum := sha256.New()
	to := io.Writer(sum)
	var content bytes.Buffer
	if keep {
		to = io.MultiWriter(sum, &content)
	}
	var err error
	m.Size, err = io.Copy(to, body)
	m.Digest, m.Text = hex.EncodeToString(sum.Sum(nil)), content.Bytes()
	return err
}
