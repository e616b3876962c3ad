package rpmdb

import (
	"context"
	"encoding/binary"
	"fmt"
)

// wal is the write-ahead log of an SQLite database: pages that are newer than the
// database's, up to the last transaction that was committed. See section 4 of the format.
type wal struct {
	file  File
	at    map[uint32]int64 // where the newest state of a page lies
	pages uint32           // of the database, after the last transaction
}

const (
	walHead  = 32
	walFrame = 24
	walMagic = 0x377f0682 // the lowest bit says in which order checksums take the bytes
	// walPages bounds the places that are kept: 1 GB of pages, of which SQLite by itself
	// lets 1,000 come together.
	walPages = 1 << 18
)

// openWAL returns nil where the log holds no transaction.
func openWAL(ctx context.Context, f File, size int) (*wal, error) {
	var head [walHead]byte
	if f.Size() < walHead {
		return nil, nil // being made
	}
	if err := readFull(f, head[:], 0); err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	magic := binary.BigEndian.Uint32(head[:])
	if magic&^1 != walMagic || binary.BigEndian.Uint32(head[8:]) != uint32(size) {
		return nil, fmt.Errorf("log is not of this database: magic %x", magic)
	}
	sum := walSum{order: binary.LittleEndian}
	if magic&1 == 1 {
		sum.order = binary.BigEndian
	}
	sum.add(head[:24])
	if !sum.is(head[24:]) {
		return nil, nil // as SQLite does: a log that was begun only
	}
	w := &wal{file: f, at: make(map[uint32]int64)}
	waiting := make(map[uint32]int64) // of the transaction that is read
	frame := make([]byte, walFrame+size)
	for at := int64(walHead); at+int64(len(frame)) <= f.Size(); at += int64(len(frame)) {
		if err := readFull(f, frame, at); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
		sum.add(frame[:8])
		sum.add(frame[walFrame:])
		if string(frame[8:16]) != string(head[16:24]) || !sum.is(frame[16:]) {
			break // left over from before the log was begun anew, or not written to its end
		}
		if len(w.at)+len(waiting) > walPages {
			return nil, fmt.Errorf("log: more than %d pages", walPages)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		waiting[binary.BigEndian.Uint32(frame)] = at + walFrame
		if pages := binary.BigEndian.Uint32(frame[4:]); pages != 0 { // commit
			w.pages = pages
			for n, place := range waiting {
				w.at[n] = place
			}
			clear(waiting)
		}
	}
	if w.pages == 0 {
		return nil, nil
	}
	return w, nil
}

type walSum struct {
	order binary.ByteOrder
	a, b  uint32
}

func (s *walSum) add(data []byte) {
	for ; len(data) >= 8; data = data[8:] {
		s.a += s.order.Uint32(data) + s.b
		s.b += s.order.Uint32(data[4:]) + s.a
	}
}

func (s *walSum) is(stored []byte) bool {
	return s.a == binary.BigEndian.Uint32(stored) && s.b == binary.BigEndian.Uint32(stored[4:])
}
