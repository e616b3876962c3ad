package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// input reads from b; after the first error it gives zeros.
type input struct {
	b   []byte
	err error
}

func (in *input) fail(what string) { in.stop(fmt.Errorf("%w: %s", ErrMalformed, what)) }

func (in *input) stop(err error) {
	if in.err == nil {
		in.err = err
	}
	in.b = nil
}

func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(in.b)
	if n <= 0 {
		in.fail("number is cut or too large")
		return 0
	}
	in.b = in.b[n:]
	return v
}

func (in *input) varint() int64 {
	return unzigzag(in.uvarint())
}

// count reads how many things of at least size bytes each follow; it fails, before
// anything is allocated, when they cannot.
func (in *input) count(limit, size int) int {
	v := in.uvarint()
	if v > uint64(limit) || v > uint64(len(in.b)/size) {
		in.fail("count is larger than what follows")
		return 0
	}
	return int(v)
}

// number reads a series number, given as its distance from the lowest one possible.
func (in *input) number(lowest uint32) uint32 { return in.above(lowest, in.uvarint(), MaxSeries) }

// above returns lowest plus distance where that is below limit.
func (in *input) above(lowest uint32, distance uint64, limit int) uint32 {
	if distance >= uint64(limit) || uint64(lowest)+distance >= uint64(limit) {
		in.fail("number out of range")
		return 0
	}
	return lowest + uint32(distance)
}

func (in *input) bytes(n int) []byte {
	if n > len(in.b) {
		in.fail("bytes are cut")
		return nil
	}
	b := in.b[:n]
	in.b = in.b[n:]
	return b
}

func (in *input) byte() byte {
	b := in.bytes(1)
	if b == nil {
		return 0
	}
	return b[0]
}

func (in *input) uint64() uint64 {
	b := in.bytes(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// text reads a string of at most limit bytes of UTF-8.
func (in *input) text(limit int) string {
	b := in.bytes(in.count(limit, 1))
	if !utf8.Valid(b) {
		in.fail("text is not UTF-8")
		return ""
	}
	return string(b)
}
