package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Type is the number of a message. Numbers are never reused.
type Type uint64

// The messages.
const (
	TypeHello         Type = 1
	TypeWelcome       Type = 2
	TypeBatch         Type = 3
	TypeAck           Type = 4
	TypeHeartbeat     Type = 5
	TypeResync        Type = 6
	TypeGoodbye       Type = 7
	TypeEnrollRequest Type = 8
	TypeEnrollReply   Type = 9
)

var typeNames = [...]string{"", "Hello", "Welcome", "Batch", "Ack", "Heartbeat", "Resync", "Goodbye", "EnrollRequest", "EnrollReply"}

func (t Type) known() bool { return t > 0 && int(t) < len(typeNames) }

// String returns the message's name.
func (t Type) String() string {
	if t.known() {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint64(t))
}

// Limits bounds the messages that a Reader takes from its stream.
type Limits struct {
	Payload  int // bytes as they travel
	Inflated int // bytes after inflation
}

// ControlLimits suits streams without batches.
func ControlLimits() Limits { return Limits{Payload: MaxControl, Inflated: MaxControl} }

// BatchLimits suits streams that carry batches.
func BatchLimits() Limits { return Limits{Payload: MaxBatch, Inflated: MaxInflated} }

// compressFrom is the payload size from which zstd is tried: smaller ones rarely
// shrink, and a metric frame never does.
const compressFrom = 1 << 10

// AppendMessage appends the frame of one message. Payloads of 1 KiB and more are
// compressed where that saves something and stays within MaxRatio.
func AppendMessage(dst []byte, t Type, payload []byte) []byte {
	if len(payload) >= compressFrom {
		packed := deflate(payload)
		defer packed.free()
		if len(packed.b)+4 < len(payload) && len(payload) <= MaxRatio*len(packed.b) {
			dst = binary.AppendUvarint(dst, uint64(t)<<1|1)
			dst = binary.AppendUvarint(dst, uint64(uvarintLen(uint64(len(payload)))+len(packed.b)))
			dst = binary.AppendUvarint(dst, uint64(len(payload)))
			return append(dst, packed.b...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(t)<<1)
	dst = binary.AppendUvarint(dst, uint64(len(payload)))
	return append(dst, payload...)
}

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// Reader takes messages from a stream. It holds no buffer but a few bytes while it
// waits for the next message, so that ten thousand idle streams cost nothing. Not
// safe for concurrent use.
type Reader struct {
	r      io.Reader
	limits Limits
	buf    buffer // payload of the last message
	err    error  // of the underlying reader, given out when the bytes before it are used up

	ahead [32]byte // bytes read but not yet used: ahead[from:to]
	from  uint8
	to    uint8
}

// NewReader returns a Reader on r, which may already have lost its first bytes to
// another reader but not to a buffered one.
func NewReader(r io.Reader, limits Limits) *Reader { return &Reader{r: r, limits: limits} }

// Next waits for the next message. The payload is valid until the next call. The
// error is io.EOF at the end of the stream between two messages, ErrMalformed or
// ErrTooLarge (wrapped) when the peer broke the rules, and otherwise what the
// stream returned. After an error the stream is of no more use.
func (r *Reader) Next() (Type, []byte, error) {
	r.buf.free()
	head, err := r.uvarint()
	if err != nil {
		return 0, nil, err // io.EOF stands only here
	}
	t, packed := Type(head>>1), head&1 == 1
	if !t.known() {
		return 0, nil, fmt.Errorf("%w: unknown message type %d", ErrMalformed, uint64(t))
	}
	size, err := r.uvarint()
	if err != nil {
		return 0, nil, noEOF(err)
	}
	if size > uint64(r.limits.Payload) {
		return 0, nil, fmt.Errorf("%w: %s of %d bytes, limit %d", ErrTooLarge, t, size, r.limits.Payload)
	}
	if err := r.body(int(size)); err != nil {
		return 0, nil, noEOF(err)
	}
	if packed {
		if err := r.inflate(); err != nil {
			return 0, nil, fmt.Errorf("%s: %w", t, err)
		}
	}
	return t, r.buf.b, nil
}

// body reads the payload. The buffer grows with what has come, so that a peer
// cannot make us hold more than about twice of what it sent.
func (r *Reader) body(size int) error {
	r.buf = takeBuffer(min(size, mediumBuffer))
	for len(r.buf.b) < size {
		if len(r.buf.b) == cap(r.buf.b) {
			r.buf.grow(min(size, 2*cap(r.buf.b)))
		}
		have, upTo := len(r.buf.b), min(size, cap(r.buf.b))
		n := copy(r.buf.b[have:upTo], r.ahead[r.from:r.to])
		r.from += uint8(n)
		m, err := io.ReadFull(r.r, r.buf.b[have+n:upTo])
		r.buf.b = r.buf.b[:have+n+m]
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) inflate() error {
	size, n := binary.Uvarint(r.buf.b)
	if n <= 0 {
		return fmt.Errorf("%w: inflated length", ErrMalformed)
	}
	packed := r.buf.b[n:]
	if size > uint64(r.limits.Inflated) || size > uint64(MaxRatio*len(packed)) {
		return fmt.Errorf("%w: %d bytes inflate to %d, limits %d and 1:%d", ErrTooLarge, len(packed), size, r.limits.Inflated, MaxRatio)
	}
	out, err := inflate(packed, int(size))
	if err != nil {
		return err
	}
	r.buf.free()
	r.buf = out
	return nil
}

// uvarint reads an unsigned LEB128 number; io.EOF only if nothing came.
func (r *Reader) uvarint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := r.byte()
		if err != nil {
			if shift > 0 {
				err = noEOF(err)
			}
			return 0, err
		}
		if shift == 63 && b > 1 || shift > 0 && b == 0 {
			break // more than 64 bits, or not the shortest form
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%w: number in the frame's head", ErrMalformed)
}

func (r *Reader) byte() (byte, error) {
	for r.from == r.to {
		if r.err != nil {
			return 0, r.err
		}
		var n int
		n, r.err = r.r.Read(r.ahead[:])
		r.from, r.to = 0, uint8(n)
	}
	b := r.ahead[r.from]
	r.from++
	return b, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Buffers of two sizes are kept for reuse; larger ones are rare (a first inventory)
// and left to the garbage collector.
const (
	smallBuffer  = 4 << 10  // a metric batch, an ack
	mediumBuffer = 64 << 10 // a section that changed much
)

// The pools are caches without meaning of their own: what they hold is overwritten
// before use.
var (
	smallBuffers  = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	mediumBuffers = sync.Pool{New: func() any { return new([mediumBuffer]byte) }}
)

// buffer is a byte slice that may be on loan from a pool. The zero value is empty.
type buffer struct{ b []byte }

// takeBuffer returns an empty buffer with room for size bytes.
func takeBuffer(size int) buffer {
	switch {
	case size <= smallBuffer:
		return buffer{smallBuffers.Get().(*[smallBuffer]byte)[:0]}
	case size <= mediumBuffer:
		return buffer{mediumBuffers.Get().(*[mediumBuffer]byte)[:0]}
	}
	return buffer{make([]byte, 0, size)}
}

func (b *buffer) grow(size int) {
	bigger := takeBuffer(size)
	bigger.b = append(bigger.b, b.b...)
	b.free()
	*b = bigger
}

func (b *buffer) free() {
	switch cap(b.b) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(b.b[:smallBuffer]))
	case mediumBuffer:
		mediumBuffers.Put((*[mediumBuffer]byte)(b.b[:mediumBuffer]))
	}
	b.b = nil
}
