package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	mathbits "math/bits"
	"slices"

	"atalaya/shared/facts"

	"github.com/RoaringBitmap/roaring/v2"
)

// The inverted index holds for each item the hosts that have it, in pieces of
// pieceHosts hosts. Keys begin with the number of the piece: the pieces that a new
// host changes are neighbours, whatever their items.
const (
	pieceBits  = 12
	pieceHosts = 1 << pieceBits
)

func haveKey(index, item uint32) []byte {
	piece := index >> pieceBits
	return binary.BigEndian.AppendUint32([]byte{byte(piece >> 16), byte(piece >> 8), byte(piece)}, item)
}

// haveEdit is a change of the index that waits for the end of its transaction.
type haveEdit struct {
	place uint64 // piece and item
	low   uint16 // host within the piece
	has   bool
}

// have notes that a host has an item, or has it no more.
func (tx *Tx) have(index, item uint32, has bool) {
	tx.edits = append(tx.edits, haveEdit{uint64(index>>pieceBits)<<32 | uint64(item), uint16(index % pieceHosts), has})
}

// flushHave writes the edits, each set once.
func (tx *Tx) flushHave() error {
	edits := tx.edits
	tx.edits = nil
	slices.SortStableFunc(edits, func(a, b haveEdit) int { return cmp.Compare(a.place, b.place) })
	for len(edits) > 0 {
		n := 1
		for n < len(edits) && edits[n].place == edits[0].place {
			n++
		}
		if err := tx.editSet(edits[:n]); err != nil {
			return err
		}
		edits = edits[n:]
	}
	return nil
}

// editSet changes one piece; a later edit of a host counts.
func (tx *Tx) editSet(edits []haveEdit) error {
	piece, item := uint32(edits[0].place>>32), uint32(edits[0].place)
	key := haveKey(piece<<pieceBits, item)
	var bits [pieceHosts / 64]uint64
	err := tx.having(key, bits[:])
	if errors.Is(err, ErrCorrupt) {
		err = tx.remakeSet(piece, item, &bits)
	}
	if err != nil {
		return err
	}
	for _, e := range edits {
		if e.has {
			bits[e.low/64] |= 1 << (e.low % 64)
		} else {
			bits[e.low/64] &^= 1 << (e.low % 64)
		}
	}
	var list []uint32
	for i, word := range bits {
		for ; word != 0; word &= word - 1 {
			list = append(list, uint32(i*64+mathbits.TrailingZeros64(word)))
		}
	}
	if len(list) == 0 {
		return tx.Table(tableHave).Delete(key)
	}
	return tx.Table(tableHave).Put(key, appendSet(nil, list, pieceHosts/8))
}

// having sets the bits of the hosts of a piece.
func (tx *Tx) having(key []byte, bits []uint64) error {
	v, err := tx.Table(tableHave).Get(key)
	if err != nil || v == nil {
		return err
	}
	if !setWords(v, bits) {
		return &CorruptError{Table: tableHave, Key: key, Detail: "not decodable"}
	}
	return nil
}

// hostsWith returns the hosts that have an item now.
func (tx *Tx) hostsWith(item uint32) (*roaring.Bitmap, error) {
	hosts, err := tx.meta(metaHosts)
	if err != nil {
		return nil, err
	}
	const words = pieceHosts / 64
	pieces := int(hosts/pieceHosts) + 1
	if len(tx.words) != pieces*words {
		tx.words = make([]uint64, pieces*words)
	}
	clear(tx.words)
	for piece := range pieces {
		if err := tx.having(haveKey(uint32(piece)<<pieceBits, item), tx.words[piece*words:(piece+1)*words]); err != nil {
			return nil, err
		}
	}
	return roaring.FromDense(tx.words, true), nil
}

// indexed returns the items of a section that a host has by the inverted index, which
// is read for the whole piece: what the host's own record said is not known. Items
// that cannot be read are among them, but for those that are known to be of another section.
func (tx *Tx) indexed(index uint32, section facts.ID) ([]heldItem, error) {
	if err := tx.flushHave(); err != nil {
		return nil, err
	}
	var out []heldItem
	err := tx.Table(tableHave).Scan(haveKey(index, 0)[:3], func(k, v []byte) error {
		has := false
		if !eachOf(v, func(low uint32) { has = has || low == index%pieceHosts }) || len(k) != 7 {
			return &CorruptError{Table: tableHave, Key: bytes.Clone(k), Detail: "not decodable"}
		}
		if !has {
			return nil
		}
		id := binary.BigEndian.Uint32(k[3:])
		it, err := tx.item(id)
		if errors.Is(err, ErrCorrupt) {
			it.Section, err = tx.listedIn(id)
		}
		if err == nil && (it.Section == section || it.Section == 0) {
			out = append(out, heldItem{id: id})
		}
		return err
	})
	return out, err
}

// listedIn returns the section of an item that cannot be read, by its place in the table of
// contents; 0: that is lost too.
func (tx *Tx) listedIn(id uint32) (section facts.ID, err error) {
	key := itemKey(id)
	return section, tx.Table(tableContents).Scan(nil, func(k, v []byte) error {
		if bytes.Equal(v, key) && len(k) > 2 {
			section = facts.ID(binary.BigEndian.Uint16(k))
			return ErrStop
		}
		return nil
	})
}

// remakeSet makes a damaged piece of the index anew from the records of its hosts.
func (tx *Tx) remakeSet(piece, item uint32, bits *[pieceHosts / 64]uint64) error {
	tx.store.log.Error("damaged piece of the index made anew", "item", item, "first_host", piece<<pieceBits)
	if err := tx.mend(tableHave, haveKey(piece<<pieceBits, item)); err != nil {
		return err
	}
	it, err := tx.item(item)
	if errors.Is(err, ErrCorrupt) {
		return nil // nobody can read it: those who have it are asked for their sections again
	}
	if err != nil {
		return err
	}
	*bits = [pieceHosts / 64]uint64{}
	for low := range uint32(pieceHosts) {
		h, err := tx.held(piece<<pieceBits|low, it.Section)
		if errors.Is(err, ErrCorrupt) {
			continue // its section comes again
		}
		if err != nil {
			return err
		}
		if _, ok := h.findItem(item); ok {
			bits[low/64] |= 1 << (low % 64)
		}
	}
	return nil
}
