package store

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"atalaya/shared/facts"
)

// The change log is stored in blocks of entries in the order of their numbers, which
// have no gaps. The newest block is kept as it is and grows with each commit; once it
// has blockBytes it is sealed (see packGroups) and the next begins. Entries name items by number.
// An index tells for each host in which blocks it has entries.
const (
	// blockBytes bounds what is rewritten by a commit and inflated to see one change. It
	// compresses to a tenth, two of which fill most of a page.
	blockBytes = 32 << 10
	// pageBytes bounds a record of the index by host.
	pageBytes = 1 << 10
)

// logGroup gives the entries their numbers, which it returns the first of, and adds
// them to the log at the end of the transaction. None comes about after it was received.
func (tx *Tx) logGroup(g group) (first uint64, err error) {
	if tx.lastChange == 0 {
		if tx.lastChange, err = tx.meta(metaLastChange); err != nil {
			return 0, err
		}
	}
	g.first = tx.lastChange + 1
	if g.received, err = tx.inOrder(g); err != nil {
		return 0, err
	}
	for i := range g.entries {
		g.entries[i].at = min(g.entries[i].at, g.received)
	}
	tx.lastChange += uint64(len(g.entries))
	tx.groups = append(tx.groups, g)
	return g.first, tx.putMeta(metaLastChange, tx.lastChange)
}

// flushLog writes what was logged in this transaction.
func (tx *Tx) flushLog() error {
	groups := tx.groups
	tx.groups = nil
	if len(groups) == 0 {
		return nil
	}
	tail, err := tx.openBlock(groups[0].first)
	if err != nil {
		return err
	}
	placed := map[uint32]uint64{} // host -> block in which it was noted
	for _, g := range groups {
		if len(tail.body) >= tx.store.block || g.received < tail.high { // a block is of one course of the clock
			if err := tx.seal(tail); err != nil {
				return err
			}
			tail = blockHead{first: g.first}
		}
		if tail.count == 0 {
			tail.low, tail.high = g.received, g.received
		}
		tail.low, tail.high = min(tail.low, g.received), max(tail.high, g.received)
		tail.count += uint64(len(g.entries))
		tail.body = appendGroup(tail.body, g)
		for _, e := range g.entries {
			tail.sections |= sectionBit(e.section)
		}
		if placed[g.host] != tail.first {
			placed[g.host] = tail.first
			if err := tx.noteBlock(g.host, tail.first); err != nil {
				return err
			}
		}
	}
	return tx.Table(tableChanges).Put(blockKey(tail.first), tail.encode())
}

// openBlock returns the block that can still grow, or an empty one.
func (tx *Tx) openBlock(first uint64) (blockHead, error) {
	head := blockHead{first: first}
	err := tx.Table(tableChanges).ScanReverse(nil, nil, func(k, v []byte) error {
		last, err := readBlockHead(k, v)
		if err != nil {
			return err
		}
		if last.form == formPlain && len(last.body) < tx.store.block && last.last()+1 == first {
			head = last
			head.body = slices.Clone(head.body)
		}
		return ErrStop
	})
	if errors.Is(err, ErrCorrupt) {
		return head, nil // reported to those who read it; what comes is not held up
	}
	return head, err
}

// seal compresses a block that is full. One that is damaged stays as it is: those who
// read it report it, and what comes is not held up.
func (tx *Tx) seal(h blockHead) error {
	if groups, err := h.groups(tx.store.codec); err == nil {
		if z := packGroups(tx.store.codec, groups); len(z) < len(h.body) {
			h.form, h.body = formColumns, z
		}
	}
	return tx.Table(tableChanges).Put(blockKey(h.first), h.encode())
}

// noteBlock adds a block to those of a host. A record of the index begins with the
// block in its key; the others follow as distances.
func (tx *Tx) noteBlock(index uint32, block uint64) error {
	t := tx.Table(tableByHost)
	var key, value []byte
	last := uint64(0)
	err := t.ScanReverse(indexKey(index), nil, func(k, v []byte) error {
		blocks, err := readBlocks(k, v)
		if err != nil {
			return err
		}
		last = blocks[len(blocks)-1]
		if len(v) < pageBytes {
			key, value = slices.Clone(k), slices.Clone(v)
		}
		return ErrStop
	})
	switch {
	case errors.Is(err, ErrCorrupt): // what comes goes into a record of its own
	case err != nil || last == block && last != 0:
		return err
	}
	if key == nil {
		return t.Put(append(indexKey(index), blockKey(block)...), nil)
	}
	return t.Put(key, binary.AppendUvarint(value, block-last))
}

func readBlocks(k, v []byte) ([]uint64, error) {
	d := decoder{b: v}
	if len(k) != 12 {
		return nil, &CorruptError{Table: tableByHost, Key: slices.Clone(k), Detail: "wrong length"}
	}
	blocks := []uint64{binary.BigEndian.Uint64(k[4:])}
	for len(d.b) > 0 && !d.bad {
		blocks = append(blocks, blocks[len(blocks)-1]+d.uvarint())
	}
	if d.bad {
		return nil, &CorruptError{Table: tableByHost, Key: slices.Clone(k), Detail: "not decodable"}
	}
	return blocks, nil
}

// logWalk goes through blocks of the log.
type logWalk struct {
	tx          *Tx
	newestFirst bool
	want        func(blockHead) bool // others are not inflated
	reader      blockReader
}

func everyBlock(blockHead) bool { return true }

func (tx *Tx) walkLog(newestFirst bool, want func(blockHead) bool) *logWalk {
	return &logWalk{tx: tx, newestFirst: newestFirst, want: want, reader: blockReader{codec: tx.store.codec}}
}

// host calls fn for what a host brought.
func (w *logWalk) host(index uint32, fn func(group) error) error {
	t := w.tx.Table(tableByHost)
	scan := func(fn func(k, v []byte) error) error { return t.Scan(indexKey(index), fn) }
	if w.newestFirst {
		scan = func(fn func(k, v []byte) error) error { return t.ScanReverse(indexKey(index), nil, fn) }
	}
	return scan(func(k, v []byte) error {
		blocks, err := readBlocks(k, v)
		if err != nil {
			return err
		}
		if w.newestFirst {
			slices.Reverse(blocks)
		}
		for _, first := range blocks {
			v, err := w.tx.Table(tableChanges).Get(blockKey(first))
			if err != nil {
				return err
			}
			if v == nil {
				continue // pruned
			}
			if err := w.block(blockKey(first), v, func(g group) error {
				if g.host != index {
					return nil
				}
				return fn(g)
			}); err != nil {
				return err
			}
		}
		return nil
	})
}

// block calls fn for the groups of a block.
func (w *logWalk) block(k, v []byte, fn func(group) error) error {
	head, err := readBlockHead(k, v)
	if err != nil || !w.want(head) {
		return err
	}
	groups, err := w.reader.read(head)
	if err != nil {
		return err
	}
	if w.newestFirst {
		slices.Reverse(groups)
	}
	for _, g := range groups {
		if err := fn(g); err != nil {
			return err
		}
	}
	return nil
}

// LastChange returns the number of the newest change, 0 when there is none.
func (tx *Tx) LastChange() (uint64, error) { return tx.meta(metaLastChange) }

// HistoryFrom returns the moment from which on the past is known. Zero: from the beginning.
func (tx *Tx) HistoryFrom() (time.Time, error) {
	ms, err := tx.meta(metaHistory)
	return facts.Time(ms).Time(), err
}

// Reaches refuses a moment before the history begins with ErrHistory: before what was
// taken out of the log, or before the first change of all.
func (tx *Tx) Reaches(at time.Time) error {
	from, err := tx.HistoryFrom()
	if err != nil {
		return err
	}
	if from.IsZero() {
		if from, err = tx.firstMoment(at); err != nil {
			return err
		}
	}
	if at.Before(from) {
		return beginsAt(from)
	}
	return nil
}

// firstMoment returns when the first of all changes came about, as the first block of the
// log tells it; zero where that is not after at.
func (tx *Tx) firstMoment(at time.Time) (first time.Time, err error) {
	backs, err := tx.setBacks()
	if err != nil {
		return first, err
	}
	err = tx.Table(tableChanges).Scan(nil, func(k, v []byte) error {
		head, err := readBlockHead(k, v)
		if err != nil {
			return err
		}
		begin := byThen(head.low, head.last(), backs)
		if begin <= facts.TimeOf(at) {
			return ErrStop
		}
		groups, err := head.groups(tx.store.codec)
		if err != nil {
			return err
		}
		for _, g := range groups {
			for _, e := range g.entries {
				begin = min(begin, e.at) // what was told late came about before
			}
		}
		first = begin.Time()
		return ErrStop
	})
	return first, err
}

// groupsAfter calls fn for the groups that hold changes with numbers above after.
func (tx *Tx) groupsAfter(after uint64, fn func(group) error) error {
	start := blockKey(after + 1)
	err := tx.Table(tableChanges).ScanReverse(nil, blockKey(after+2), func(k, _ []byte) error {
		start = slices.Clone(k)
		return ErrStop
	})
	if err != nil {
		return err
	}
	w := tx.walkLog(false, func(h blockHead) bool { return h.last() > after })
	return tx.Table(tableChanges).ScanFrom(nil, start, func(k, v []byte) error {
		return w.block(k, v, func(g group) error {
			if g.first+uint64(len(g.entries)) <= after+1 {
				return nil
			}
			return fn(g)
		})
	})
}

// Cursor returns how far the view of that name has read the change log.
func (tx *Tx) Cursor(view string) (uint64, error) {
	v, err := tx.Table(tableCursors).Get([]byte(view))
	if err != nil || len(v) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(v), nil
}

// SetCursor notes how far the view has read. Prune keeps what a view has not read.
func (tx *Tx) SetCursor(view string, seq uint64) error {
	return tx.Table(tableCursors).Put([]byte(view), binary.BigEndian.AppendUint64(nil, seq))
}
