package sbom

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	ndbMagic = "RpmP"
	ndbSlot  = "Slot"
	ndbBlob  = "BlbS"

	ndbPage   = 4096
	ndbBlock  = 16      // bytes that offsets of blobs are counted in
	maxNDB    = 1 << 14 // pages of slots, each of 256
	ndbHeader = 32      // bytes, in the place of two slots
)

// readNDB yields the headers of rpm's own format (rpm's lib/backend/ndb/rpmpkg.c): pages
// of slots, each of which says where a header is. Numbers are little-endian.
func readNDB(r io.ReaderAt, size int64, each func([]byte) error) error {
	head, err := readAt(r, 0, ndbHeader)
	if err != nil || string(head[:4]) != ndbMagic || binary.LittleEndian.Uint32(head[4:]) != 0 {
		return errors.New("it is no database of rpm's")
	}
	pages := int64(binary.LittleEndian.Uint32(head[12:]))
	if pages < 1 || pages > maxNDB || pages*ndbPage > size {
		return errors.New("its slots are damaged")
	}
	slots, err := readAt(r, ndbHeader, pages*ndbPage-ndbHeader)
	if err != nil {
		return err
	}
	total := int64(0)
	for ; len(slots) >= 16; slots = slots[16:] {
		number, at := binary.LittleEndian.Uint32(slots[4:]), int64(binary.LittleEndian.Uint32(slots[8:]))*ndbBlock
		if number == 0 || at == 0 {
			continue // free
		}
		if string(slots[:4]) != ndbSlot {
			return errors.New("its slots are damaged")
		}
		blob, err := readAt(r, at, ndbBlock)
		if err != nil {
			return err
		}
		n := int64(binary.LittleEndian.Uint32(blob[12:]))
		if string(blob[:4]) != ndbBlob || binary.LittleEndian.Uint32(blob[4:]) != number {
			return errors.New("a slot leads nowhere")
		}
		if n > maxHeader {
			return tooLarge(maxHeader)
		}
		if total += n; total > size {
			return errors.New("its slots overlap")
		}
		header, err := readAt(r, at+ndbBlock, n)
		if err != nil {
			return err
		}
		if err := each(header); err != nil {
			return err
		}
	}
	return nil
}
