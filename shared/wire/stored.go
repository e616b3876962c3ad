package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"atalaya/shared/metric"
)

// A frame in a spool is
//
//	time      zigzag varint, ms since the frame before (the first: since the batch's time)
//	count     uvarint, samples
//	samples   count times: uvarint series number less the one before, less one;
//	          uvarint of the value's bits in reversed byte order, so that the zero
//	          bytes at the end of round numbers cost nothing (as in encoding/gob)
func appendStoredFrames(dst []byte, b *Batch) []byte {
	at := b.At
	for _, f := range b.Frames {
		dst = binary.AppendVarint(dst, f.At-at)
		at = f.At
		dst = binary.AppendUvarint(dst, uint64(len(f.Samples)))
		next := uint32(0)
		for _, s := range f.Samples {
			dst = binary.AppendUvarint(dst, uint64(s.Series-next))
			dst = binary.AppendUvarint(dst, bits.ReverseBytes64(math.Float64bits(s.Value)))
			next = s.Series + 1
		}
	}
	return dst
}

func decodeStoredFrames(data []byte, at int64) ([]metric.Frame, error) {
	in := input{b: data}
	var frames []metric.Frame
	samples := 0
	for len(in.b) > 0 {
		at += in.varint()
		count := in.count(MaxSeries, 2)
		if samples += count; samples > MaxSamples || len(frames) == MaxFrames {
			return nil, fmt.Errorf("%w: more than %d samples or %d frames", ErrTooLarge, MaxSamples, MaxFrames)
		}
		f := metric.Frame{At: at}
		if count > 0 {
			f.Samples = make([]metric.Sample, count)
		}
		next := uint32(0)
		for i := range f.Samples {
			s := metric.Sample{Series: in.number(next)}
			s.Value = math.Float64frombits(bits.ReverseBytes64(in.uvarint()))
			f.Samples[i] = s
			next = s.Series + 1
		}
		frames = append(frames, f)
	}
	return frames, in.err
}
