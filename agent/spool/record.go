package spool

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// The records of the file. Each value is sealed: a CRC-32C over table, key and
// payload stands before the payload, for bbolt notices no damage inside its pages.
// Numbers are uvarints, strings have their length before them, keys are big endian.
//
//	meta     "state"        version, epoch, first key, next key
//	meta     "losses"       count, then each loss
//	batches  key u64        wire.AppendStored
//	series   number u32     kind, decimals, name, count, then name and value of each label
//	sections section u16    flags, status, digest u64, at, reason
//	rows     section u16, key of the row      key of the row, encoded row

// table is a top-level bucket of the file.
type table string

const (
	tableMeta     table = "meta"
	tableBatches  table = "batches"
	tableSeries   table = "series"
	tableSections table = "sections"
	tableRows     table = "rows"
)

var tables = []table{tableMeta, tableBatches, tableSeries, tableSections, tableRows}

// formatVersion is the version of the layout above.
const formatVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sealSize = 4

func checksum(t table, key, payload []byte) uint32 {
	sum := crc32.Update(0, castagnoli, []byte(t))
	sum = crc32.Update(sum, castagnoli, key)
	return crc32.Update(sum, castagnoli, payload)
}

// seal fills in the checksum of value, whose first sealSize bytes are kept for it.
func seal(t table, key, value []byte) []byte {
	binary.LittleEndian.PutUint32(value, checksum(t, key, value[sealSize:]))
	return value
}

// unseal returns the payload, which is valid as long as value is.
func unseal(t table, key, value []byte) ([]byte, error) {
	if len(value) < sealSize || binary.LittleEndian.Uint32(value) != checksum(t, key, value[sealSize:]) {
		return nil, damaged("record %x in %s", key, t)
	}
	return value[sealSize:], nil
}

func batchKey(n uint64) []byte      { return binary.BigEndian.AppendUint64(nil, n) }
func seriesKey(n uint32) []byte     { return binary.BigEndian.AppendUint32(nil, n) }
func sectionKey(id facts.ID) []byte { return binary.BigEndian.AppendUint16(nil, uint16(id)) }

// maxRowKey is how much of a row's key stands in the key of its record; bbolt takes
// 32 KiB at most. Longer ones end in their hash, the record holds them whole.
const maxRowKey = 512

func rowKey(id facts.ID, key string) []byte {
	k := sectionKey(id)
	if len(key) <= maxRowKey {
		return append(k, key...)
	}
	sum := sha256.Sum256([]byte(key))
	return append(append(k, key[:maxRowKey]...), sum[:]...)
}

// reader takes numbers and strings off a payload; bad stays set after the first that
// is not there.
type reader struct {
	data []byte
	bad  bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) string() string {
	n := r.uint()
	if n > uint64(len(r.data)) {
		r.bad, r.data = true, nil
		return ""
	}
	s := string(r.data[:n])
	r.data = r.data[n:]
	return s
}

func (r *reader) err(what string) error {
	if r.bad {
		return damaged("%s record cut", what)
	}
	return nil
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// state is where the numbering stands. A batch has a key that only grows; its number
// on the wire is key-first, so that a new epoch starts from 1 without a rewrite.
type state struct {
	epoch uint64
	first uint64 // key of number 0, which no batch has
	next  uint64 // key of the next batch
}

func (s state) encode() []byte {
	b := make([]byte, sealSize, 40)
	for _, v := range []uint64{formatVersion, s.epoch, s.first, s.next} {
		b = binary.AppendUvarint(b, v)
	}
	return b
}

func decodeState(payload []byte) (state, error) {
	r := reader{data: payload}
	version := r.uint()
	s := state{epoch: r.uint(), first: r.uint(), next: r.uint()}
	if !r.bad && version != formatVersion {
		return s, damaged("format %d, this program reads %d", version, formatVersion)
	}
	if !r.bad && s.next <= s.first {
		return s, damaged("next key %d, first %d", s.next, s.first)
	}
	return s, r.err("state")
}

// loss is a wire.Loss with the key of the batch that carries it to the collector;
// 0: none yet.
type loss struct {
	wire.Loss
	carrier uint64
}

func encodeLosses(losses []loss) []byte {
	b := binary.AppendUvarint(make([]byte, sealSize), uint64(len(losses)))
	for _, l := range losses {
		for _, v := range []uint64{l.FromSeq, l.ToSeq, uint64(l.FromAt), uint64(l.ToAt), uint64(l.Kind), l.Batches, l.carrier} {
			b = binary.AppendUvarint(b, v)
		}
		b = appendString(b, l.Reason)
	}
	return b
}

func decodeLosses(payload []byte) ([]loss, error) {
	r := reader{data: payload}
	var losses []loss
	for range min(r.uint(), maxLosses) {
		var l loss
		l.FromSeq, l.ToSeq, l.FromAt, l.ToAt = r.uint(), r.uint(), int64(r.uint()), int64(r.uint())
		l.Kind, l.Batches, l.carrier = wire.Kind(r.uint()), r.uint(), r.uint()
		l.Reason = r.string()
		losses = append(losses, l)
	}
	return losses, r.err("losses")
}

func encodeSeries(s metric.Series) []byte {
	b := make([]byte, sealSize, 64)
	b = binary.AppendUvarint(b, uint64(s.Kind))
	b = binary.AppendUvarint(b, uint64(s.Decimals))
	b = appendString(b, s.Name)
	b = binary.AppendUvarint(b, uint64(len(s.Labels)))
	for _, l := range s.Labels {
		b = appendString(appendString(b, l.Name), l.Value)
	}
	return b
}

func decodeSeries(payload []byte) (metric.Series, error) {
	r := reader{data: payload}
	s := metric.Series{Kind: metric.Kind(r.uint()), Decimals: uint8(r.uint()), Name: r.string()}
	// A label takes two bytes at least.
	for range min(r.uint(), uint64(len(r.data))/2) {
		s.Labels = append(s.Labels, metric.Label{Name: r.string(), Value: r.string()})
	}
	return s, r.err("series")
}

// section is what the spool knows of a section beside its rows.
type section struct {
	whole  bool // the collector was sent all rows once
	resend bool // it must be sent all rows again
	digest facts.Digest
	status facts.Status
	reason string
	at     facts.Time
	// fullKey is the key of the latest batch with all rows. It is not stored: after a
	// restart one resend more does no harm.
	fullKey uint64
	// revision of the rows, from the reading that they came with. It is not stored:
	// revisions count within one process.
	revision uint64
}

func (s section) encode() []byte {
	var flags uint64
	if s.whole {
		flags |= 1
	}
	if s.resend {
		flags |= 2
	}
	b := binary.AppendUvarint(make([]byte, sealSize, 48), flags)
	b = binary.AppendUvarint(b, uint64(s.status))
	b = binary.AppendUvarint(b, uint64(s.digest))
	b = binary.AppendUvarint(b, uint64(s.at))
	return appendString(b, s.reason)
}

func decodeSection(payload []byte) (section, error) {
	r := reader{data: payload}
	flags := r.uint()
	s := section{whole: flags&1 != 0, resend: flags&2 != 0, status: facts.Status(r.uint()), digest: facts.Digest(r.uint()), at: facts.Time(r.uint()), reason: r.string()}
	return s, r.err("section")
}

func encodeRow(it facts.Item) []byte {
	b := make([]byte, sealSize, sealSize+len(it.Key)+len(it.Data)+2)
	return append(appendString(b, it.Key), it.Data...)
}

func decodeRow(payload []byte) (facts.Item, error) {
	r := reader{data: payload}
	it := facts.Item{Key: r.string()}
	it.Data = append([]byte(nil), r.data...)
	return it, r.err("row")
}
