package wire

import (
	"encoding/binary"

	"atalaya/shared/metric"
)

// Which series a frame has and which it had before; the layout is in metrics.go.

// appendPresence writes who has gone and who has come, and makes live match.
func (e *MetricEncoder) appendPresence(dst []byte, samples []metric.Sample) []byte {
	e.compare(samples)
	if len(e.gone) == 0 && len(e.come) == 0 {
		return append(dst, 0)
	}
	flags := len(dst)
	dst = append(dst, 0)
	if len(e.gone) > 0 {
		dst[flags] |= flagGone
		if e.version >= 2 {
			dst[flags] ^= flagGone | flagGoneRuns
			dst = appendRuns(dst, e.gone)
		} else {
			dst = appendEach(dst, e.gone)
		}
	}
	returning := e.returning()
	if len(e.come) > 0 {
		dst[flags] |= flagCome
		dst = binary.AppendUvarint(dst, uint64(len(e.come)))
		lowest := uint32(0)
		for _, number := range e.come {
			dst = e.appendCome(dst, number, lowest)
			lowest = number + 1
		}
	}
	if len(returning) > 0 {
		dst[flags] |= flagComeRuns
		dst = appendRuns(dst, returning)
	}
	e.live = e.live[:0]
	for _, s := range samples {
		slot, _ := e.slot(s.Series)
		e.live = append(e.live, slot)
	}
	return dst
}

// returning takes the series that are defined out of those that come, for runs.
func (e *MetricEncoder) returning() []uint32 {
	if e.version < 2 {
		return nil
	}
	back := e.gone[:0] // which has been written
	fresh := e.come[:0]
	for _, number := range e.come {
		if _, known := e.slot(number); known {
			back = append(back, number)
		} else {
			fresh = append(fresh, number)
		}
	}
	e.gone, e.come = back, fresh
	return back
}

func appendEach(dst []byte, numbers []uint32) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(numbers)))
	lowest := uint32(0)
	for _, n := range numbers {
		dst = binary.AppendUvarint(dst, uint64(n-lowest))
		lowest = n + 1
	}
	return dst
}

// appendRuns appends ascending numbers as runs of neighbours.
func appendRuns(dst []byte, numbers []uint32) []byte {
	runs := 0
	for i, n := range numbers {
		if i == 0 || n != numbers[i-1]+1 {
			runs++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(runs))
	lowest := uint32(0)
	for i := 0; i < len(numbers); {
		first := i
		for i++; i < len(numbers) && numbers[i] == numbers[i-1]+1; i++ {
		}
		dst = binary.AppendUvarint(dst, uint64(numbers[first]-lowest))
		dst = binary.AppendUvarint(dst, uint64(i-first-1))
		lowest = numbers[i-1] + 1
	}
	return dst
}

// compare finds the positions in live that have gone and the numbers that have come.
func (e *MetricEncoder) compare(samples []metric.Sample) {
	e.gone, e.come = e.gone[:0], e.come[:0]
	i := 0
	for _, s := range samples {
		for i < len(e.live) && e.entries[e.live[i]].number < s.Series {
			e.gone = append(e.gone, uint32(i))
			i++
		}
		if i < len(e.live) && e.entries[e.live[i]].number == s.Series {
			i++
		} else {
			e.come = append(e.come, s.Series)
		}
	}
	for ; i < len(e.live); i++ {
		e.gone = append(e.gone, uint32(i))
	}
}

func (d *MetricDecoder) presence(in *input) {
	flags := in.byte()
	if flags&^(flagGone|flagCome|flagGoneRuns|flagComeRuns) != 0 {
		in.fail("unknown flags of a metric frame")
	}
	if flags&flagGone != 0 {
		d.takeGone(in, false)
	}
	if flags&flagGoneRuns != 0 {
		d.takeGone(in, true)
	}
	if flags&flagCome != 0 {
		d.takeCome(in)
	}
	if flags&flagComeRuns != 0 {
		d.takeReturning(in)
	}
}

// run reads a run of neighbours below limit: the first, and the one after the last.
func (in *input) run(lowest uint32, limit int) (first, end uint32) {
	first = in.above(lowest, in.uvarint(), limit)
	return first, in.above(first, in.uvarint(), limit) + 1
}

func (d *MetricDecoder) takeGone(in *input, runs bool) {
	count, live := in.count(len(d.live), 1), len(d.live)
	kept, lowest := d.live[:0], uint32(0)
	for range count {
		var first, end uint32
		if runs {
			first, end = in.run(lowest, live)
		} else {
			first = in.above(lowest, in.uvarint(), live)
			end = first + 1
		}
		if in.err != nil {
			return
		}
		kept = append(kept, d.live[lowest:first]...)
		lowest = end
	}
	d.live = append(kept, d.live[lowest:]...)
}

// merger puts series that come among those that are present.
type merger struct {
	d            *MetricDecoder
	merged, rest []uint32
}

func (d *MetricDecoder) merger() merger { return merger{d: d, merged: d.spare[:0], rest: d.live} }

// add takes a series whose number is above those added before.
func (m *merger) add(in *input, number, slot uint32) {
	for len(m.rest) > 0 && m.d.entries[m.rest[0]].number < number {
		m.merged, m.rest = append(m.merged, m.rest[0]), m.rest[1:]
	}
	if len(m.rest) > 0 && m.rest[0] == slot {
		in.fail("series comes that is present")
		return
	}
	m.merged = append(m.merged, slot)
}

func (m *merger) done() {
	m.merged = append(m.merged, m.rest...)
	m.d.live, m.d.spare = m.merged, m.d.live
}

func (d *MetricDecoder) takeCome(in *input) {
	m, lowest := d.merger(), uint32(0)
	for range in.count(MaxSeries, 1) {
		v := in.uvarint()
		number := in.above(lowest, v>>1, MaxSeries)
		slot, known := d.slot(number)
		if v&1 == 1 {
			if known {
				in.fail("series is defined twice")
			}
			slot = d.takeDefinition(in, number)
		} else if !known {
			in.fail("series is not defined")
		}
		if in.err != nil {
			return
		}
		m.add(in, number, slot)
		lowest = number + 1
	}
	m.done()
}

func (d *MetricDecoder) takeReturning(in *input) {
	m, lowest := d.merger(), uint32(0)
	for range in.count(MaxSeries, 2) {
		first, end := in.run(lowest, len(d.slots))
		for number := first; number < end && in.err == nil; number++ {
			slot, known := d.slot(number)
			if !known {
				in.fail("series is not defined")
				return
			}
			m.add(in, number, slot)
		}
		if in.err != nil {
			return
		}
		lowest = end
	}
	m.done()
}
