package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"

	"github.com/klauspost/compress/zstd"
)

// The change log is stored in blocks of entries in the order of their numbers, which
// have no gaps. The newest block is kept as it is and grows with each commit; once it
// has blockBytes it is compressed and the next begins. Entries name items by number.
// An index tells for each host in which blocks it has entries.
const (
	// blockBytes bounds what is rewritten by a commit and inflated to see one change.
	blockBytes = 8 << 10
	// minZip is the length from which compression is tried.
	minZip = 128
	// maxPacked bounds what one record is inflated to. The largest is a section with
	// as many rows as the limits of package wire let through.
	maxPacked = 1 << 30
	// pageBytes bounds a record of the index by host.
	pageBytes = 1 << 10
)

// How a record is stored.
const (
	formPlain = 0
	formZstd  = 1
)

// codec compresses records; it is safe for use by several goroutines.
type codec struct {
	zip   *zstd.Encoder
	unzip *zstd.Decoder
}

func newCodec() (*codec, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		return nil, err
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxPacked))
	if err != nil {
		return nil, err
	}
	return &codec{zip, unzip}, nil
}

// pack puts the form before p, which it compresses where that helps.
func (c *codec) pack(p []byte) []byte {
	if len(p) >= minZip {
		if z := c.zip.EncodeAll(p, []byte{formZstd}); len(z) <= len(p) {
			return z
		}
	}
	return append([]byte{formPlain}, p...)
}

// unpack is the inverse of pack. What it returns is a copy.
func (c *codec) unpack(v []byte) ([]byte, error) {
	switch {
	case len(v) == 0:
		return nil, errors.New("empty record")
	case v[0] == formPlain:
		return append([]byte(nil), v[1:]...), nil
	case v[0] == formZstd:
		return c.unzip.DecodeAll(v[1:], nil)
	}
	return nil, fmt.Errorf("unknown form %d", v[0])
}

// group is what one batch of one host brought.
type group struct {
	host            uint32 // index
	received        facts.Time
	epoch, batchSeq uint64
	first           uint64 // number of the first entry
	entries         []entry
}

// entry is one change as it is stored; which fields count depends on the kind.
type entry struct {
	section  facts.ID
	kind     ChangeKind
	at       facts.Time // when it came about, see effective
	observed facts.Time // by the agent's clock
	old, new ref        // of rows
	was, is  []byte     // statuses, as EncodeStatus gives them
	rows     int        // of Baseline and Cleared
	lost     bool       // of Baseline: what was before is not known
	content  []byte     // of Cleared: the section as it was, see held
}

// appendGroup gives host, received, epoch, batch and the entries.
func appendGroup(p []byte, g group) []byte {
	p = binary.AppendUvarint(p, uint64(g.host))
	p = binary.AppendVarint(p, int64(g.received))
	p = binary.BigEndian.AppendUint64(p, g.epoch)
	p = binary.AppendUvarint(p, g.batchSeq)
	p = binary.AppendUvarint(p, uint64(len(g.entries)))
	for _, e := range g.entries {
		p = binary.AppendUvarint(p, uint64(e.section))
		p = append(p, byte(e.kind))
		p = binary.AppendVarint(p, int64(g.received-e.at))
		p = binary.AppendVarint(p, int64(e.at-e.observed))
		switch e.kind {
		case Added:
			p = appendRef(p, e.new, true)
		case Removed:
			p = appendRef(p, e.old, true)
		case Changed:
			p = appendRef(p, e.old, true)
			p = appendRef(p, e.new, e.old.item != 0)
		default:
			p = appendBytes(p, e.was)
			p = appendBytes(p, e.is)
			p = binary.AppendUvarint(p, uint64(e.rows))
			p = append(p, boolByte(e.lost))
			p = appendBytes(p, e.content)
		}
	}
	return p
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

func appendRef(p []byte, r ref, withKey bool) []byte {
	p = binary.AppendUvarint(p, uint64(r.item))
	if r.item == 0 && withKey {
		p = append(binary.AppendUvarint(p, uint64(len(r.key))), r.key...)
	}
	return append(binary.AppendUvarint(p, uint64(len(r.data))), r.data...)
}

// ref reads what appendRef wrote; key is the key where it was left out.
func (d *decoder) ref(withKey bool, key string) ref {
	r := ref{item: uint32(d.uvarint())}
	if r.item == 0 {
		if r.key = key; withKey {
			r.key = string(d.bytes())
		}
	}
	r.data = d.bytes()
	return r
}

func (d *decoder) group(first uint64) group {
	g := group{host: uint32(d.uvarint()), received: facts.Time(d.varint()), epoch: d.uint64(), batchSeq: d.uvarint(), first: first}
	for range d.count(uint64(len(d.b))) {
		e := entry{section: facts.ID(d.uvarint()), kind: ChangeKind(d.byte())}
		e.at = g.received - facts.Time(d.varint())
		e.observed = e.at - facts.Time(d.varint())
		switch e.kind {
		case Added:
			e.new = d.ref(true, "")
		case Removed:
			e.old = d.ref(true, "")
		case Changed:
			e.old = d.ref(true, "")
			e.new = d.ref(e.old.item != 0, e.old.key)
		case StatusChanged, Baseline, Cleared:
			e.was, e.is = d.optional(), d.optional()
			e.rows, e.lost, e.content = int(d.uvarint()), d.byte() != 0, d.optional()
		default:
			d.bad = true
		}
		g.entries = append(g.entries, e)
	}
	return g
}

// blockHead is what can be told of a block without inflating it.
type blockHead struct {
	first, count uint64     // numbers of the entries
	low, high    facts.Time // received times
	sections     uint64     // bit set of section numbers; numbers from 63 on share the highest bit
	form         byte
	body         []byte
}

func sectionBit(id facts.ID) uint64 { return 1 << min(id, 63) }

func (h blockHead) last() uint64 { return h.first + h.count - 1 }

func (h blockHead) encode() []byte {
	v := binary.AppendUvarint(nil, h.count)
	v = binary.AppendVarint(v, int64(h.low))
	v = binary.AppendVarint(v, int64(h.high))
	v = binary.BigEndian.AppendUint64(v, h.sections)
	return append(append(v, h.form), h.body...)
}

func readBlockHead(key, v []byte) (blockHead, error) {
	d := decoder{b: v}
	h := blockHead{count: d.uvarint(), low: facts.Time(d.varint()), high: facts.Time(d.varint()), sections: d.uint64(), form: d.byte(), body: d.b}
	if d.bad || len(key) != 8 || h.count == 0 {
		return h, &CorruptError{Table: tableChanges, Key: append([]byte(nil), key...), Detail: "not decodable"}
	}
	h.first = binary.BigEndian.Uint64(key)
	return h, nil
}

// groups inflates and decodes a block. The entries are copies.
func (h blockHead) groups(c *codec) ([]group, error) {
	broken := func(detail string) ([]group, error) {
		return nil, &CorruptError{Table: tableChanges, Key: blockKey(h.first), Detail: detail}
	}
	p, err := c.unpack(append([]byte{h.form}, h.body...))
	if err != nil {
		return broken(err.Error())
	}
	d := decoder{b: p}
	var out []group
	next := h.first
	for len(d.b) > 0 && !d.bad {
		g := d.group(next)
		next += uint64(len(g.entries))
		out = append(out, g)
	}
	if d.bad || next != h.first+h.count {
		return broken("not decodable")
	}
	return out, nil
}

func blockKey(first uint64) []byte { return binary.BigEndian.AppendUint64(nil, first) }

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
		if len(tail.body) >= blockBytes {
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
		if last.form == formPlain && len(last.body) < blockBytes && last.last()+1 == first {
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

// seal compresses a block that is full.
func (tx *Tx) seal(h blockHead) error {
	if z := tx.store.codec.zip.EncodeAll(h.body, nil); len(z) < len(h.body) {
		h.form, h.body = formZstd, z
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
	n := 0
	return tx.groupsAfter(after, func(g group) error {
		host, _, err := tx.HostByIndex(g.host)
		if err != nil {
			return err
		}
		for i := range g.entries {
			if g.first+uint64(i) <= after {
				continue
			}
			if limit > 0 && n == limit {
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
	})
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

// appendBytes appends a length plus one and the bytes; zero is nil.
func appendBytes(p, v []byte) []byte {
	if v == nil {
		return binary.AppendUvarint(p, 0)
	}
	p = binary.AppendUvarint(p, uint64(len(v))+1)
	return append(p, v...)
}

// optional reads what appendBytes wrote.
func (d *decoder) optional() []byte {
	n := d.uvarint()
	if n == 0 {
		return nil
	}
	return d.take(n - 1)
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
