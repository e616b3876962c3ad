package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// Item is what hosts share: a row without the columns that are each host's own (see
// HostColumns). wire.DecodeRow reads Data.
type Item struct {
	ID      uint32 // number within this state file, from 1, never reused
	Section facts.ID
	Key     string // of the row
	Data    []byte
}

// maxItem bounds the numbers of items, which are 32 bits.
const maxItem = 1<<32 - 1

func itemKey(id uint32) []byte { return binary.BigEndian.AppendUint32(nil, id) }

// item reads an item by number.
func (tx *Tx) item(id uint32) (Item, error) {
	key := itemKey(id)
	v, err := tx.Table(tableItems).Get(key)
	if err != nil || v == nil {
		tx.forgetItems() // the next that tells it brings it back
	}
	if err != nil {
		return Item{}, err
	}
	d := decoder{b: v}
	it := Item{ID: id, Section: facts.ID(d.uvarint()), Key: string(d.bytes()), Data: d.b}
	switch {
	case v == nil:
		return Item{}, &CorruptError{Table: tableItems, Key: key, Detail: "item was lost", lost: true}
	case d.bad:
		return Item{}, &CorruptError{Table: tableItems, Key: key, Detail: "not decodable"}
	}
	return it, nil
}

// appendOrdered appends a text such that longer texts with the same beginning follow,
// and none is the beginning of another's form once it is ended.
func appendOrdered(dst []byte, text string) []byte {
	for i := range len(text) {
		if dst = append(dst, text[i]); text[i] == 0 {
			dst = append(dst, 0xff)
		}
	}
	return dst
}

// endOrdered ends a text of appendOrdered.
const endOrdered = "\x00\x01"

// contentKey is where the item of that content is looked for first; next tries the
// place behind it.
func contentKey(section facts.ID, key string, data []byte) []byte {
	k := binary.BigEndian.AppendUint16(nil, uint16(section))
	k = append(appendOrdered(k, key), endOrdered...)
	sum := sha256.Sum256(data)
	return append(k, sum[:4]...)
}

func nextContent(k []byte) {
	n := binary.BigEndian.Uint32(k[len(k)-4:])
	binary.BigEndian.PutUint32(k[len(k)-4:], n+1)
}

// findItem returns the number of the item with that content, 0 when there is none,
// and the free place in the table of contents then.
func (tx *Tx) findItem(section facts.ID, key string, data []byte) (id uint32, place []byte, err error) {
	place = contentKey(section, key, data)
	for {
		v, err := tx.Table(tableContents).Get(place)
		if errors.Is(err, ErrCorrupt) || err == nil && v != nil && len(v) != 4 {
			v, err = nil, tx.mend(tableContents, place)
		}
		if err != nil || v == nil {
			return 0, place, err
		}
		it, err := tx.item(binary.BigEndian.Uint32(v))
		switch {
		case errors.Is(err, ErrCorrupt):
			// Its key and the hash of its content are those of the place, if none before it
			// had the same: then this is what it was.
			if id := binary.BigEndian.Uint32(v); bytes.Equal(place, contentKey(section, key, data)) {
				return id, place, errors.Join(tx.putItem(id, section, key, data), tx.refill())
			}
			return 0, place, nil // a new item takes its place
		case err != nil:
			return 0, place, err
		case it.Section == section && it.Key == key && bytes.Equal(it.Data, data):
			return it.ID, place, nil
		}
		nextContent(place)
	}
}

// intern returns the number of the item with that content, which it makes if need be.
func (tx *Tx) intern(section facts.ID, key string, data []byte) (uint32, error) {
	id, place, err := tx.findItem(section, key, data)
	if err != nil {
		return 0, err
	}
	if id != 0 {
		tx.meet(section, key, data, id)
		return id, nil
	}
	n, err := tx.meta(metaItems)
	if err != nil {
		return 0, err
	}
	if n++; n > maxItem {
		return 0, errors.New("all item numbers are used")
	}
	if err := tx.putItem(uint32(n), section, key, data); err != nil {
		return 0, err
	}
	if err := tx.Table(tableContents).Put(place, itemKey(uint32(n))); err != nil {
		return 0, err
	}
	tx.meet(section, key, data, uint32(n))
	return uint32(n), tx.putMeta(metaItems, n)
}

func (tx *Tx) putItem(id uint32, section facts.ID, key string, data []byte) error {
	if _, err := tx.Table(tableItems).Get(itemKey(id)); errors.Is(err, ErrCorrupt) {
		if err := tx.mend(tableItems, itemKey(id)); err != nil {
			return err
		}
	}
	v := binary.AppendUvarint(nil, uint64(section))
	v = append(binary.AppendUvarint(v, uint64(len(key))), key...)
	return tx.Table(tableItems).Put(itemKey(id), append(v, data...))
}

// dropItem removes an item that nothing refers to any more.
func (tx *Tx) dropItem(id uint32) error {
	tx.forgetItems()
	it, err := tx.item(id)
	if err != nil {
		return err
	}
	place := contentKey(it.Section, it.Key, it.Data)
	for {
		v, err := tx.Table(tableContents).Get(place)
		if err != nil {
			return err
		}
		if v == nil {
			break // an earlier removal cut the chain, and the content has another number since
		}
		if bytes.Equal(v, itemKey(id)) {
			if err := tx.Table(tableContents).Delete(place); err != nil {
				return err
			}
			break
		}
		nextContent(place)
	}
	return tx.Table(tableItems).Delete(itemKey(id))
}

// itemsOfKey calls fn for the numbers of the items with exactly that key.
func (tx *Tx) itemsOfKey(section facts.ID, key string, fn func(id uint32) error) error {
	k := contentKey(section, key, nil)
	return tx.itemsAt(k[:len(k)-4], fn)
}

func (tx *Tx) itemsAt(prefix []byte, fn func(id uint32) error) error {
	return tx.Table(tableContents).Scan(prefix, func(k, v []byte) error {
		if len(v) != 4 {
			return &CorruptError{Table: tableContents, Key: bytes.Clone(k), Detail: "wrong length"}
		}
		return fn(binary.BigEndian.Uint32(v))
	})
}

// eachItem calls fn for the items whose keys begin with prefix, by key.
func (tx *Tx) eachItem(section facts.ID, prefix string, fn func(Item) error) error {
	k := binary.BigEndian.AppendUint16(nil, uint16(section))
	return tx.itemsIn(appendOrdered(k, prefix), fn)
}

// itemsIn calls fn for the items whose places in the table of contents begin with prefix.
func (tx *Tx) itemsIn(prefix []byte, fn func(Item) error) error {
	return tx.itemsAt(prefix, func(id uint32) error {
		it, err := tx.item(id)
		if lost(err) {
			return nil // until a host tells it again
		}
		if err != nil {
			return err
		}
		return fn(it)
	})
}

// hasName reports whether the column "name" of a row has that value.
func hasName(row facts.Row, name string) bool {
	v := reflect.ValueOf(row).Elem().FieldByName("Name")
	return v.IsValid() && v.Kind() == reflect.String && v.String() == name
}

// eachNamed calls fn for the items of a section with that name. Where the name is not the
// first part of the keys it jumps over the few values of the parts before it; where it is
// no part of them it reads all items.
func (tx *Tx) eachNamed(section facts.ID, name string, fn func(Item) error) error {
	only := func(it Item) error {
		row, err := wire.DecodeRow(section, it.Data)
		if err != nil {
			return fmt.Errorf("item %d: %w", it.ID, err)
		}
		if !hasName(row, name) {
			return nil
		}
		return fn(it)
	}
	starts, err := tx.nameStarts(section)
	if err != nil {
		return err
	}
	begin, _, _ := strings.Cut(name, "\x00") // which some keys escape
	stop := false
	for _, start := range starts.places {
		if starts.names {
			start = appendOrdered(start, begin)
		}
		err := tx.itemsIn(start, func(it Item) error {
			err := only(it)
			stop = errors.Is(err, ErrStop)
			return err
		})
		if err != nil || stop {
			return err
		}
	}
	return nil
}

// starts are beginnings of places in the table of contents, of all items of a section.
type starts struct {
	places [][]byte
	names  bool // what follows them is the column "name"
}

// nameStarts tells where names begin in the places of a section's items: once for each
// value that the parts before it have.
func (tx *Tx) nameStarts(section facts.ID) (starts, error) {
	prefix := binary.BigEndian.AppendUint16(nil, uint16(section))
	all := starts{places: [][]byte{prefix}}
	n := layouts[section].name
	if n <= 0 {
		all.names = n == 0
		return all, nil
	}
	out, from := starts{names: true}, prefix
	for {
		var start []byte
		sure, found := false, false
		err := tx.Table(tableContents).ScanFrom(prefix, from, func(k, _ []byte) error {
			start, sure = firstParts(k, len(prefix), n)
			start, found = bytes.Clone(start), true
			return ErrStop
		})
		if err != nil || !found {
			return out, err
		}
		if !sure {
			return all, nil
		}
		// A NUL within a part looks as one behind which the next part begins with 1: of such
		// keys, which no honest host has, all are looked at.
		err = tx.Table(tableContents).Scan(append(bytes.Clone(start), 1), func(_, _ []byte) error {
			sure = false
			return ErrStop
		})
		if err != nil || !sure {
			return all, err
		}
		out.places, from = append(out.places, start), PrefixEnd(start)
	}
}

// firstParts returns what of a place in the table of contents, in which the key begins
// at i, is before the nth part of the key; false: it cannot be told.
func firstParts(k []byte, i, n int) ([]byte, bool) {
	for ; i+2 < len(k); i++ {
		if k[i] != 0 {
			continue
		}
		if k[i+1] != 0xff || k[i+2] == 1 { // the end, or not sure
			return nil, false
		}
		if n--; n == 0 {
			return k[:i+2], true
		}
	}
	return nil, false
}
