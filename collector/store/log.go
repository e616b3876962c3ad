package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"

	"github.com/klauspost/compress/zstd"
)

// The change log is stored in blocks: the changes of one batch of one host, at most
// blockChanges of them and about blockBytes long, compressed together. A first
// inventory of 1,500 rows so takes a fifth of the bytes and a fraction of the puts.
const (
	// blockChanges bounds what has to be inflated to see one change.
	blockChanges = 256
	blockBytes   = 256 << 10
	// maxBlock bounds what is inflated: blockBytes and one more change of the largest rows.
	maxBlock = 8 << 20
	// minZip is the length from which compression is tried.
	minZip = 256
)

// How the payload of a block is stored.
const (
	blockPlain = 0
	blockZstd  = 1
)

// block is a run of changes of one host from one batch.
type block struct {
	host            identity.HostID
	received        time.Time
	epoch, batchSeq uint64
	changes         []Change // ascending by Seq; their Host, Received, Epoch and BatchSeq are the block's
}

// span is what the index by host says of a block.
type span struct {
	first    uint64
	last     uint64
	received time.Time
	sections uint64 // bit set of section numbers; numbers from 63 on share the highest bit
}

func sectionBit(id facts.ID) uint64 { return 1 << min(id, 63) }

// codec compresses blocks; it is safe for use by several goroutines.
type codec struct {
	zip   *zstd.Encoder
	unzip *zstd.Decoder
}

func newCodec() (*codec, error) {
	zip, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	unzip, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		return nil, err
	}
	return &codec{zip, unzip}, nil
}

// encode gives form byte, then for each change: distance to the number before,
// section, kind, observed relative to received, key, old and new as the kind has
// them; before the changes host, received, epoch, batch.
func (c *codec) encode(b block) []byte {
	p := append([]byte(nil), b.host[:]...)
	received := int64(facts.TimeOf(b.received))
	p = binary.AppendVarint(p, received)
	p = binary.BigEndian.AppendUint64(p, b.epoch)
	p = binary.AppendUvarint(p, b.batchSeq)
	p = binary.AppendUvarint(p, uint64(len(b.changes)))
	last := uint64(0)
	for _, ch := range b.changes {
		p = binary.AppendUvarint(p, ch.Seq-last)
		last = ch.Seq
		p = binary.AppendUvarint(p, uint64(ch.Section))
		p = append(p, byte(ch.Kind))
		p = binary.AppendVarint(p, int64(facts.TimeOf(ch.Observed))-received)
		p = appendBytes(p, []byte(ch.Key))
		p = appendBytes(p, ch.Old)
		p = appendBytes(p, ch.New)
	}
	if len(p) >= minZip {
		if z := c.zip.EncodeAll(p, []byte{blockZstd}); len(z) <= len(p) {
			return z
		}
	}
	return append([]byte{blockPlain}, p...)
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

// decode is the inverse of encode. The rows are copies.
func (c *codec) decode(key, v []byte) (block, error) {
	broken := func(detail string) (block, error) {
		return block{}, &CorruptError{Table: tableChanges, Key: append([]byte(nil), key...), Detail: detail}
	}
	if len(v) == 0 {
		return broken("empty block")
	}
	p := append([]byte(nil), v[1:]...)
	if v[0] == blockZstd {
		var err error
		if p, err = c.unzip.DecodeAll(v[1:], nil); err != nil {
			return broken(err.Error())
		}
	}
	d := decoder{b: p}
	var b block
	copy(b.host[:], d.take(uint64(len(b.host))))
	received := d.varint()
	b.received = facts.Time(received).Time()
	b.epoch, b.batchSeq = d.uint64(), d.uvarint()
	n := d.count(blockChanges)
	b.changes = make([]Change, 0, n)
	last := uint64(0)
	for range n {
		last += d.uvarint()
		b.changes = append(b.changes, Change{
			Seq: last, Host: b.host, Section: facts.ID(d.uvarint()), Kind: ChangeKind(d.byte()),
			Observed: facts.Time(d.varint() + received).Time(), Key: string(d.optional()), Old: d.optional(), New: d.optional(),
			Received: b.received, Epoch: b.epoch, BatchSeq: b.batchSeq,
		})
	}
	if d.bad || len(d.b) > 0 {
		return broken("not decodable")
	}
	return b, nil
}

// reserve gives n new change numbers and returns the first.
func (tx *Tx) reserve(n int) (uint64, error) {
	if tx.lastChange == 0 {
		last, err := tx.meta(metaLastChange)
		if err != nil {
			return 0, err
		}
		tx.lastChange = last
	}
	first := tx.lastChange + 1
	tx.lastChange += uint64(n)
	return first, tx.putMeta(metaLastChange, tx.lastChange)
}

// logChanges adds the changes, which have their numbers, to the log.
func (tx *Tx) logChanges(index uint32, b block) error {
	for changes := b.changes; len(changes) > 0; {
		n, bytes := 0, 0
		for n < len(changes) && n < blockChanges && bytes < blockBytes {
			bytes += len(changes[n].Key) + len(changes[n].Old) + len(changes[n].New)
			n++
		}
		b.changes, changes = changes[:n], changes[n:]
		if err := tx.putBlock(index, b.changes[0].Seq, b); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) putBlock(index uint32, first uint64, b block) error {
	key := binary.BigEndian.AppendUint64(nil, first)
	if err := tx.Table(tableChanges).Put(key, tx.store.codec.encode(b)); err != nil {
		return err
	}
	v := binary.AppendUvarint(nil, b.changes[len(b.changes)-1].Seq)
	v = binary.AppendVarint(v, int64(facts.TimeOf(b.received)))
	var sections uint64
	for _, c := range b.changes {
		sections |= sectionBit(c.Section)
	}
	v = binary.BigEndian.AppendUint64(v, sections)
	return tx.Table(tableByHost).Put(append(indexKey(index), key...), v)
}

func (tx *Tx) dropBlock(index uint32, first uint64) error {
	key := binary.BigEndian.AppendUint64(nil, first)
	if err := tx.Table(tableChanges).Delete(key); err != nil {
		return err
	}
	return tx.Table(tableByHost).Delete(append(indexKey(index), key...))
}

// LastChange returns the number of the newest change, 0 when there is none.
func (tx *Tx) LastChange() (uint64, error) { return tx.meta(metaLastChange) }

// HistoryFrom returns the moment from which on the log is complete: what Prune left
// of older changes only leads to the current state. Zero: from the beginning.
func (tx *Tx) HistoryFrom() (time.Time, error) {
	ms, err := tx.meta(metaHistory)
	return facts.Time(ms).Time(), err
}

// Changes calls fn for the changes with numbers above after, in order; limit 0 is no
// limit. ErrStop ends it early. fn may keep the change.
func (tx *Tx) Changes(after uint64, limit int, fn func(Change) error) error {
	start, err := tx.blockOf(after + 1)
	if err != nil {
		return err
	}
	n := 0
	return tx.Table(tableChanges).ScanFrom(nil, start, func(k, v []byte) error {
		b, err := tx.store.codec.decode(k, v)
		if err != nil {
			return err
		}
		for _, c := range b.changes {
			if c.Seq <= after {
				continue
			}
			if limit > 0 && n == limit {
				return ErrStop
			}
			n++
			if err := fn(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// blockOf returns the key of the block in which the change lies or would lie.
func (tx *Tx) blockOf(seq uint64) (key []byte, err error) {
	key = binary.BigEndian.AppendUint64(nil, seq)
	err = tx.Table(tableChanges).ScanReverse(nil, binary.BigEndian.AppendUint64(nil, seq+1), func(k, _ []byte) error {
		key = append([]byte(nil), k...)
		return ErrStop
	})
	return key, err
}

// ChangeQuery selects changes of one host. The zero value selects all.
type ChangeQuery struct {
	After, Before uint64    // numbers greater and smaller; 0: no bound
	From, To      time.Time // received after From and not after To; zero: no bound
	Section       facts.ID  // 0: all
	Limit         int       // 0: none
	NewestFirst   bool
}

func (q ChangeQuery) spanFits(s span) bool {
	return (q.Section == 0 || s.sections&sectionBit(q.Section) != 0) &&
		s.last > q.After && (q.Before == 0 || s.first < q.Before) &&
		(q.From.IsZero() || s.received.After(q.From)) && (q.To.IsZero() || !s.received.After(q.To))
}

func (q ChangeQuery) fits(c Change) bool {
	return c.Seq > q.After && (q.Before == 0 || c.Seq < q.Before) && (q.Section == 0 || c.Section == q.Section)
}

// HostChanges calls fn for the changes of a host that q selects. ErrStop ends it early.
func (tx *Tx) HostChanges(id identity.HostID, q ChangeQuery, fn func(Change) error) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return err
	}
	n := 0
	return tx.spans(rec.Index, q.NewestFirst, func(s span) error {
		if !q.spanFits(s) {
			return nil
		}
		b, err := tx.block(s.first)
		if err != nil {
			return err
		}
		for i := range b.changes {
			c := b.changes[i]
			if q.NewestFirst {
				c = b.changes[len(b.changes)-1-i]
			}
			if !q.fits(c) {
				continue
			}
			if q.Limit > 0 && n == q.Limit {
				return ErrStop
			}
			n++
			if err := fn(c); err != nil {
				return err
			}
		}
		return nil
	})
}

// spans calls fn for the blocks of a host by number.
func (tx *Tx) spans(index uint32, newestFirst bool, fn func(span) error) error {
	prefix := indexKey(index)
	each := func(k, v []byte) error {
		d := decoder{b: v}
		s := span{last: d.uvarint(), received: facts.Time(d.varint()).Time(), sections: d.uint64()}
		if d.bad || len(k) != len(prefix)+8 {
			return &CorruptError{Table: tableByHost, Key: append([]byte(nil), k...), Detail: "not decodable"}
		}
		s.first = binary.BigEndian.Uint64(k[len(prefix):])
		return fn(s)
	}
	if newestFirst {
		return tx.Table(tableByHost).ScanReverse(prefix, nil, each)
	}
	return tx.Table(tableByHost).Scan(prefix, each)
}

func (tx *Tx) block(first uint64) (block, error) {
	key := binary.BigEndian.AppendUint64(nil, first)
	v, err := tx.Table(tableChanges).Get(key)
	if err != nil {
		return block{}, err
	}
	if v == nil {
		return block{}, &CorruptError{Table: tableChanges, Key: key, Detail: "block is missing"}
	}
	return tx.store.codec.decode(key, v)
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

// pruneBlocks is how many blocks one transaction of Prune looks at.
const pruneBlocks = 256

// Prune takes changes received before that moment out of the log, except those that
// made a row or a status what it is now: replaying the log still gives the current
// state exactly. It returns how many changes it took out.
func (s *Store) Prune(before time.Time) (int, error) {
	total, from := 0, uint64(0)
	for {
		n, next, err := 0, uint64(0), error(nil)
		err = s.Update(func(tx *Tx) error {
			n, next, err = tx.prune(before, from)
			return err
		})
		total += n
		if err != nil || next == 0 {
			return total, err
		}
		from = next
	}
}

// prune looks at some blocks from that number on and returns where to go on, 0 at the end.
func (tx *Tx) prune(before time.Time, from uint64) (dropped int, next uint64, err error) {
	unread, err := tx.slowestCursor()
	if err != nil {
		return 0, 0, err
	}
	type found struct {
		first uint64
		b     block
	}
	var blocks []found
	err = tx.Table(tableChanges).ScanFrom(nil, binary.BigEndian.AppendUint64(nil, from), func(k, v []byte) error {
		b, err := tx.store.codec.decode(k, v)
		if err != nil {
			return err
		}
		first := binary.BigEndian.Uint64(k)
		if !b.received.Before(before) || b.changes[len(b.changes)-1].Seq > unread {
			return ErrStop
		}
		if len(blocks) == pruneBlocks {
			next = first
			return ErrStop
		}
		blocks = append(blocks, found{first, b})
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	for _, f := range blocks {
		n, err := tx.pruneBlock(f.first, f.b)
		if err != nil {
			return 0, 0, err
		}
		dropped += n
	}
	if dropped == 0 {
		return 0, next, nil
	}
	history, err := tx.meta(metaHistory)
	if err != nil {
		return 0, 0, err
	}
	return dropped, next, tx.putMeta(metaHistory, max(history, uint64(facts.TimeOf(before))))
}

func (tx *Tx) pruneBlock(first uint64, b block) (dropped int, err error) {
	rec, ok, err := tx.hostRecord(b.host)
	if err != nil || !ok {
		return 0, errors.Join(err, fmt.Errorf("change %d: %w: %s", first, ErrUnknownHost, b.host))
	}
	states, err := tx.sections(rec.Index)
	if err != nil {
		return 0, err
	}
	var keep []Change
	for _, c := range b.changes {
		live, err := tx.live(rec.Index, states, c)
		if err != nil {
			return 0, err
		}
		if !live {
			dropped++
			continue
		}
		if c.Kind == Changed {
			c.Kind = Added
		}
		c.Old = nil
		keep = append(keep, c)
	}
	switch {
	case dropped == 0:
		return 0, nil
	case len(keep) == 0:
		return dropped, tx.dropBlock(rec.Index, first)
	}
	b.changes = keep
	return dropped, tx.putBlock(rec.Index, first, b)
}

// live reports whether the change made its row or status what it is now.
func (tx *Tx) live(index uint32, states []SectionState, c Change) (bool, error) {
	switch c.Kind {
	case Removed:
		return false, nil
	case StatusChanged:
		for _, s := range states {
			if s.Section == c.Section {
				return s.Since == c.Seq, nil
			}
		}
		return false, nil
	}
	_, since, err := tx.row(index, c.Section, c.Key)
	return since == c.Seq, err
}

func (tx *Tx) slowestCursor() (uint64, error) {
	slowest := ^uint64(0)
	err := tx.Table(tableCursors).Scan(nil, func(_, v []byte) error {
		if len(v) == 8 {
			slowest = min(slowest, binary.BigEndian.Uint64(v))
		}
		return nil
	})
	return slowest, err
}
