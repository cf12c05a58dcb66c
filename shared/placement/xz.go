package placement

import (
	"bufio"
	"encoding/binary"
	"fmt"
)

// maxDictionary bounds the memory that xz can demand, in bytes: twice what its highest
// level has, and what layers of zstd may.
const maxDictionary = 128 << 20

// xzGuard hands on what is compressed by xz, and ends in an error before the header of a
// block that asks for more memory than [maxDictionary]: the decoder gives what is asked for. It
// follows the form of the file (The .xz File Format, version 1.2.1: tukaani.org/xz/xz-file-format.txt)
// only as far as to find those headers, and leaves all that is wrong to the decoder.
type xzGuard struct {
	r       *bufio.Reader
	in      xzPart
	left    int64  // bytes that can be handed on unseen
	check   int64  // bytes of the check behind each block
	size    int64  // bytes of the block or index so far, of which padding makes a multiple of four
	numbers uint64 // that are left of the index
	err     error
}

// xzPart is what comes next in a file.
type xzPart uint8

const (
	xzStream xzPart = iota // the header of a stream
	xzBlock                // the header of a block, or the index
	xzChunk                // a chunk of a block
	xzIndex                // a number of a stream's index
	xzRest                 // what is not in order
)

func (g *xzGuard) Read(p []byte) (int, error) {
	for g.left == 0 && g.err == nil {
		g.err = g.next()
	}
	if g.left == 0 {
		return 0, g.err
	}
	n, err := g.r.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	return n, err
}

// next finds out how much can be handed on.
func (g *xzGuard) next() error {
	switch g.in {
	case xzStream:
		return g.stream()
	case xzBlock:
		return g.block()
	case xzChunk:
		return g.chunk()
	case xzIndex:
		return g.number()
	}
	return g.rest()
}

// peek is the next n bytes; nil if there are fewer, which are then handed on.
func (g *xzGuard) peek(n int) ([]byte, error) {
	b, err := g.r.Peek(n)
	switch {
	case err == nil:
		return b, nil
	case len(b) > 0:
		g.in, g.left = xzRest, int64(len(b)) // cut off: the decoder says so
		return nil, nil
	}
	return nil, err
}

// stream passes a stream's header, whose flags tell how long checks are.
func (g *xzGuard) stream() error {
	const header = 12
	b, err := g.peek(header)
	if b == nil {
		return err
	}
	if string(b[:4]) == "\x00\x00\x00\x00" { // padding between streams
		g.left = 4
		return nil
	}
	g.check = []int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}[b[7]&0xf]
	g.in, g.left = xzBlock, header
	return nil
}

// block looks at the header of a block. It begins with its own size.
func (g *xzGuard) block() error {
	b, err := g.peek(1)
	if b == nil {
		return err
	}
	if b[0] == 0 { // the index
		return g.index()
	}
	n := (int(b[0]) + 1) * 4
	if b, err = g.peek(n); b == nil {
		return err
	}
	if size := dictionary(b); size > maxDictionary {
		return fmt.Errorf("decompress: xz asks for %d bytes of memory, more than %d", size, int64(maxDictionary))
	}
	g.in, g.left, g.size = xzChunk, int64(n), int64(n)
	return nil
}

// dictionary is the size that a block's header asks for, in bytes: that of its one filter,
// LZMA2, which has the only decoder. 0 if the header is of another form.
func dictionary(header []byte) uint64 {
	flags, rest := header[1], header[2:]
	for _, bit := range []byte{0x40, 0x80} { // sizes, which nobody needs
		if flags&bit == 0 {
			continue
		}
		_, n := binary.Uvarint(rest)
		if n <= 0 {
			return 0
		}
		rest = rest[n:]
	}
	const lzma2 = 0x21
	if len(rest) < 3 || rest[0] != lzma2 || rest[1] != 1 || rest[2] > 40 {
		return 0
	}
	bits := rest[2]
	return uint64(2|bits&1) << (bits/2 + 11)
}

// chunk passes a chunk of LZMA2, or the mark behind the last.
func (g *xzGuard) chunk() error {
	b, err := g.peek(1)
	if b == nil {
		return err
	}
	control := b[0]
	if control == 0 {
		g.size++
		padding := (4 - g.size%4) % 4
		g.in, g.left = xzBlock, 1+padding+g.check
		return nil
	}
	header, at := 3, 1 // one that is not compressed
	if control >= 0x80 {
		header, at = 5, 3
		if control >= 0xc0 {
			header++
		}
	}
	if b, err = g.peek(header); b == nil {
		return err
	}
	g.left = int64(header) + int64(binary.BigEndian.Uint16(b[at:])) + 1
	g.size += g.left
	return nil
}

// index passes the beginning of a stream's index: how many records it has, of two
// numbers each.
func (g *xzGuard) index() error {
	b, err := g.peek(1 + binary.MaxVarintLen64)
	if b == nil {
		return err
	}
	count, n := binary.Uvarint(b[1:])
	if n <= 0 || count > 1<<62 {
		g.in = xzRest
		return nil
	}
	g.in, g.numbers = xzIndex, 2*count
	g.left = 1 + int64(n)
	g.size = g.left
	return nil
}

// number passes a number of the index, or what is behind the last: padding, a check and
// the stream's footer.
func (g *xzGuard) number() error {
	const check, footer = 4, 12
	if g.numbers == 0 {
		g.in, g.left = xzStream, (4-g.size%4)%4+check+footer
		return nil
	}
	b, err := g.peek(binary.MaxVarintLen64) // check and footer are longer
	if b == nil {
		return err
	}
	_, n := binary.Uvarint(b)
	if n <= 0 {
		g.in = xzRest
		return nil
	}
	g.numbers--
	g.left = int64(n)
	g.size += g.left
	return nil
}

// rest hands on what is cut off or damaged: the decoder comes no further than that.
func (g *xzGuard) rest() error {
	_, err := g.r.Peek(1)
	g.left = int64(g.r.Buffered())
	return err
}
