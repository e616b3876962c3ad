package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"atalaya/shared/facts"

	"github.com/klauspost/compress/zstd"
)

const (
	// minZip is the length from which compression is tried.
	minZip = 128
	// maxPacked bounds what one record is inflated to. The largest is a section with
	// as many rows as the limits of package wire let through.
	maxPacked = 1 << 30
)

// How a record is stored.
const (
	formPlain   = 0
	formZstd    = 1
	formColumns = 2 // of a block of the log: see packGroups
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
func (c *codec) unpack(v []byte) ([]byte, error) { return c.unpackInto(nil, v) }

// unpackInto appends to p what was packed.
func (c *codec) unpackInto(p, v []byte) ([]byte, error) {
	switch {
	case len(v) == 0:
		return nil, errors.New("empty record")
	case v[0] == formPlain:
		return append(p, v[1:]...), nil
	case v[0] == formZstd:
		return c.unzip.DecodeAll(v[1:], p)
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
			p = appendStatus(p, &e)
		}
	}
	return p
}

// appendStatus puts what an entry holds that is not about a row.
func appendStatus(p []byte, e *entry) []byte {
	p = appendBytes(appendBytes(p, e.was), e.is)
	p = append(binary.AppendUvarint(p, uint64(e.rows)), boolByte(e.lost))
	return appendBytes(p, e.content)
}

// status reads what appendStatus wrote.
func (d *decoder) status(e *entry) {
	e.was, e.is = d.optional(), d.optional()
	e.rows, e.lost, e.content = int(d.uvarint()), d.byte() != 0, d.optional()
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
			d.status(&e)
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
	r := blockReader{codec: c}
	return r.read(h)
}

// read inflates and decodes a block.
func (r *blockReader) read(h blockHead) ([]group, error) {
	groups, err := []group(nil), error(nil)
	if h.form == formColumns {
		groups, err = r.sealed(h.first, h.count, h.body)
	} else {
		groups, err = r.plain(h)
	}
	if err != nil {
		return nil, &CorruptError{Table: tableChanges, Key: blockKey(h.first), Detail: err.Error()}
	}
	return groups, nil
}

// plain reads groups as appendGroup puts them, one behind the other.
func (r *blockReader) plain(h blockHead) (out []group, err error) {
	p, err := r.codec.unpack(append([]byte{h.form}, h.body...))
	if err != nil {
		return nil, err
	}
	d := decoder{b: p}
	next := h.first
	for len(d.b) > 0 && !d.bad {
		g := d.group(next)
		next += uint64(len(g.entries))
		out = append(out, g)
	}
	if d.bad || next != h.first+h.count {
		return nil, errBlock
	}
	return out, nil
}

func blockKey(first uint64) []byte { return binary.BigEndian.AppendUint64(nil, first) }

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
