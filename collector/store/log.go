package store

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
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
// them to the log at the end of the transaction.
func (tx *Tx) logGroup(g group) (first uint64, err error) {
	if tx.lastChange == 0 {
		if tx.lastChange, err = tx.meta(metaLastChange); err != nil {
			return 0, err
		}
	}
	g.first = tx.lastChange + 1
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
		if len(tail.body) >= tx.store.block {
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

// hostGroups calls fn for what a host brought, newest first or oldest first, in the
// blocks that want selects.
func (tx *Tx) hostGroups(index uint32, newestFirst bool, want func(blockHead) bool, fn func(group) error) error {
	t := tx.Table(tableByHost)
	scan := func(fn func(k, v []byte) error) error { return t.Scan(indexKey(index), fn) }
	if newestFirst {
		scan = func(fn func(k, v []byte) error) error { return t.ScanReverse(indexKey(index), nil, fn) }
	}
	return scan(func(k, v []byte) error {
		blocks, err := readBlocks(k, v)
		if err != nil {
			return err
		}
		if newestFirst {
			slices.Reverse(blocks)
		}
		for _, first := range blocks {
			v, err := tx.Table(tableChanges).Get(blockKey(first))
			if err != nil {
				return err
			}
			if v == nil {
				continue // pruned
			}
			if err := tx.blockGroups(first, v, newestFirst, want, func(g group) error {
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

func (tx *Tx) blockGroups(first uint64, v []byte, newestFirst bool, want func(blockHead) bool, fn func(group) error) error {
	head, err := readBlockHead(blockKey(first), v)
	if err != nil || !want(head) {
		return err
	}
	groups, err := head.groups(tx.store.codec)
	if err != nil {
		return err
	}
	if newestFirst {
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
		return fmt.Errorf("%w: it begins at %s", ErrHistory, from.UTC().Format(time.RFC3339))
	}
	return nil
}

// firstMoment returns when the first of all changes came about, as the first block of the
// log tells it; zero where that is not after at.
func (tx *Tx) firstMoment(at time.Time) (first time.Time, err error) {
	err = tx.Table(tableChanges).Scan(nil, func(k, v []byte) error {
		head, err := readBlockHead(k, v)
		if err != nil || head.low <= facts.TimeOf(at) {
			return cmp.Or(err, ErrStop)
		}
		groups, err := head.groups(tx.store.codec)
		if err != nil {
			return err
		}
		begin := head.low
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

// change gives an entry as others see it.
func (tx *Tx) change(host identity.HostID, g group, i int) (Change, error) {
	e := g.entries[i]
	c := Change{
		Seq: g.first + uint64(i), Host: host, Section: e.section, Kind: e.kind, Observed: e.observed.Time(), At: e.at.Time(),
		Received: g.received.Time(), Epoch: g.epoch, BatchSeq: g.batchSeq,
	}
	switch e.kind {
	case Added, Changed, Removed:
		if err := tx.sides(&c, e); err != nil {
			return c, fmt.Errorf("change %d: %w", c.Seq, err)
		}
	default:
		c.Old, c.New, c.Rows, c.Lost = e.was, e.is, e.rows, e.lost
	}
	return c, nil
}

// sides fills in the rows of a change. One whose item is lost to damage is missing:
// a change of which only one side is known looks like an addition or a removal.
func (tx *Tx) sides(c *Change, e entry) error {
	read := func(r ref) (data []byte, err error) {
		var key string
		if key, data, err = tx.row(e.section, r); err == nil {
			c.Key = key
			return data, nil
		}
		var damage *CorruptError
		if errors.As(err, &damage) && damage.Table == tableItems {
			c.Lost = true
			return nil, nil
		}
		return nil, err
	}
	var err1, err2 error
	if e.kind != Added {
		c.Old, err1 = read(e.old)
	}
	if e.kind != Removed {
		c.New, err2 = read(e.new)
	}
	switch {
	case c.Lost && c.Old != nil:
		c.Kind = Removed
	case c.Lost && c.New != nil:
		c.Kind = Added
	}
	return errors.Join(err1, err2)
}

// Changes calls fn for the changes with numbers above after, in order; limit 0 is no
// limit. ErrStop ends it early. fn may keep the change.
func (tx *Tx) Changes(after uint64, limit int, fn func(Change) error) error {
	q := ChangeQuery{After: after, Limit: limit}
	return tx.groupsAfter(after, q.collect(tx, func(index uint32) (identity.HostID, error) {
		host, _, err := tx.HostByIndex(index)
		return host, err
	}, fn))
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
	return tx.Table(tableChanges).ScanFrom(nil, start, func(k, v []byte) error {
		return tx.blockGroups(binary.BigEndian.Uint64(k), v, false, func(h blockHead) bool { return h.last() > after }, func(g group) error {
			if g.first+uint64(len(g.entries)) <= after+1 {
				return nil
			}
			return fn(g)
		})
	})
}

// ChangeQuery selects changes of one host. The zero value selects all.
type ChangeQuery struct {
	After, Before uint64    // numbers greater and smaller; 0: no bound
	From, To      time.Time // received after From and not after To; zero: no bound
	Section       facts.ID  // 0: all
	Limit         int       // 0: none
	NewestFirst   bool
}

func (q ChangeQuery) blockFits(h blockHead) bool {
	return (q.Section == 0 || h.sections&sectionBit(q.Section) != 0) &&
		h.last() > q.After && (q.Before == 0 || h.first < q.Before) &&
		(q.From.IsZero() || h.high > facts.TimeOf(q.From)) && (q.To.IsZero() || h.low <= facts.TimeOf(q.To))
}

func (q ChangeQuery) fits(g group, i int) bool {
	seq := g.first + uint64(i)
	return seq > q.After && (q.Before == 0 || seq < q.Before) && (q.Section == 0 || g.entries[i].section == q.Section) &&
		(q.From.IsZero() || g.received > facts.TimeOf(q.From)) && (q.To.IsZero() || g.received <= facts.TimeOf(q.To))
}

// HostChanges calls fn for the changes of a host that q selects. ErrStop ends it early.
func (tx *Tx) HostChanges(id identity.HostID, q ChangeQuery, fn func(Change) error) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return err
	}
	return tx.hostGroups(rec.Index, q.NewestFirst, q.blockFits, q.collect(tx, func(uint32) (identity.HostID, error) { return id, nil }, fn))
}

// collect gives the changes of groups that q selects to fn, up to the limit.
func (q ChangeQuery) collect(tx *Tx, hostOf func(uint32) (identity.HostID, error), fn func(Change) error) func(group) error {
	n := 0
	return func(g group) error {
		host, err := hostOf(g.host)
		if err != nil {
			return err
		}
		for i := range g.entries {
			if q.NewestFirst {
				i = len(g.entries) - 1 - i
			}
			if !q.fits(g, i) {
				continue
			}
			if q.Limit > 0 && n == q.Limit {
				return ErrStop
			}
			n++
			c, err := tx.change(host, g, i)
			if err != nil {
				return err
			}
			if err := fn(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// FleetQuery selects changes of several hosts.
type FleetQuery struct {
	ChangeQuery
	Hosts *HostSet // nil: all
}

// ChangesBetween calls fn for the changes of the fleet that q selects, in the order of
// their numbers. ErrStop ends it early.
func (tx *Tx) ChangesBetween(q FleetQuery, fn func(Change) error) error {
	names := map[uint32]identity.HostID{}
	collect := q.collect(tx, func(index uint32) (id identity.HostID, err error) {
		id, ok := names[index]
		if !ok {
			id, _, err = tx.HostByIndex(index)
			names[index] = id
		}
		return id, err
	}, fn)
	each := func(k, v []byte) error {
		if len(k) != 8 {
			return &CorruptError{Table: tableChanges, Key: slices.Clone(k), Detail: "wrong length"}
		}
		return tx.blockGroups(binary.BigEndian.Uint64(k), v, q.NewestFirst, q.blockFits, func(g group) error {
			if q.Hosts != nil && !q.Hosts.Contains(g.host) {
				return nil
			}
			return collect(g)
		})
	}
	if q.NewestFirst {
		return tx.Table(tableChanges).ScanReverse(nil, nil, each)
	}
	return tx.Table(tableChanges).Scan(nil, each)
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
