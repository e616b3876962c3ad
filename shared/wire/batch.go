package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/fxamacker/cbor/v2"

	"atalaya/shared/metric"
)

// envelope is a batch as CBOR, on the wire and in spools. They differ in the form of
// the metric frames alone: key 6 is relative to a connection, key 9 absolute.
type envelope struct {
	Epoch    uint64          `cbor:"1,keyasint,omitempty"`
	Seq      uint64          `cbor:"2,keyasint,omitempty"`
	Kind     Kind            `cbor:"3,keyasint,omitempty"`
	At       int64           `cbor:"4,keyasint,omitempty"`
	Checksum uint32          `cbor:"5,keyasint,omitempty"`
	Metrics  []byte          `cbor:"6,keyasint,omitempty"`  // see MetricEncoder
	Updates  cbor.RawMessage `cbor:"7,keyasint,omitempty"`  // []SectionUpdate
	Losses   cbor.RawMessage `cbor:"8,keyasint,omitempty"`  // []Loss
	Stored   []byte          `cbor:"9,keyasint,omitempty"`  // see AppendStored
	Told     []byte          `cbor:"10,keyasint,omitempty"` // updates that repeat others, see told.go
}

// AppendBatch appends the payload of a Batch message. Frames and updates are encoded
// relative to what enc has sent before; enc may be nil on a stream without metrics.
// After ErrMalformed enc is unchanged; after ErrTooLarge it is of no more use. Either
// way the batch can never be sent.
func AppendBatch(dst []byte, b *Batch, enc *MetricEncoder) ([]byte, error) {
	if err := b.check(); err != nil {
		return dst, err
	}
	e := b.head()
	if len(b.Frames) > 0 {
		if enc == nil {
			return dst, fmt.Errorf("%w: metrics on a stream without them", ErrMalformed)
		}
		var err error
		if e.Metrics, err = enc.append(nil, b); err != nil {
			return dst, err
		}
	}
	updates := b.cleanedUpdates()
	if enc != nil {
		updates, e.Told = enc.repeated(updates, b.At)
	}
	e.lists(updates, b.Losses)
	return e.append(dst)
}

// DecodeBatch is the inverse of AppendBatch; with a nil dec it refuses metrics. The
// batch shares no memory with the payload. After an error dec is of no more use: the
// connection must end.
func DecodeBatch(payload []byte, dec *MetricDecoder) (*Batch, error) {
	b, e, err := decodeEnvelope(payload)
	if err != nil {
		return nil, err
	}
	if len(e.Stored) > 0 {
		return nil, fmt.Errorf("%w: a spool's frames in a batch", ErrMalformed)
	}
	if dec == nil {
		if len(e.Metrics) > 0 || len(e.Told) > 0 {
			return nil, fmt.Errorf("%w: metrics on a stream without them", ErrMalformed)
		}
		return b, nil
	}
	if b.Updates, err = dec.repeat(b.Updates, e.Told, b.At); err != nil {
		return nil, err
	}
	if len(e.Metrics) > 0 {
		if b.Frames, err = dec.decode(e.Metrics, b.At); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// AppendStored appends the batch in the form that a spool keeps: it needs nothing
// but the agent's dictionary to be understood.
func AppendStored(dst []byte, b *Batch) ([]byte, error) {
	if err := b.check(); err != nil {
		return dst, err
	}
	e := b.head()
	e.lists(b.cleanedUpdates(), b.Losses)
	e.Stored = appendStoredFrames(nil, b)
	return e.append(dst)
}

// DecodeStored is the inverse of AppendStored. The batch shares no memory with the data.
func DecodeStored(data []byte) (*Batch, error) {
	b, e, err := decodeEnvelope(data)
	if err != nil {
		return nil, err
	}
	if len(e.Metrics) > 0 || len(e.Told) > 0 {
		return nil, fmt.Errorf("%w: what is relative to a connection in a spool", ErrMalformed)
	}
	if b.Frames, err = decodeStoredFrames(e.Stored, b.At); err != nil {
		return nil, err
	}
	return b, nil
}

// check refuses what the decoders would refuse, so that a batch that was accepted
// into a spool can be delivered.
func (b *Batch) check() error {
	if b.Kind != KindMetrics && b.Kind != KindInventory {
		return fmt.Errorf("%w: batch of unknown kind %d", ErrMalformed, b.Kind)
	}
	samples := 0
	for _, f := range b.Frames {
		samples += len(f.Samples)
		for i, s := range f.Samples {
			if s.Series >= MaxSeries || i > 0 && s.Series <= f.Samples[i-1].Series {
				return fmt.Errorf("%w: series number %d out of order or range", ErrMalformed, s.Series)
			}
		}
	}
	rows := 0
	for i := range b.Updates {
		if err := b.Updates[i].check(); err != nil {
			return err
		}
		rows += len(b.Updates[i].Put) + len(b.Updates[i].Removed)
	}
	return within("batch", field{"updates", len(b.Updates), MaxUpdates}, field{"losses", len(b.Losses), MaxLosses},
		field{"frames", len(b.Frames), MaxFrames}, field{"samples", samples, MaxSamples}, field{"rows", rows, maxRows})
}

// maxRows keeps the rows of one batch clear of maxItems.
const maxRows = maxItems / 2

// Rows returns how many bytes the batch has in rows and keys.
func (b *Batch) Rows() int {
	n := 0
	for i := range b.Updates {
		for _, p := range b.Updates[i].Put {
			n += len(p)
		}
		for _, k := range b.Updates[i].Removed {
			n += len(k)
		}
	}
	return n
}

func (u *SectionUpdate) check() error {
	row, key := 0, 0
	for _, p := range u.Put {
		row = max(row, len(p))
	}
	for _, k := range u.Removed {
		key = max(key, len(k))
	}
	return within("section "+u.Section.String(), field{"row", row, MaxRow}, field{"key", key, MaxKey})
}

func (b *Batch) head() envelope {
	return envelope{Epoch: b.Epoch, Seq: b.Seq, Kind: b.Kind, At: b.At, Checksum: b.Checksum}
}

// cleanedUpdates returns the updates with their text as it travels.
func (b *Batch) cleanedUpdates() []SectionUpdate {
	updates := make([]SectionUpdate, len(b.Updates))
	for i, u := range b.Updates {
		updates[i] = u.cleaned()
	}
	return updates
}

func (e *envelope) lists(updates []SectionUpdate, losses []Loss) {
	if len(updates) > 0 {
		e.Updates = marshal(nil, updates)
	}
	if len(losses) > 0 {
		cleaned := make([]Loss, len(losses))
		for i, l := range losses {
			l.Reason = clean(l.Reason, MaxText)
			cleaned[i] = l
		}
		e.Losses = marshal(nil, cleaned)
	}
}

// cleaned returns the update with its text as it travels.
func (u SectionUpdate) cleaned() SectionUpdate {
	u.Reason = clean(u.Reason, MaxText)
	var removed []string
	for i, k := range u.Removed {
		if c := clean(k, MaxKey); c != k {
			if removed == nil {
				removed = append(removed, u.Removed...)
			}
			removed[i] = c
		}
	}
	if removed != nil {
		u.Removed = removed
	}
	return u
}

func (e *envelope) append(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = marshal(dst, e)
	if n := len(dst) - start; n > MaxInflated {
		return dst[:start], fmt.Errorf("%w: batch of %d bytes, limit %d", ErrTooLarge, n, MaxInflated)
	}
	return dst, nil
}

func decodeEnvelope(data []byte) (*Batch, *envelope, error) {
	if len(data) > MaxInflated {
		return nil, nil, fmt.Errorf("%w: batch of %d bytes, limit %d", ErrTooLarge, len(data), MaxInflated)
	}
	var e envelope
	if err := unmarshal(data, &e); err != nil {
		return nil, nil, fmt.Errorf("batch: %w", err)
	}
	b := &Batch{Epoch: e.Epoch, Seq: e.Seq, Kind: e.Kind, At: e.At, Checksum: e.Checksum}
	if err := unmarshalList(e.Updates, &b.Updates, MaxUpdates, "updates"); err != nil {
		return nil, nil, err
	}
	if err := unmarshalList(e.Losses, &b.Losses, MaxLosses, "losses"); err != nil {
		return nil, nil, err
	}
	if err := b.check(); err != nil {
		return nil, nil, err
	}
	if err := b.checkReasons(); err != nil {
		return nil, nil, err
	}
	return b, &e, nil
}

// checkReasons is for decoded batches alone: encoders cut reasons.
func (b *Batch) checkReasons() error {
	longest := 0
	for _, u := range b.Updates {
		longest = max(longest, len(u.Reason))
	}
	for _, l := range b.Losses {
		longest = max(longest, len(l.Reason))
	}
	return within("batch", field{"reason", longest, MaxText})
}

// unmarshalList decodes an array of structs after checking how many there are: an
// empty struct is one byte of input and more than a hundred of memory.
func unmarshalList[E any](raw cbor.RawMessage, into *[]E, limit int, what string) error {
	if len(raw) == 0 {
		return nil
	}
	major, count, _ := cborHead(raw)
	if major != majorArray {
		return fmt.Errorf("%w: %s are no array", ErrMalformed, what)
	}
	if count > uint64(limit) {
		return fmt.Errorf("%w: %d %s, limit %d", ErrTooLarge, count, what, limit)
	}
	if err := decMode.Unmarshal(raw, into); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
	}
	return nil
}

// castagnoli is CRC-32C, which has an instruction on amd64 and arm64.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the CRC-32C over the content of the batch: kind, time, frames (times,
// series numbers, bits of the values), updates and losses. The name (epoch and
// sequence number) is not part of it: a spool may rename what it holds. The sum is
// set when the batch enters the spool and verified by the collector after decoding,
// so that it covers disk, memory and both codecs.
func (b *Batch) Sum() uint32 {
	s := summer{}
	s.number(uint64(b.Kind))
	s.number(uint64(b.At))
	s.number(uint64(len(b.Frames)))
	for _, f := range b.Frames {
		s.number(uint64(f.At))
		s.number(uint64(len(f.Samples)))
		for _, sample := range f.Samples {
			s.sample(sample)
		}
	}
	s.number(uint64(len(b.Updates)))
	for _, u := range b.Updates {
		s.update(u.cleaned())
	}
	s.number(uint64(len(b.Losses)))
	for _, l := range b.Losses {
		for _, n := range [...]uint64{l.FromSeq, l.ToSeq, uint64(l.FromAt), uint64(l.ToAt), uint64(l.Kind), l.Batches} {
			s.number(n)
		}
		s.text(clean(l.Reason, MaxText))
	}
	return s.sum()
}

// Verify reports whether the content is what the agent put into its spool.
func (b *Batch) Verify() bool { return b.Checksum == b.Sum() }

func (s *summer) update(u SectionUpdate) {
	full := uint64(0)
	if u.Full {
		full = 1
	}
	for _, n := range [...]uint64{uint64(u.Section), uint64(u.Status), uint64(u.At), uint64(u.Digest), full} {
		s.number(n)
	}
	s.text(u.Reason)
	s.number(uint64(len(u.Put)))
	for _, p := range u.Put {
		s.bytes(p)
	}
	s.number(uint64(len(u.Removed)))
	for _, k := range u.Removed {
		s.text(k)
	}
}

// summer feeds a CRC in pieces large enough for the fast path of hash/crc32.
type summer struct {
	crc uint32
	n   int
	buf [512]byte
}

func (s *summer) room(n int) {
	if s.n+n > len(s.buf) {
		s.crc = crc32.Update(s.crc, castagnoli, s.buf[:s.n])
		s.n = 0
	}
}

func (s *summer) number(v uint64) {
	s.room(8)
	binary.LittleEndian.PutUint64(s.buf[s.n:], v)
	s.n += 8
}

func (s *summer) sample(v metric.Sample) {
	s.room(12)
	binary.LittleEndian.PutUint32(s.buf[s.n:], v.Series)
	binary.LittleEndian.PutUint64(s.buf[s.n+4:], math.Float64bits(v.Value))
	s.n += 12
}

func (s *summer) bytes(b []byte) {
	s.number(uint64(len(b)))
	for len(b) > 0 {
		s.room(1)
		n := copy(s.buf[s.n:], b)
		s.n += n
		b = b[n:]
	}
}

func (s *summer) text(t string) {
	s.number(uint64(len(t)))
	for len(t) > 0 {
		s.room(1)
		n := copy(s.buf[s.n:], t)
		s.n += n
		t = t[n:]
	}
}

func (s *summer) sum() uint32 { return crc32.Update(s.crc, castagnoli, s.buf[:s.n]) }
