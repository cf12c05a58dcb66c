package placement_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math/rand"
	"strings"
	"testing"

	"github.com/ulikunitz/xz"

	"github.com/kaniko-suite/kaniko/shared/placement"
)

// xzOf compresses, with what the checks are to be and how large blocks are.
func xzOf(t testing.TB, content []byte, c xz.WriterConfig) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := c.NewWriter(&b)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// widen has the first block at or behind an offset ask for the largest dictionary.
func widen(t testing.TB, raw []byte, from int) []byte {
	t.Helper()
	raw = bytes.Clone(raw)
	at := from + bytes.Index(raw[from:], []byte{0x21, 1}) + 2
	header := at
	for raw[header] != 0x21 || raw[header+1] != 1 {
		header--
	}
	header -= 2 // its size and flags
	raw[at] = 40
	end := header + (int(raw[header])+1)*4
	binary.LittleEndian.PutUint32(raw[end-4:], crc32.ChecksumIEEE(raw[header:end-4]))
	return raw
}

func unxz(raw []byte) ([]byte, error) {
	r, err := placement.Decompress(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// TestDecompress_xz: blocks, checks, streams and padding of every kind come through, and
// a block that wants gigabytes is refused before it gets them.
func TestDecompress_xz(t *testing.T) {
	content := make([]byte, 200<<10)
	rand.New(rand.NewSource(1)).Read(content[:100<<10])
	for name, c := range map[string]xz.WriterConfig{
		"crc64": {}, "crc32": {CheckSum: xz.CRC32}, "sha256": {CheckSum: xz.SHA256}, "none": {NoCheckSum: true}, "blocks": {BlockSize: 33_333},
	} {
		t.Run(name, func(t *testing.T) {
			one := xzOf(t, content, c)
			for what, raw := range map[string][]byte{"one": one, "two": append(bytes.Clone(one), one...), "padded": append(append(bytes.Clone(one), 0, 0, 0, 0), one...)} {
				got, err := unxz(raw)
				if err != nil || !bytes.Equal(got, bytes.Repeat(content, len(got)/len(content))) || len(got) == 0 {
					t.Errorf("%s: %d bytes, %v", what, len(got), err)
				}
			}
			for _, n := range []int{len(one) - 1, len(one) / 2, 30, 7} {
				if _, err := unxz(one[:n]); err == nil {
					t.Errorf("cut off after %d bytes: no error", n)
				}
			}
			double := append(bytes.Clone(one), one...)
			for what, raw := range map[string][]byte{"first block": widen(t, one, 12), "second stream": widen(t, double, len(one)+12)} {
				if _, err := unxz(raw); err == nil || !strings.Contains(err.Error(), "asks for 4294967296 bytes of memory") {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
	}
	// The header of the second block is found by its place: bytes like it are in the first.
	blocks := xzOf(t, content, xz.WriterConfig{BlockSize: 33_333})
	second := bytes.Index(blocks[100:], []byte{0x21, 1}) // of random bytes there is none before
	if _, err := unxz(widen(t, blocks, 100+second)); err == nil {
		t.Error("a later block: no error")
	}
}

// FuzzDecompress: whatever is compressed, and however, memory stays bounded and it ends.
func FuzzDecompress(f *testing.F) {
	one := xzOf(f, []byte(strings.Repeat("content", 100)), xz.WriterConfig{BlockSize: 100})
	f.Add(one)
	f.Add(widen(f, one, 12))
	f.Add([]byte("\x1f\x8b\x08\x00"))
	f.Add([]byte("\x28\xb5\x2f\xfd\x00\x58"))
	f.Add([]byte("BZh9"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := placement.Decompress(bytes.NewReader(raw))
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(r, 1<<20)) // an error is as good as an end
		r.Close()
	})
}
