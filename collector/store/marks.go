package store

import (
	"encoding/binary"
	"slices"
)

// Limits of what is remembered about the batches of a host.
const (
	// maxEpochs: an agent starts a new epoch when its spool is lost or set back. The
	// one in use and a few before it cover machines that share a key for a while.
	maxEpochs = 4
	// recentSums is how many checksums of batches up to the high mark are kept: an
	// agent has at most 64 batches in flight, so only those can come twice in the
	// normal course of things.
	recentSums = 64
	// maxAbove is how many batches above a gap are kept apart. A gap that stays open
	// longer was left by batches the agent dropped.
	maxAbove = 1024
)

// marks are the batches known of one host, the epoch used last first.
type marks []epochMark

// epochMark is what is known of one sequence of batches: all up to high, and those of
// above.
type epochMark struct {
	epoch  uint64
	high   uint64
	recent []uint32 // checksums of the batches high-len(recent)+1 to high; 0: never came
	above  []mark   // ascending by seq, all greater than high+1
}

type mark struct {
	seq uint64
	sum uint32
}

// of returns the mark of an epoch.
func (m marks) of(epoch uint64) epochMark {
	for _, e := range m {
		if e.epoch == epoch {
			return e
		}
	}
	return epochMark{epoch: epoch}
}

// with returns the marks with e as the newest.
func (m marks) with(e epochMark) marks {
	out := marks{e}
	for _, o := range m {
		if o.epoch != e.epoch && len(out) < maxEpochs {
			out = append(out, o)
		}
	}
	return out
}

// seenState is what is known of a batch number.
type seenState uint8

const (
	seenNever seenState = iota
	seenSame            // with this content, or too long ago to tell
	seenOther           // with other content
)

// look tells whether the batch is known.
func (e *epochMark) look(seq uint64, sum uint32) seenState {
	known, ok := uint32(0), false
	if seq <= e.high {
		if back := e.high - seq; back < uint64(len(e.recent)) {
			known = e.recent[uint64(len(e.recent))-1-back]
			ok = known != 0
		}
		if !ok {
			return seenSame
		}
	} else {
		i, found := slices.BinarySearchFunc(e.above, seq, func(m mark, s uint64) int {
			switch {
			case m.seq < s:
				return -1
			case m.seq > s:
				return 1
			}
			return 0
		})
		if !found {
			return seenNever
		}
		known = e.above[i].sum
	}
	if known != sum {
		return seenOther
	}
	return seenSame
}

// add notes a batch that was not known.
func (e *epochMark) add(seq uint64, sum uint32) {
	i := 0
	for i < len(e.above) && e.above[i].seq < seq {
		i++
	}
	e.above = slices.Insert(e.above, i, mark{seq, sum})
	for len(e.above) > 0 && (e.above[0].seq == e.high+1 || len(e.above) > maxAbove) {
		e.raise(e.above[0])
		e.above = e.above[1:]
	}
}

// raise moves the high mark to m; the numbers between are given up.
func (e *epochMark) raise(m mark) {
	gap := min(m.seq-e.high-1, recentSums)
	e.recent = append(e.recent, make([]uint32, gap)...)
	e.recent = append(e.recent, m.sum)
	if n := len(e.recent) - recentSums; n > 0 {
		e.recent = e.recent[n:]
	}
	e.high = m.seq
}

// marks reads what is known of the batches of a host.
func (tx *Tx) marks(index uint32) (marks, error) {
	key := indexKey(index)
	v, err := tx.Table(tableMarks).Get(key)
	if err != nil || v == nil {
		return nil, err
	}
	m, ok := decodeMarks(v)
	if !ok {
		return nil, &CorruptError{Table: tableMarks, Key: key, Detail: "not decodable"}
	}
	return m, nil
}

func (tx *Tx) putMarks(index uint32, m marks) error {
	return tx.Table(tableMarks).Put(indexKey(index), m.encode())
}

// encode gives for each epoch: number, high, count and checksums of recent, count of
// above with the distance to the number before and checksum of each.
func (m marks) encode() []byte {
	var b []byte
	for _, e := range m {
		b = binary.BigEndian.AppendUint64(b, e.epoch)
		b = binary.AppendUvarint(b, e.high)
		b = binary.AppendUvarint(b, uint64(len(e.recent)))
		for _, sum := range e.recent {
			b = binary.BigEndian.AppendUint32(b, sum)
		}
		b = binary.AppendUvarint(b, uint64(len(e.above)))
		last := e.high
		for _, a := range e.above {
			b = binary.AppendUvarint(b, a.seq-last)
			b = binary.BigEndian.AppendUint32(b, a.sum)
			last = a.seq
		}
	}
	return b
}

func decodeMarks(v []byte) (m marks, ok bool) {
	d := decoder{b: v}
	for len(d.b) > 0 && !d.bad {
		e := epochMark{epoch: d.uint64(), high: d.uvarint()}
		for range d.count(recentSums) {
			e.recent = append(e.recent, d.uint32())
		}
		last := e.high
		for range d.count(maxAbove) {
			last += d.uvarint()
			e.above = append(e.above, mark{last, d.uint32()})
		}
		m = append(m, e)
	}
	return m, !d.bad
}

// decoder reads the binary records of this package; bad is set once something is
// missing, and from then on it returns zeros.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n uint64) []byte {
	if d.bad || n > uint64(len(d.b)) {
		d.bad = true
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if v := d.take(1); v != nil {
		return v[0]
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if v := d.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if v := d.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if d.bad || n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of things and refuses one above limit.
func (d *decoder) count(limit uint64) uint64 {
	n := d.uvarint()
	if n > limit {
		d.bad = true
	}
	if d.bad {
		return 0
	}
	return n
}

// bytes reads a length and that many bytes, which stay part of the input.
func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }
