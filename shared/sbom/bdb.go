package sbom

import (
	"encoding/binary"
	"errors"
	"io"
)

// What is read of Berkeley DB's hash tables, versions 8 to 10 (its dbinc/db_page.h).
const (
	bdbMagic     = 0x061561
	bdbMetaType  = 8
	bdbOldHash   = 2
	bdbHash      = 13
	bdbOverflow  = 7
	bdbHeader    = 26 // bytes of a page
	bdbInline    = 1
	bdbElsewhere = 3
)

// errBDB is a file that is no such table.
var errBDB = errors.New("it is damaged, or no database of Berkeley DB with a hash table")

// bdb reads a hash table of Berkeley DB.
type bdb struct {
	r     io.ReaderAt
	order binary.ByteOrder // of the machine that wrote it
	page  int64
	pages int64
	left  int64 // overflow pages that may still be read: none is read twice
}

// readBDB yields the values of a table, without that of key 0, which is a number.
func readBDB(r io.ReaderAt, size int64, each func([]byte) error) error {
	head, err := readAt(r, 0, 512)
	if err != nil {
		return errBDB
	}
	db := &bdb{r: r, order: binary.LittleEndian}
	if binary.BigEndian.Uint32(head[12:]) == bdbMagic {
		db.order = binary.BigEndian
	}
	if db.order.Uint32(head[12:]) != bdbMagic || head[25] != bdbMetaType || head[24] != 0 {
		return errBDB
	}
	db.page = int64(db.order.Uint32(head[20:]))
	if db.page < 512 || db.page > 64<<10 {
		return errBDB
	}
	db.pages = size / db.page
	db.left = db.pages
	for number := int64(1); number < db.pages; number++ {
		page, err := readAt(r, number*db.page, db.page)
		if err != nil {
			return err
		}
		if page[25] != bdbHash && page[25] != bdbOldHash {
			continue
		}
		if err := db.pairs(page, each); err != nil {
			return err
		}
	}
	return nil
}

// pairs yields the values of a page. Items lie from its end, a key and its value in turn.
func (db *bdb) pairs(page []byte, each func([]byte) error) error {
	n := int(db.order.Uint16(page[20:]))
	if bdbHeader+2*n > len(page) || n%2 != 0 {
		return errBDB
	}
	end := len(page)
	var key []byte
	for i := range n {
		at := int(db.order.Uint16(page[bdbHeader+2*i:]))
		if at < bdbHeader || at >= end {
			return errBDB
		}
		item := page[at:end]
		end = at
		if i%2 == 0 {
			key = item
			continue
		}
		if len(key) == 5 && key[0] == bdbInline && db.order.Uint32(key[1:]) == 0 {
			continue
		}
		value, err := db.value(item)
		if err != nil {
			return err
		}
		if value == nil {
			continue
		}
		if err := each(value); err != nil {
			return err
		}
	}
	return nil
}

// value is the value of an item; nil if it is of a kind that rpm does not write.
func (db *bdb) value(item []byte) ([]byte, error) {
	switch {
	case item[0] == bdbInline:
		return item[1:], nil
	case item[0] != bdbElsewhere:
		return nil, nil
	case len(item) < 12:
		return nil, errBDB
	}
	number, size := int64(db.order.Uint32(item[4:])), int64(db.order.Uint32(item[8:]))
	if size > maxHeader || size > db.page*db.pages {
		return nil, tooLarge(maxHeader)
	}
	value := make([]byte, 0, size)
	for int64(len(value)) < size {
		if db.left--; db.left < 0 || number < 1 || number >= db.pages {
			return nil, errBDB
		}
		page, err := readAt(db.r, number*db.page, db.page)
		if err != nil {
			return nil, err
		}
		used := int(db.order.Uint16(page[22:]))
		if page[25] != bdbOverflow || used == 0 || bdbHeader+used > len(page) {
			return nil, errBDB
		}
		value = append(value, page[bdbHeader:bdbHeader+used]...)
		number = int64(db.order.Uint32(page[16:]))
	}
	return value[:size], nil
}
