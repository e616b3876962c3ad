package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"

	"atalaya/shared/metric"
)

// The metric frames of a batch follow each other in one byte string. A frame is
//
//	time     zigzag varint, ms since the frame before (the first: since the batch's time)
//	flags    byte: 1 gone follows, 2 come follows, 4 gone runs follow, 8 come runs follow
//	gone     uvarint count; per series that is no longer present its position among
//	         those present, as the distance from the lowest one possible
//	come     uvarint count; per series that is present now and was not: uvarint
//	         distance of its number from the lowest one possible, times 2, plus 1
//	         when a definition follows
//	gone runs  uvarint count; per run of positions that follow each other uvarint
//	         distance of the first from the lowest one possible, uvarint how many less one
//	come runs  the same for numbers of series that are defined
//	changed  one bit per series present, ascending numbers, lowest bit first
//	values   one per bit set
//
// From version 2 on runs take the place of gone, and of come but for definitions: what
// is read once a minute comes and goes together.
//
// A definition is: kind (byte), decimals (byte), name, uvarint count of labels, and
// each label's name and value; strings are uvarint length and bytes.
//
// A value is a uvarint: zigzag of the difference to the series' last mantissa,
// shifted right by the series' scale; value = mantissa / 10^decimals. It is 0 for
// the two exceptions, told by the byte after it: 0, the 8 bytes of the float64
// follow, big-endian (the mantissa stays what it was); n > 0, the scale becomes n-1
// and a difference follows. The scale starts as the greatest of 0, 9, 10 and 12 by
// which the first mantissa can be shifted without loss, and only shrinks: byte
// counters move in sectors, kibibytes or pages.
const (
	flagGone     = 1
	flagCome     = 2
	flagGoneRuns = 4
	flagComeRuns = 8

	valueRaw     = 0 // after a zero: float64 bits follow
	valueRescale = 1 // after a zero: plus the new scale

	maxDecimals = 9       // nanoseconds
	maxMantissa = 1 << 53 // below it every integer is a float64
)

var pow10 = [maxDecimals + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9}

// scales are the shifts worth having: bytes, disk sectors, kibibytes, pages.
var scales = [...]uint8{12, 10, 9, 0}

// scaleOf returns the greatest scale that divides m.
func scaleOf(m int64) uint8 {
	zeros := uint8(bits.TrailingZeros64(uint64(m)))
	for _, s := range scales {
		if s <= zeros {
			return s
		}
	}
	return 0
}

// entry is what both ends of a connection know of a series.
type entry struct {
	bits     uint64 // of the last value
	mantissa int64  // of the last value that had one
	number   uint32
	decimals uint8
	scale    uint8
	scaled   bool // scale is set
}

// settle ends the sending of a mantissa.
func (e *entry) settle(m int64) {
	if !e.scaled {
		e.scale, e.scaled = scaleOf(m), true
	}
	e.mantissa = m
}

// connection is the state that both ends keep alike.
type connection struct {
	entries []entry
	slots   []uint32 // by series number: index in entries plus one, 0 when not defined
	live    []uint32 // indexes in entries of the series present in the last frame, by number
	told    []told   // by section: what the last update said, see told.go
}

func (c *connection) slot(number uint32) (uint32, bool) {
	if int(number) >= len(c.slots) || c.slots[number] == 0 {
		return 0, false
	}
	return c.slots[number] - 1, true
}

func (c *connection) define(number uint32, decimals uint8) uint32 {
	if need := int(number) + 1 - len(c.slots); need > 0 {
		c.slots = append(c.slots, make([]uint32, need)...)
	}
	c.entries = append(c.entries, entry{number: number, decimals: decimals})
	c.slots[number] = uint32(len(c.entries))
	return uint32(len(c.entries) - 1)
}

// MetricEncoder encodes the batches of one stream. What it sends depends on what
// it sent before: it is made with its stream and thrown away with it, and everything
// it appends must be sent, in order. Not safe for concurrent use.
type MetricEncoder struct {
	connection
	version uint
	series  []metric.Series
	gone    []uint32
	come    []uint32
}

// NewMetricEncoder returns the encoder of a new connection.
func NewMetricEncoder() *MetricEncoder { return new(MetricEncoder) }

// SetVersion tells the encoder which version the peers have agreed on. Before it is
// told it speaks the oldest.
func (e *MetricEncoder) SetVersion(version uint) { e.version = version }

// SetSeries tells the encoder the agent's dictionary: the index is the series
// number. A later call may only extend it. The encoder does not change it.
func (e *MetricEncoder) SetSeries(series []metric.Series) { e.series = series }

// append appends the frames of a batch. It fails only before anything changed.
func (e *MetricEncoder) append(dst []byte, b *Batch) ([]byte, error) {
	for _, f := range b.Frames {
		for _, s := range f.Samples {
			if _, known := e.slot(s.Series); known {
				continue
			}
			if int(s.Series) >= len(e.series) {
				return dst, fmt.Errorf("%w: series %d is not in the dictionary", ErrMalformed, s.Series)
			}
			if err := checkSeries(e.series[s.Series]); err != nil {
				return dst, err
			}
		}
	}
	at := b.At
	for _, f := range b.Frames {
		dst = binary.AppendVarint(dst, f.At-at)
		at = f.At
		dst = e.appendPresence(dst, f.Samples)
		dst = e.appendValues(dst, f.Samples)
	}
	return dst, nil
}

func (e *MetricEncoder) appendCome(dst []byte, number, lowest uint32) []byte {
	distance := uint64(number-lowest) << 1
	if _, known := e.slot(number); known {
		return binary.AppendUvarint(dst, distance)
	}
	s := e.series[number]
	decimals := min(s.Decimals, maxDecimals)
	e.define(number, decimals)
	dst = binary.AppendUvarint(dst, distance|1)
	dst = append(dst, byte(s.Kind), decimals)
	dst = appendString(dst, clean(s.Name, MaxLabel))
	dst = binary.AppendUvarint(dst, uint64(len(s.Labels)))
	for _, l := range s.Labels {
		dst = appendString(dst, l.Name)
		dst = appendString(dst, clean(l.Value, MaxLabel))
	}
	return dst
}

func (e *MetricEncoder) appendValues(dst []byte, samples []metric.Sample) []byte {
	bitmap := len(dst)
	for range (len(samples) + 7) / 8 {
		dst = append(dst, 0)
	}
	for i, s := range samples {
		entry := &e.entries[e.live[i]]
		if bits := math.Float64bits(s.Value); bits != entry.bits {
			entry.bits = bits
			dst[bitmap+i/8] |= 1 << (i % 8)
			dst = entry.appendValue(dst, s.Value)
		}
	}
	return dst
}

func (e *entry) appendValue(dst []byte, v float64) []byte {
	m, ok := mantissa(v, e.decimals)
	diff := m - e.mantissa
	if !ok || diff == 0 {
		dst = append(dst, 0, valueRaw)
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
	}
	if e.scaled && diff&(1<<e.scale-1) != 0 {
		e.scale = scaleOf(diff)
		dst = append(dst, 0, valueRescale+e.scale)
	}
	dst = binary.AppendVarint(dst, diff>>e.scale)
	e.settle(m)
	return dst
}

// mantissa returns m with m / 10^decimals == v, to the bit, where there is one.
func mantissa(v float64, decimals uint8) (m int64, ok bool) {
	scaled := v * pow10[decimals]
	if !(math.Abs(scaled) < maxMantissa) { // also when it is NaN
		return 0, false
	}
	m = int64(math.RoundToEven(scaled))
	return m, math.Float64bits(float64(m)/pow10[decimals]) == math.Float64bits(v)
}

// checkSeries refuses what the decoder would refuse.
func checkSeries(s metric.Series) error {
	if s.Name == "" || s.Kind > metric.Counter || len(s.Labels) > MaxLabels {
		return fmt.Errorf("%w: series %.100q of kind %d with %d labels", ErrMalformed, s.Name, s.Kind, len(s.Labels))
	}
	last := ""
	for _, l := range s.Labels {
		if l.Name <= last || len(l.Name) > MaxLabel || !utf8.ValidString(l.Name) {
			return fmt.Errorf("%w: label %.100q of series %.100q", ErrMalformed, l.Name, s.Name)
		}
		last = l.Name
	}
	return nil
}

// MetricDecoder decodes the frames of one connection. Its memory is bounded by
// MaxSeries: 36 bytes for each series that the agent defined. Not safe for
// concurrent use.
type MetricDecoder struct {
	connection
	onDefine func(number uint32, s metric.Series)
	spare    []uint32 // for the next live
}

// NewMetricDecoder returns the decoder of a new connection. It calls onDefine, from
// within DecodeBatch and before the first frame with a sample of it is returned,
// once for each series that the agent defines. Samples name it by that number,
// which is below MaxSeries and dense enough to index a slice. The decoder itself
// does not keep s.
func NewMetricDecoder(onDefine func(number uint32, s metric.Series)) *MetricDecoder {
	return &MetricDecoder{onDefine: onDefine}
}

func (d *MetricDecoder) decode(data []byte, at int64) ([]metric.Frame, error) {
	in := input{b: data}
	var frames []metric.Frame
	samples := 0
	for len(in.b) > 0 {
		at += in.varint()
		d.presence(&in)
		if samples += len(d.live); samples > MaxSamples || len(frames) == MaxFrames {
			return nil, fmt.Errorf("%w: more than %d samples or %d frames", ErrTooLarge, MaxSamples, MaxFrames)
		}
		frames = append(frames, metric.Frame{At: at, Samples: d.values(&in)})
	}
	return frames, in.err
}

func (d *MetricDecoder) takeDefinition(in *input, number uint32) uint32 {
	s := metric.Series{Kind: metric.Kind(in.byte()), Decimals: in.byte(), Name: in.text(MaxLabel)}
	count := in.count(MaxLabels, 2)
	if count > 0 {
		s.Labels = make([]metric.Label, count)
	}
	for i := range s.Labels {
		s.Labels[i] = metric.Label{Name: in.text(MaxLabel), Value: in.text(MaxLabel)}
	}
	if s.Decimals > maxDecimals {
		in.fail("decimals out of range")
	}
	if err := checkSeries(s); err != nil {
		in.stop(err)
	}
	if in.err != nil {
		return 0
	}
	if d.onDefine != nil {
		d.onDefine(number, s)
	}
	return d.define(number, s.Decimals)
}

func (d *MetricDecoder) values(in *input) []metric.Sample {
	bitmap := in.bytes((len(d.live) + 7) / 8)
	if in.err != nil || len(d.live) == 0 {
		return nil
	}
	samples := make([]metric.Sample, len(d.live))
	for i, slot := range d.live {
		e := &d.entries[slot]
		if bitmap[i/8]>>(i%8)&1 == 1 {
			e.takeValue(in)
		}
		samples[i] = metric.Sample{Series: e.number, Value: math.Float64frombits(e.bits)}
	}
	return samples
}

func (e *entry) takeValue(in *input) {
	v := in.uvarint()
	if v == 0 {
		exception := in.byte()
		if exception == valueRaw {
			e.bits = in.uint64()
			return
		}
		e.scale, e.scaled = exception-valueRescale, true
		v = in.uvarint()
	}
	diff := int64(v>>1) ^ -int64(v&1)
	if limit := int64(2*maxMantissa) >> e.scale; e.scale > scales[0] || diff > limit || diff < -limit {
		in.fail("value out of range")
		return
	}
	m := e.mantissa + diff<<e.scale
	if m >= maxMantissa || m <= -maxMantissa {
		in.fail("value out of range")
		return
	}
	e.settle(m)
	e.bits = math.Float64bits(float64(m) / pow10[e.decimals])
}
