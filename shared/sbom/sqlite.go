package sbom

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// sqliteMagic begins a database of SQLite's version 3.
const sqliteMagic = "SQLite format 3\x00"

// maxDepth bounds the height of a tree of pages: SQLite itself allows no more.
const maxDepth = 20

// sqlite reads tables of a database, as https://www.sqlite.org/fileformat.html describes
// them. What a write-ahead log beside it has is not seen.
type sqlite struct {
	r      io.ReaderAt
	page   int64 // bytes of a page
	usable int64 // of them, those that are used
	pages  int64
	left   int64 // pages that may still be read: of a table no page is read twice
}

// readSQLite yields the column "blob" of rpm's table "Packages".
func readSQLite(r io.ReaderAt, size int64, each func([]byte) error) error {
	db, err := openSQLite(r, size)
	if err != nil {
		return err
	}
	root := int64(0)
	err = db.table(1, func(row []byte) error {
		cells, err := cellsOf(row)
		if err != nil {
			return err
		}
		// type, name, tbl_name, rootpage, sql
		if len(cells) >= 4 && string(cells[0]) == "table" && string(cells[1]) == "Packages" {
			root = 0
			for _, b := range cells[3] {
				root = root<<8 | int64(b)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if root <= 0 {
		return errors.New("it has no table of packages")
	}
	db.left = db.pages
	return db.table(root, func(row []byte) error {
		cells, err := cellsOf(row)
		if err != nil {
			return err
		}
		if len(cells) < 2 {
			return errors.New("its table of packages has other columns than rpm's")
		}
		return each(cells[1])
	})
}

func openSQLite(r io.ReaderAt, size int64) (*sqlite, error) {
	head, err := readAt(r, 0, 100)
	if err != nil || string(head[:len(sqliteMagic)]) != sqliteMagic {
		return nil, errors.New("it is no database of SQLite")
	}
	db := &sqlite{r: r, page: int64(binary.BigEndian.Uint16(head[16:]))}
	if db.page == 1 {
		db.page = 1 << 16
	}
	db.usable = db.page - int64(head[20])
	if db.page < 512 || db.usable < 480 {
		return nil, fmt.Errorf("its pages have %d bytes", db.page)
	}
	db.pages = size / db.page
	db.left = db.pages
	return db, nil
}

// read reads a page; the first has number 1.
func (db *sqlite) read(number int64) ([]byte, error) {
	if number < 1 || number > db.pages {
		return nil, fmt.Errorf("there is no page %d", number)
	}
	if db.left--; db.left < 0 {
		return nil, errors.New("its pages go round in a circle")
	}
	return readAt(db.r, (number-1)*db.page, db.page)
}

// table yields the rows of the table whose tree begins at a page.
func (db *sqlite) table(number int64, each func(row []byte) error) error {
	return db.tree(number, 0, each)
}

// The kinds of pages of a table.
const (
	interiorPage = 5
	leafPage     = 13
)

func (db *sqlite) tree(number int64, depth int, each func([]byte) error) error {
	if depth > maxDepth {
		return errors.New("its tree of pages is too high")
	}
	page, err := db.read(number)
	if err != nil {
		return err
	}
	head := page
	if number == 1 {
		head = page[100:] // behind the header of the file
	}
	kind, cells := head[0], int(binary.BigEndian.Uint16(head[3:]))
	length := 8
	if kind == interiorPage {
		length = 12
	}
	if kind != interiorPage && kind != leafPage || length+2*cells > len(head) {
		return fmt.Errorf("page %d is none of a table", number)
	}
	for i := range cells {
		at := int(binary.BigEndian.Uint16(head[length+2*i:]))
		if at+4 > int(db.usable) {
			return fmt.Errorf("page %d is damaged", number)
		}
		if kind == interiorPage {
			err = db.tree(int64(binary.BigEndian.Uint32(page[at:])), depth+1, each)
		} else {
			err = db.row(page[at:db.usable], each)
		}
		if err != nil {
			return err
		}
	}
	if kind == interiorPage {
		return db.tree(int64(binary.BigEndian.Uint32(head[8:])), depth+1, each)
	}
	return nil
}

// row yields the row of a cell in a leaf: its size, its number, its beginning and, if
// that is not all, the page on which it goes on.
func (db *sqlite) row(cell []byte, each func([]byte) error) error {
	size, cell, err := varint(cell)
	if err != nil {
		return err
	}
	if _, cell, err = varint(cell); err != nil {
		return err
	}
	if size < 0 || size > maxHeader {
		return tooLarge(maxHeader)
	}
	local := db.local(size)
	if local > int64(len(cell)) {
		return errors.New("a row is damaged")
	}
	row := append(make([]byte, 0, size), cell[:local]...)
	if local < size {
		if int64(len(cell)) < local+4 {
			return errors.New("a row is damaged")
		}
		next := int64(binary.BigEndian.Uint32(cell[local:]))
		for int64(len(row)) < size {
			page, err := db.read(next)
			if err != nil {
				return err
			}
			next = int64(binary.BigEndian.Uint32(page))
			row = append(row, page[4:min(db.usable, 4+size-int64(len(row)))]...)
		}
	}
	return each(row)
}

// local is how much of a row is in its leaf.
func (db *sqlite) local(size int64) int64 {
	most := db.usable - 35
	if size <= most {
		return size
	}
	least := (db.usable-12)*32/255 - 23
	if k := least + (size-least)%(db.usable-4); k <= most {
		return k
	}
	return least
}

// cellsOf are the values of a row, as bytes: numbers big-endian, NULL empty.
func cellsOf(row []byte) ([][]byte, error) {
	errRow := errors.New("a row is damaged")
	length, rest, err := varint(row)
	used := int64(len(row) - len(rest))
	if err != nil || length < used || length > int64(len(row)) {
		return nil, errRow
	}
	types, values := row[used:length], row[length:]
	var cells [][]byte
	for len(types) > 0 {
		var kind int64
		if kind, types, err = varint(types); err != nil || kind < 0 {
			return nil, errRow
		}
		n := int64(0)
		switch {
		case kind >= 12:
			n = (kind - 12) / 2
		case kind >= 1 && kind <= 4:
			n = kind
		case kind == 5:
			n = 6
		case kind == 6 || kind == 7:
			n = 8
		}
		if n > int64(len(values)) {
			return nil, errRow
		}
		cells, values = append(cells, values[:n]), values[n:]
	}
	return cells, nil
}

// varint reads SQLite's number of variable length.
func varint(b []byte) (int64, []byte, error) {
	var v uint64
	for i := 0; i < len(b) && i < 9; i++ {
		if i == 8 {
			return int64(v<<8 | uint64(b[i])), b[i+1:], nil
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i]&0x80 == 0 {
			return int64(v), b[i+1:], nil
		}
	}
	return 0, nil, errors.New("a row is damaged")
}
