package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// held is a section of a host as it is stored: the rows that are items, and those
// that are the host's own.
type held struct {
	items []heldItem   // by number
	own   []facts.Item // by key
}

// heldItem is an item on a host, with the columns that are the host's own.
type heldItem struct {
	id    uint32
	pairs []byte
}

// ref names one row in a way that the log and held share: an item with the host's
// columns, or a whole row.
type ref struct {
	item uint32 // 0: a row of the host's own
	key  string // of such a row
	data []byte // the host's columns of an item, or the whole row
}

func (h *held) rows() int { return len(h.items) + len(h.own) }

func (h *held) findItem(id uint32) (int, bool) {
	return slices.BinarySearchFunc(h.items, id, func(it heldItem, id uint32) int { return cmp.Compare(it.id, id) })
}

func (h *held) findOwn(key string) (int, bool) {
	return slices.BinarySearchFunc(h.own, key, func(it facts.Item, key string) int { return cmp.Compare(it.Key, key) })
}

// put adds a row or replaces the one with the same number or key.
func (h *held) put(r ref) {
	if r.item == 0 {
		i, found := h.findOwn(r.key)
		if !found {
			h.own = slices.Insert(h.own, i, facts.Item{})
		}
		h.own[i] = facts.Item{Key: r.key, Data: r.data}
		return
	}
	i, found := h.findItem(r.item)
	if !found {
		h.items = slices.Insert(h.items, i, heldItem{})
	}
	h.items[i] = heldItem{r.item, r.data}
}

// drop takes a row away.
func (h *held) drop(r ref) {
	if r.item == 0 {
		if i, found := h.findOwn(r.key); found {
			h.own = slices.Delete(h.own, i, i+1)
		}
		return
	}
	if i, found := h.findItem(r.item); found {
		h.items = slices.Delete(h.items, i, i+1)
	}
}

// fill puts many new rows into an empty section at once.
func (h *held) fill(entries []entry) {
	for _, e := range entries {
		if e.new.item != 0 {
			h.items = append(h.items, heldItem{e.new.item, e.new.data})
		} else {
			h.own = append(h.own, facts.Item{Key: e.new.key, Data: e.new.data})
		}
	}
	slices.SortFunc(h.items, func(a, b heldItem) int { return cmp.Compare(a.id, b.id) })
	slices.SortFunc(h.own, func(a, b facts.Item) int { return cmp.Compare(a.Key, b.Key) })
}

// encode gives the numbers of the items, the columns of the host's own values, and
// the whole rows with what their keys do not share with the key before.
func (h *held) encode(c *codec) []byte {
	ids := make([]uint32, len(h.items))
	for i, it := range h.items {
		ids[i] = it.id
	}
	// Apart from the rest, whose bytes are of another kind, numbers compress better.
	set := c.pack(appendSet(nil, ids, 0))
	p := h.appendColumns(nil)
	p = binary.AppendUvarint(p, uint64(len(h.own)))
	last := ""
	for _, it := range h.own {
		n := 0
		for n < len(last) && n < len(it.Key) && last[n] == it.Key[n] {
			n++
		}
		p = binary.AppendUvarint(p, uint64(n))
		p = append(binary.AppendUvarint(p, uint64(len(it.Key)-n)), it.Key[n:]...)
		p = append(binary.AppendUvarint(p, uint64(len(it.Data))), it.Data...)
		last = it.Key
	}
	return append(append(binary.AppendUvarint(nil, uint64(len(set))), set...), c.pack(p)...)
}

func (h *held) appendColumns(p []byte) []byte {
	columns := map[uint64][][]byte{}
	for i, it := range h.items {
		// The pairs were cut by SplitRow: they are well formed.
		_ = wire.PairsOf(it.pairs, func(column uint64, _, value []byte) {
			if columns[column] == nil {
				columns[column] = make([][]byte, len(h.items))
			}
			columns[column][i] = value
		})
	}
	p = binary.AppendUvarint(p, uint64(len(columns)))
	for _, column := range slices.Sorted(maps.Keys(columns)) {
		p = appendColumn(p, column, columns[column])
	}
	return p
}

// decodeHeld is the inverse of encode; false: it is not one.
func decodeHeld(c *codec, v []byte) (*held, bool) {
	d := decoder{b: v}
	set, err1 := c.unpack(d.bytes())
	p, err2 := c.unpack(d.b)
	var ids []uint32
	if err1 != nil || err2 != nil || d.bad || !eachOf(set, func(id uint32) { ids = append(ids, id) }) {
		return nil, false
	}
	h := newHeld(len(ids))
	for i, id := range ids {
		h.items[i].id = id
	}
	d = decoder{b: p}
	h.readColumns(&d)
	last := ""
	for range d.uvarint() {
		n := d.uvarint()
		if n > uint64(len(last)) || d.bad {
			return nil, false
		}
		last = last[:n] + string(d.bytes())
		h.own = append(h.own, facts.Item{Key: last, Data: d.bytes()})
	}
	return h, !d.bad && len(d.b) == 0
}

// pairRoom is the room for the host's own columns of an item: most have one, a moment.
const pairRoom = 12

// newHeld makes a section of that many items, their columns still to be read, with room
// for them in one piece.
func newHeld(n int) *held {
	h, room := &held{items: make([]heldItem, n)}, make([]byte, n*pairRoom)
	for i := range h.items {
		h.items[i].pairs = room[i*pairRoom : i*pairRoom : (i+1)*pairRoom]
	}
	return h
}

// readColumns reads what appendColumns wrote.
func (h *held) readColumns(d *decoder) {
	for n := d.count(1 << 16); n > 0 && !d.bad; n-- {
		h.readColumn(d)
	}
}

func (h *held) readColumn(d *decoder) {
	column := d.uvarint()
	switch d.byte() {
	case columnUints:
		h.readUints(d, column, readFar)
	case columnNear:
		h.readUints(d, column, readNear)
	case columnBytes:
		for i := range h.items {
			if v := d.optional(); v != nil {
				h.items[i].pairs = wire.AppendPair(h.items[i].pairs, column, v)
			}
		}
	default:
		d.bad = true
	}
}

// held reads a section of a host; nothing stored is an empty section.
func (tx *Tx) held(index uint32, section facts.ID) (*held, error) {
	key := sectionKey(index, section)
	v, err := tx.Table(tableHeld).Get(key)
	if err != nil || v == nil {
		return &held{}, err
	}
	h, ok := decodeHeld(tx.store.codec, v)
	if !ok {
		return nil, &CorruptError{Table: tableHeld, Key: key, Detail: "not decodable"}
	}
	return h, nil
}

func (tx *Tx) putHeld(index uint32, section facts.ID, h *held) error {
	key := sectionKey(index, section)
	if h.rows() == 0 {
		return tx.Table(tableHeld).Delete(key)
	}
	return tx.Table(tableHeld).Put(key, h.encode(tx.store.codec))
}

// row gives a row in its encoding.
func (tx *Tx) row(section facts.ID, r ref) (key string, data []byte, err error) {
	if r.item == 0 {
		return r.key, r.data, nil
	}
	it, err := tx.item(r.item)
	if err != nil {
		return "", nil, err
	}
	data, err = it.row(section, r.data)
	return it.Key, data, err
}

// row joins an item with the columns that are the host's own.
func (it *Item) row(section facts.ID, pairs []byte) ([]byte, error) {
	if it.Section != section {
		return nil, &CorruptError{Table: tableItems, Key: itemKey(it.ID), Detail: "is of another section"}
	}
	data, err := wire.JoinRow(it.Data, pairs)
	if err != nil {
		return nil, &CorruptError{Table: tableHeld, Key: itemKey(it.ID), Detail: err.Error()}
	}
	return data, nil
}

// find returns the row with that key; false when there is none.
func (tx *Tx) find(section facts.ID, h *held, key string) (r ref, found bool, err error) {
	if i, ok := h.findOwn(key); ok {
		return ref{key: key, data: h.own[i].Data}, true, nil
	}
	err = tx.itemsOfKey(section, key, func(id uint32) error {
		i, ok := h.findItem(id)
		if !ok {
			return nil
		}
		r, found = ref{item: id, data: h.items[i].pairs}, true
		return ErrStop
	})
	return r, found, err
}

// refOf returns how a row is stored, making its item if need be.
func (tx *Tx) refOf(section facts.ID, key string, data []byte) (ref, error) {
	common, pairs, ok := layouts[section].split(data)
	if !ok {
		return ref{key: key, data: bytes.Clone(data)}, nil
	}
	id, err := tx.intern(section, key, common)
	return ref{item: id, data: bytes.Clone(pairs)}, err
}

// internAll returns how the new rows are stored, making items where need be. Items get
// their numbers in the order of the host's first column, which for packages is when
// they were installed: hosts install the same in much the same order, so that each
// holds mostly ascending moments, which take a fifth of the space.
func (tx *Tx) internAll(section facts.ID, rows []rowChange) ([]ref, error) {
	refs := make([]ref, len(rows))
	type place struct {
		at    int
		first uint64
	}
	var unknown []place
	for i, r := range rows {
		switch {
		case r.told == nil:
		case !r.told.shared:
			refs[i] = ref{key: r.key, data: bytes.Clone(r.new)}
		default:
			refs[i] = ref{item: r.told.id, data: bytes.Clone(r.told.pairs)}
			if r.told.id == 0 {
				unknown = append(unknown, place{i, firstUint(r.told.pairs)})
			}
		}
	}
	slices.SortStableFunc(unknown, func(a, b place) int { return cmp.Compare(a.first, b.first) })
	for _, p := range unknown {
		id, err := tx.intern(section, rows[p.at].key, rows[p.at].told.common)
		if err != nil {
			return nil, err
		}
		refs[p.at].item = id
	}
	return refs, nil
}

// firstUint returns the first of a host's own columns that is a number, 0: none is.
func firstUint(pairs []byte) (first uint64) {
	found := false
	// The pairs were cut by SplitRow: they are well formed.
	_ = wire.PairsOf(pairs, func(_ uint64, _, value []byte) {
		if n, ok := wire.UintValue(value); ok && !found {
			first, found = n, true
		}
	})
	return first
}
