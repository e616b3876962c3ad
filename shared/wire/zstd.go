package wire

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// maxWindow bounds the history that a zstd frame may refer to, and with it the
// memory of a decoder. 1 MiB costs inventories no measurable size against 8 MiB.
const maxWindow = 1 << 20

// smallPayload is packed by an encoder of 0.3 MiB, what is larger by one of 1.3 MiB: an
// agent that reports a few rows every other minute would else take four times the
// memory that it rests on, for a twentieth of a few kilobytes.
const smallPayload = 64 << 10

// Encoders and decoders are large (about 1 MiB) and only in use while a message is
// being packed or unpacked. Pooled, not kept per connection. Concurrency 1 means
// that they start no goroutines and need no Close.
var (
	deflaters      = encoders(zstd.SpeedDefault, maxWindow)
	smallDeflaters = encoders(zstd.SpeedFastest, smallPayload)
	inflaters      = sync.Pool{New: func() any {
		r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow),
			zstd.WithDecoderLowmem(true))
		if err != nil {
			panic(err) // the options are constants
		}
		return r
	}}
)

func encoders(level zstd.EncoderLevel, window int) *sync.Pool {
	return &sync.Pool{New: func() any {
		w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(window), zstd.WithEncoderLevel(level),
			zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(false))
		if err != nil {
			panic(err) // the options are constants
		}
		return w
	}}
}

func deflate(payload []byte) buffer {
	out := takeBuffer(len(payload))
	pool := deflaters
	if len(payload) <= smallPayload {
		pool = smallDeflaters
	}
	w := pool.Get().(*zstd.Encoder)
	packed := w.EncodeAll(payload, out.b)
	pool.Put(w)
	if cap(packed) != cap(out.b) {
		out.free() // it did not shrink and was moved
	}
	return buffer{packed}
}

// inflate unpacks exactly size bytes, which the caller has checked against the
// limits. It counts the output itself, because the library's memory limit does not
// hold for streams, and its buffer grows with the output, not with the claim.
func inflate(packed []byte, size int) (out buffer, err error) {
	r := inflaters.Get().(*zstd.Decoder)
	defer func() {
		if resetErr := r.Reset(nil); resetErr == nil {
			inflaters.Put(r)
		}
		if err != nil {
			out.free()
		}
	}()
	if err := r.Reset(bytes.NewReader(packed)); err != nil {
		return out, fmt.Errorf("%w: zstd: %w", ErrMalformed, err)
	}
	out = takeBuffer(min(size, mediumBuffer))
	for len(out.b) < size {
		if len(out.b) == cap(out.b) {
			out.grow(min(size, 2*cap(out.b)))
		}
		n, err := io.ReadFull(r, out.b[len(out.b):min(size, cap(out.b))])
		out.b = out.b[:len(out.b)+n]
		if err != nil {
			return out, fmt.Errorf("%w: zstd: %w", ErrMalformed, err)
		}
	}
	var more [1]byte
	if n, err := io.ReadFull(r, more[:]); n > 0 {
		return out, fmt.Errorf("%w: zstd frame holds more than the %d bytes it names", ErrTooLarge, size)
	} else if err != io.EOF {
		return out, fmt.Errorf("%w: zstd: %w", ErrMalformed, err)
	}
	return out, nil
}
