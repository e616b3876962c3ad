package store

import (
	"encoding/binary"
	"errors"

	"atalaya/shared/facts"
)

// A full block is stored column by column: hosts that had the same upgrade name the same
// items in the same order, which stands together then, and moments, which no two
// hosts share, stand apart from it as columns of numbers (see appendColumn), so that
// those who ask only which hosts had an item need not inflate them.

// packGroups gives of each group the host, the distance to the received time before, the
// epoch, the batch and the number of entries; of each entry the section, the kind, how
// long before the group was received it came about and the distance to what the agent's
// clock said; then the items, and what is not an item. Behind it follow the hosts' own
// columns of the items there were, and of those that came.
func packGroups(c *codec, groups []group) []byte {
	p := binary.AppendUvarint(nil, uint64(len(groups)))
	for _, put := range []func(p []byte, i int) []byte{
		func(p []byte, i int) []byte { return binary.AppendUvarint(p, uint64(groups[i].host)) },
		func(p []byte, i int) []byte {
			return binary.AppendVarint(p, int64(groups[i].received-groups[max(i-1, 0)].received))
		},
		func(p []byte, i int) []byte { return binary.BigEndian.AppendUint64(p, groups[i].epoch) },
		func(p []byte, i int) []byte { return binary.AppendUvarint(p, groups[i].batchSeq) },
		func(p []byte, i int) []byte { return binary.AppendUvarint(p, uint64(len(groups[i].entries))) },
	} {
		for i := range groups {
			p = put(p, i)
		}
	}
	p = binary.AppendVarint(p, int64(groups[0].received))
	var old, new held
	for _, put := range []func(p []byte, g *group, e *entry) []byte{
		func(p []byte, _ *group, e *entry) []byte { return binary.AppendUvarint(p, uint64(e.section)) },
		func(p []byte, _ *group, e *entry) []byte { return append(p, byte(e.kind)) },
		func(p []byte, g *group, e *entry) []byte { return binary.AppendVarint(p, int64(g.received-e.at)) },
		func(p []byte, _ *group, e *entry) []byte { return binary.AppendVarint(p, int64(e.at-e.observed)) },
		func(p []byte, _ *group, e *entry) []byte { return appendItems(p, e, &old, &new) },
		func(p []byte, _ *group, e *entry) []byte { return appendTexts(p, e) },
	} {
		for i := range groups {
			for j := range groups[i].entries {
				p = put(p, &groups[i], &groups[i].entries[j])
			}
		}
	}
	p = c.pack(p)
	p = append(binary.AppendUvarint(nil, uint64(len(p))), p...)
	return append(p, c.pack(new.appendColumns(old.appendColumns(nil)))...)
}

// sides tells which sides of an entry are rows.
func (k ChangeKind) sides() (old, new bool) {
	return k == Changed || k == Removed, k == Changed || k == Added
}

// appendItems puts the numbers of the items, and their columns into the columns of all.
func appendItems(p []byte, e *entry, old, new *held) []byte {
	hasOld, hasNew := e.kind.sides()
	if hasOld {
		if p = binary.AppendUvarint(p, uint64(e.old.item)); e.old.item != 0 {
			old.items = append(old.items, heldItem{pairs: e.old.data})
		}
	}
	if hasNew {
		if p = binary.AppendUvarint(p, uint64(e.new.item)); e.new.item != 0 {
			new.items = append(new.items, heldItem{pairs: e.new.data})
		}
	}
	return p
}

// appendTexts puts the rows that are the host's own, and all of entries that are not
// about a row.
func appendTexts(p []byte, e *entry) []byte {
	hasOld, hasNew := e.kind.sides()
	if hasOld && e.old.item == 0 {
		p = appendBytes(appendBytes(p, []byte(e.old.key)), e.old.data)
	}
	if hasNew && e.new.item == 0 {
		if !hasOld || e.old.item != 0 {
			p = appendBytes(p, []byte(e.new.key))
		}
		p = appendBytes(p, e.new.data)
	}
	if !hasOld && !hasNew {
		p = appendStatus(p, e)
	}
	return p
}

// blockReader decodes blocks. A bare one leaves out the hosts' own columns, and what it
// gives holds until it reads the next block.
type blockReader struct {
	codec   *codec
	bare    bool
	buffer  []byte
	groups  []group
	entries []entry
}

// errBlock: the bytes of a block are not what was written.
var errBlock = errors.New("not decodable")

// sealed is the inverse of packGroups.
func (r *blockReader) sealed(first, count uint64, body []byte) ([]group, error) {
	d := decoder{b: body}
	packed := d.bytes()
	p, err := r.codec.unpackInto(r.buffer[:0], packed)
	if err != nil || d.bad {
		return nil, errBlock
	}
	columns := d.b
	d = decoder{b: p}
	if !r.readHeads(&d, first, count) || !r.readEntries(&d) {
		return nil, errBlock
	}
	groups := r.groups
	if r.bare {
		r.buffer = p
		return groups, nil
	}
	entries := r.entries
	r.groups, r.entries = nil, nil
	if p, err = r.codec.unpack(columns); err != nil || !readSides(p, entries) {
		return nil, errBlock
	}
	return groups, nil
}

func (r *blockReader) readHeads(d *decoder, first, count uint64) bool {
	n := d.count(uint64(len(d.b)))
	if count > uint64(len(d.b)) {
		return false // each entry takes some bytes
	}
	r.groups, r.entries = resized(r.groups, n), resized(r.entries, count)
	groups, rest := r.groups, r.entries
	for i := range groups {
		groups[i] = group{host: uint32(d.uvarint())}
	}
	for i := range groups {
		groups[i].received = facts.Time(d.varint())
	}
	for i := range groups {
		groups[i].epoch = d.uint64()
	}
	for i := range groups {
		groups[i].batchSeq = d.uvarint()
	}
	for i := range groups {
		size := d.count(uint64(len(rest)))
		groups[i].first, groups[i].entries = first, rest[:size:size]
		first, rest = first+size, rest[size:]
	}
	received := facts.Time(d.varint())
	for i := range groups {
		received += groups[i].received
		groups[i].received = received
	}
	return !d.bad && len(rest) == 0
}

func resized[T any](s []T, n uint64) []T {
	if uint64(cap(s)) < n {
		return make([]T, n)
	}
	return s[:n]
}

func (r *blockReader) readEntries(d *decoder) bool {
	for i := range r.entries {
		r.entries[i] = entry{section: facts.ID(d.uvarint())}
	}
	for i := range r.entries {
		r.entries[i].kind = ChangeKind(d.byte())
	}
	for _, g := range r.groups {
		for i := range g.entries {
			g.entries[i].at = g.received - facts.Time(d.varint())
		}
	}
	for i := range r.entries {
		e := &r.entries[i]
		e.observed = e.at - facts.Time(d.varint())
	}
	for i := range r.entries {
		e := &r.entries[i]
		hasOld, hasNew := e.kind.sides()
		if hasOld {
			e.old.item = uint32(d.uvarint())
		}
		if hasNew {
			e.new.item = uint32(d.uvarint())
		}
	}
	for i := range r.entries {
		d.texts(&r.entries[i])
	}
	return !d.bad && len(d.b) == 0
}

// texts reads what appendTexts wrote.
func (d *decoder) texts(e *entry) {
	switch e.kind {
	case Added, Changed, Removed:
	case StatusChanged, Baseline, Cleared:
		d.status(e)
		return
	default:
		d.bad = true
		return
	}
	hasOld, hasNew := e.kind.sides()
	if hasOld && e.old.item == 0 {
		e.old.key, e.old.data = string(d.optional()), d.optional()
	}
	if hasNew && e.new.item == 0 {
		if e.new.key = e.old.key; !hasOld || e.old.item != 0 {
			e.new.key = string(d.optional())
		}
		e.new.data = d.optional()
	}
}

// readSides reads the hosts' own columns of the items.
func readSides(p []byte, entries []entry) bool {
	d := decoder{b: p}
	var at []*ref
	for i := range entries {
		if entries[i].old.item != 0 {
			at = append(at, &entries[i].old)
		}
	}
	olds := len(at)
	for i := range entries {
		if entries[i].new.item != 0 {
			at = append(at, &entries[i].new)
		}
	}
	for _, side := range [][]*ref{at[:olds], at[olds:]} {
		h := newHeld(len(side))
		h.readColumns(&d)
		for i, r := range side {
			r.data = h.items[i].pairs
		}
	}
	return !d.bad && len(d.b) == 0
}
