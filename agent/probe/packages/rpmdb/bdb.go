package rpmdb

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
)

// Pages of a Berkeley DB hash database, in the byte order of the machine that made it.
const (
	bdbHashMagic = 0x061561

	bdbPageHead     = 26
	bdbTypeUnsorted = 2 // hash bucket of versions before 4.6
	bdbTypeOverflow = 7
	bdbTypeHash     = 13

	bdbItemData    = 1 // a key or a value in the page
	bdbItemOffPage = 3 // the value lies in a chain of overflow pages
)

type bdb struct {
	damage
	file  File
	order binary.ByteOrder
	size  int // of a page
	pages uint32
	blob  []byte
	page  []byte // of the chain that is read
}

// readBDB reads the buckets in the order of the file: every value lies in one of them,
// and where a key belongs does not matter here.
func readBDB(ctx context.Context, db File, order binary.ByteOrder, each func([]byte) error) error {
	var meta [72]byte
	if err := readFull(db, meta[:], 0); err != nil {
		return err
	}
	b := bdb{damage: damage{ctx: ctx}, file: db, order: order, size: int(order.Uint32(meta[20:])), pages: order.Uint32(meta[32:])}
	if b.size < 512 || b.size > 64<<10 || b.size&(b.size-1) != 0 {
		return fmt.Errorf("pages of %d bytes", b.size)
	}
	if meta[24] != 0 {
		return errors.New("the database is encrypted")
	}
	have := db.Size() / int64(b.size)
	if int64(b.pages) >= have {
		b.problems.Add(fmt.Errorf("cut off: %d pages of %d", have, b.pages+1))
		b.pages = uint32(max(have, 1) - 1)
	}
	page := make([]byte, b.size)
	b.page = make([]byte, b.size)
	for n := uint32(1); n <= b.pages && n != 0; n++ {
		if err := readFull(db, page, int64(n)*int64(b.size)); err != nil {
			return b.end(err)
		}
		if kind := page[25]; kind != bdbTypeHash && kind != bdbTypeUnsorted {
			if err := ctx.Err(); err != nil {
				return b.end(err)
			}
			continue
		}
		if err := b.bucket(n, page, each); err != nil {
			return b.end(err)
		}
	}
	return b.end(nil)
}

// bucket gives the values of a page to each, whose error it returns.
func (b *bdb) bucket(n uint32, page []byte, each func([]byte) error) error {
	entries := int(b.order.Uint16(page[20:]))
	if entries%2 != 0 || bdbPageHead+2*entries > len(page) {
		return b.note(fmt.Errorf("page %d: %d entries", n, entries))
	}
	end := func(i int) int { // items lie from the end of the page towards its start
		if i == 0 {
			return len(page)
		}
		return int(b.order.Uint16(page[bdbPageHead+2*(i-1):]))
	}
	for i := 1; i < entries; i += 2 { // keys are the even ones
		from, to := int(b.order.Uint16(page[bdbPageHead+2*i:])), end(i)
		if from < bdbPageHead || from >= to || to > len(page) {
			if err := b.note(fmt.Errorf("page %d: item %d lies at %d to %d", n, i, from, to)); err != nil {
				return err
			}
			continue
		}
		blob, problem := b.value(page[from:to])
		if problem != nil {
			if err := b.note(fmt.Errorf("page %d: item %d: %w", n, i, problem)); err != nil {
				return err
			}
			continue
		}
		if len(blob) <= 4 {
			continue // the value of key 0, which is the highest number given
		}
		if err := each(blob); err != nil {
			return err
		}
	}
	return nil
}

func (b *bdb) value(item []byte) ([]byte, error) {
	switch {
	case item[0] == bdbItemData:
		return item[1:], nil
	case item[0] == bdbItemOffPage && len(item) >= 12:
		return b.overflow(b.order.Uint32(item[4:]), b.order.Uint32(item[8:]))
	}
	return nil, fmt.Errorf("type %d of %d bytes", item[0], len(item))
}

// overflow follows a chain of pages. It ends: each page adds to the value, whose size
// is known.
func (b *bdb) overflow(n, size uint32) ([]byte, error) {
	if size > maxBlob || int64(size) > b.file.Size() {
		return nil, fmt.Errorf("value of %d bytes", size)
	}
	b.blob = grow(b.blob, int(size))[:0]
	for len(b.blob) < int(size) {
		if err := b.ctx.Err(); err != nil {
			return nil, err
		}
		if n == 0 || n > b.pages {
			return nil, fmt.Errorf("value leads to page %d", n)
		}
		if err := readFull(b.file, b.page, int64(n)*int64(b.size)); err != nil {
			return nil, err
		}
		used := int(b.order.Uint16(b.page[22:]))
		if b.page[25] != bdbTypeOverflow || used == 0 || bdbPageHead+used > len(b.page) || len(b.blob)+used > int(size) {
			return nil, fmt.Errorf("page %d is not part of a value", n)
		}
		b.blob = append(b.blob, b.page[bdbPageHead:bdbPageHead+used]...)
		n = b.order.Uint32(b.page[16:])
	}
	return b.blob, nil
}
