package rpmdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Pages of an SQLite database, see https://www.sqlite.org/fileformat2.html. Numbers are
// big-endian.
const (
	sqliteMagic = "SQLite format 3\x00"

	sqliteInner = 5 // pages of a table's tree
	sqliteLeaf  = 13

	// sqliteDepth bounds the depth of a tree; 20 is what SQLite itself allows.
	sqliteDepth = 20
)

type sqlite struct {
	damage
	file   File
	wal    *wal // nil: none
	size   int  // of a page
	usable int  // of it, without what is reserved at its end
	pages  uint32
	cut    error           // fewer pages than the head of the file says
	seen   map[uint32]bool // inner pages and leaves visited in this walk
	levels [][]byte        // a page for each level of the tree
	blob   []byte
	page   []byte // of the chain that is read
}

// readSQLite walks the tree of the table Packages.
func readSQLite(ctx context.Context, db, log File, each func([]byte) error) error {
	s := &sqlite{damage: damage{ctx: ctx}, file: db}
	if err := s.open(log); err != nil {
		return err
	}
	var root uint32
	err := s.walk(1, func(record []byte) error {
		if n, ok := packagesTable(record); ok {
			root = n
			return errStop
		}
		return nil
	})
	if !errors.Is(err, errStop) {
		if err = s.end(err); err != nil {
			return fmt.Errorf("schema: %w", err)
		}
		return errors.New("no table Packages")
	}
	s.damage = damage{ctx: ctx} // of the schema, but the table was found
	s.problems.Add(s.cut)
	return s.end(s.walk(root, func(record []byte) error {
		columns, ok := columnsOf(record)
		if !ok || len(columns) < 2 || !columns[1].blob {
			return s.note(errors.New("a record is damaged"))
		}
		return each(columns[1].data)
	}))
}

func (s *sqlite) open(log File) error {
	var head [100]byte
	if err := readFull(s.file, head[:], 0); err != nil {
		return err
	}
	s.size = int(binary.BigEndian.Uint16(head[16:]))
	if s.size == 1 {
		s.size = 64 << 10
	}
	s.usable = s.size - int(head[20])
	if s.size < 512 || s.size&(s.size-1) != 0 || s.usable < 480 {
		return fmt.Errorf("pages of %d bytes, %d usable", s.size, s.usable)
	}
	s.pages = uint32(min(s.file.Size()/int64(s.size), 1<<31))
	s.page = make([]byte, s.size)
	var err error
	if log != nil && log.Size() > 0 {
		s.wal, err = openWAL(s.ctx, log, s.size)
	}
	if want := binary.BigEndian.Uint32(head[28:]); s.wal == nil && s.pages < want {
		s.cut = fmt.Errorf("cut off: %d pages of %d", s.pages, want)
	}
	if s.wal != nil {
		s.pages = s.wal.pages
	}
	return err
}

// read fills buf with a page, whose newest state may be in the log.
func (s *sqlite) read(n uint32, buf []byte) error {
	if n == 0 || n > s.pages {
		return fmt.Errorf("page %d of %d", n, s.pages)
	}
	if s.wal != nil {
		if at, ok := s.wal.at[n]; ok {
			return readFull(s.wal.file, buf, at)
		}
	}
	return readFull(s.file, buf, int64(n-1)*int64(s.size))
}

// walk calls take with each record of a table, until it returns an error.
func (s *sqlite) walk(root uint32, take func(record []byte) error) error {
	s.seen = make(map[uint32]bool)
	return s.visit(root, 0, take)
}

func (s *sqlite) visit(n uint32, depth int, take func([]byte) error) error {
	if depth > sqliteDepth || s.seen[n] {
		return s.note(fmt.Errorf("page %d is part of a loop", n))
	}
	s.seen[n] = true
	if depth == len(s.levels) {
		s.levels = append(s.levels, make([]byte, s.size))
	}
	page := s.levels[depth]
	if err := s.read(n, page); err != nil {
		return s.note(err)
	}
	at := 0
	if n == 1 {
		at = 100 // the head of the file
	}
	kind, cells := page[at], int(binary.BigEndian.Uint16(page[at+3:]))
	pointers := at + 8
	if kind == sqliteInner {
		pointers += 4
	} else if kind != sqliteLeaf {
		return s.note(fmt.Errorf("page %d is of type %d", n, kind))
	}
	if pointers+2*cells > s.usable {
		return s.note(fmt.Errorf("page %d has %d cells", n, cells))
	}
	for i := range cells {
		var err error
		switch cell := int(binary.BigEndian.Uint16(page[pointers+2*i:])); {
		case cell+4 > s.usable:
			err = s.note(fmt.Errorf("page %d: cell at %d", n, cell))
		case kind == sqliteInner:
			err = s.visit(binary.BigEndian.Uint32(page[cell:]), depth+1, take)
		default:
			err = s.leaf(page[cell:s.usable], take)
		}
		if err != nil {
			return err
		}
	}
	if kind == sqliteInner {
		return s.visit(binary.BigEndian.Uint32(page[at+8:]), depth+1, take)
	}
	return nil
}

// leaf gives the record of a cell to take.
func (s *sqlite) leaf(cell []byte, take func([]byte) error) error {
	record, err := s.record(cell)
	if err != nil {
		return s.note(err)
	}
	return take(record)
}

// record puts the parts of a record together.
func (s *sqlite) record(cell []byte) ([]byte, error) {
	size, n := uvarint(cell)
	_, m := uvarint(cell[min(n, len(cell)):]) // the row's number
	if n == 0 || m == 0 {
		return nil, errors.New("cell is cut off")
	}
	if size > maxBlob {
		return nil, fmt.Errorf("record of %d bytes", size)
	}
	cell = cell[n+m:]
	local := s.local(int(size))
	if local == int(size) && local <= len(cell) {
		return cell[:local], nil
	}
	if local+4 > len(cell) {
		return nil, errors.New("record leaves its page")
	}
	return s.overflow(cell[:local], binary.BigEndian.Uint32(cell[local:]), int(size))
}

// local is how much of a record lies in its leaf: section 1.6 of the format.
func (s *sqlite) local(size int) int {
	most, least := s.usable-35, (s.usable-12)*32/255-23
	if size <= most {
		return size
	}
	if n := least + (size-least)%(s.usable-4); n <= most {
		return n
	}
	return least
}

// overflow follows a chain of pages. It ends: each adds to the record, whose size is known.
func (s *sqlite) overflow(start []byte, n uint32, size int) ([]byte, error) {
	if int64(size) > int64(s.pages)*int64(s.size) {
		return nil, fmt.Errorf("record of %d bytes", size)
	}
	s.blob = append(grow(s.blob, size)[:0], start...)
	for len(s.blob) < size {
		if err := s.ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.read(n, s.page); err != nil {
			return nil, fmt.Errorf("record: %w", err)
		}
		n = binary.BigEndian.Uint32(s.page)
		s.blob = append(s.blob, s.page[4:4+min(size-len(s.blob), s.usable-4)]...)
	}
	return s.blob, nil
}

// column is one value of a record.
type column struct {
	data []byte
	blob bool
}

// maxColumns is more than the tables that are read have.
const maxColumns = 8

// columnsOf takes a record apart: section 2.1 of the format.
func columnsOf(record []byte) ([]column, bool) {
	size, n := uvarint(record)
	if n == 0 || size > uint64(len(record)) || size < uint64(n) {
		return nil, false
	}
	kinds, data := record[n:size], record[size:]
	var out []column
	for len(kinds) > 0 && len(out) < maxColumns {
		kind, n := uvarint(kinds)
		if n == 0 {
			return nil, false
		}
		kinds = kinds[n:]
		width := widthOf(kind)
		if width > uint64(len(data)) {
			return nil, false
		}
		out = append(out, column{data: data[:width], blob: kind >= 12 && kind%2 == 0})
		data = data[width:]
	}
	return out, true
}

func widthOf(kind uint64) uint64 {
	if kind >= 12 {
		return (kind - 12) / 2 // blobs and, odd, texts
	}
	return [12]uint64{0, 1, 2, 3, 4, 6, 8, 8}[kind]
}

// packagesTable returns the root page of the table Packages, from a row of the schema:
// type, name, table, root, sql.
func packagesTable(record []byte) (uint32, bool) {
	c, ok := columnsOf(record)
	if !ok || len(c) < 4 || string(c[0].data) != "table" || string(c[1].data) != "Packages" || len(c[3].data) > 4 {
		return 0, false
	}
	var root uint32
	for _, b := range c[3].data {
		root = root<<8 | uint32(b)
	}
	return root, true
}

// uvarint reads a number of up to nine bytes, most significant first; n is 0 if it is cut off.
func uvarint(b []byte) (v uint64, n int) {
	for i := range min(len(b), 9) {
		if i == 8 {
			return v<<8 | uint64(b[i]), 9
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
