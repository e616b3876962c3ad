package rpmdb

import (
	"context"
	"encoding/binary"
	"fmt"
)

// Packages.db of ndb: pages of slots, then blobs in blocks of 16 bytes. Numbers are
// little-endian.
const (
	ndbMagic     = "RpmP"
	ndbSlotMagic = "Slot"
	ndbBlobMagic = "BlbS"
	ndbPage      = 4096
	ndbSlot      = 16
	ndbBlock     = 16
	ndbBlobHead  = 16
	// ndbMaxPages of slots bound a hostile file: 256 slots each, 4 million packages.
	ndbMaxPages = 16384
)

func readNDB(ctx context.Context, db File, head []byte, each func([]byte) error) error {
	if v := binary.LittleEndian.Uint32(head[4:]); v != 0 {
		return fmt.Errorf("ndb version %d is not known", v)
	}
	pages := binary.LittleEndian.Uint32(head[12:])
	if pages == 0 || pages > ndbMaxPages {
		return fmt.Errorf("%d pages of slots", pages)
	}
	d := damage{ctx: ctx}
	page, blob := make([]byte, ndbPage), []byte(nil)
	for n := range int64(pages) {
		if err := readFull(db, page, n*ndbPage); err != nil {
			return d.end(fmt.Errorf("slots: %w", err))
		}
		slots := page
		if n == 0 {
			slots = page[32:] // the head of the file
		}
		for ; len(slots) >= ndbSlot; slots = slots[ndbSlot:] {
			number, at := binary.LittleEndian.Uint32(slots[4:]), binary.LittleEndian.Uint32(slots[8:])
			if string(slots[:4]) != ndbSlotMagic {
				return d.end(fmt.Errorf("slot page %d is damaged", n))
			}
			if at == 0 || number == 0 {
				continue // free
			}
			var err error
			if blob, err = ndbBlob(db, blob, number, at); err != nil {
				if err = d.note(fmt.Errorf("package %d: %w", number, err)); err != nil {
					return d.end(err)
				}
				continue
			}
			if err := each(blob); err != nil {
				return d.end(err)
			}
		}
	}
	return d.end(ctx.Err())
}

// ndbBlob reads the blob that begins at a block into buf.
func ndbBlob(db File, buf []byte, number, block uint32) ([]byte, error) {
	var head [ndbBlobHead]byte
	at := int64(block) * ndbBlock
	if err := readFull(db, head[:], at); err != nil {
		return buf, err
	}
	size := binary.LittleEndian.Uint32(head[12:])
	if string(head[:4]) != ndbBlobMagic || binary.LittleEndian.Uint32(head[4:]) != number {
		return buf, fmt.Errorf("no blob at %d", at)
	}
	if size > maxBlob || int64(size) > db.Size() {
		return buf, fmt.Errorf("%d bytes", size)
	}
	buf = grow(buf, int(size))
	return buf, readFull(db, buf, at+ndbBlobHead)
}
