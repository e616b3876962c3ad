package store

import (
	"encoding/binary"

	"atalaya/shared/wire"
)

// The forms of a column of the host's own values.
const (
	columnUints = 0 // unit; for each item 0 absent, else 1; then as appendFar
	columnBytes = 1 // for each item: 0 absent, else length and one, and the encoded value
	columnNear  = 2 // unit; for each item 0 absent, else 1; then as appendNear
)

const (
	// manyValues is from how many values on it matters how numbers are put.
	manyValues = 32
	// near is below which distance a number is near another: with its sign it takes two
	// bytes at most.
	near = 1 << 13
)

func appendColumn(p []byte, column uint64, values [][]byte) []byte {
	p = binary.AppendUvarint(p, column)
	numbers, unit := make([]uint64, 0, len(values)), uint64(1000)
	for _, v := range values {
		if v == nil {
			continue
		}
		n, ok := wire.UintValue(v)
		if !ok {
			return appendByteColumn(p, values)
		}
		if n%unit != 0 {
			unit = 1 // times in milliseconds are often whole seconds
		}
		numbers = append(numbers, n)
	}
	for i := range numbers {
		numbers[i] /= unit
	}
	form, body := byte(columnNear), []byte(nil)
	if len(numbers) >= manyValues {
		body = appendNear(numbers)
	}
	if body == nil {
		form, body = columnUints, appendFar(numbers, unit)
	}
	p = binary.AppendUvarint(append(p, form), unit)
	for _, v := range values {
		p = append(p, boolByte(v != nil))
	}
	return append(p, body...)
}

func appendByteColumn(p []byte, values [][]byte) []byte {
	p = append(p, columnBytes)
	for _, v := range values {
		p = appendBytes(p, v)
	}
	return p
}

// appendFar puts numbers in no order: how many low bytes stand apart, the distances
// of the rest, the low bytes. Moments of one host lie close together: their low bytes
// do not compress, the rest does.
func appendFar(numbers []uint64, unit uint64) []byte {
	low := 0
	if len(numbers) >= manyValues {
		if low = 1; unit == 1 {
			low = 2
		}
	}
	p, last := []byte{byte(low)}, uint64(0)
	for _, n := range numbers {
		n >>= 8 * low
		p = binary.AppendVarint(p, int64(n-last))
		last = n
	}
	return appendLow(p, numbers, low)
}

func appendLow(p []byte, numbers []uint64, low int) []byte {
	for i := range low {
		for _, n := range numbers {
			p = append(p, byte(n>>(8*i)))
		}
	}
	return p
}

// neighbour is what the next number of a column is near to: the number before, but
// for single ones that lie far from their neighbours.
type neighbour struct{ base, far uint64 }

// move goes on to the next number.
func (b *neighbour) move(n uint64) {
	switch {
	case isNear(n, b.base):
		b.base = n
	case isNear(n, b.far): // they moved elsewhere
		b.base, b.far = n, n
	default:
		b.far = n
	}
}

func isNear(n, base uint64) bool {
	d := int64(n - base)
	return d > -near && d < near
}

// appendNear puts numbers that mostly follow each other: the moments of packages, which
// hosts install in much the same order (see internAll). For each: the distance to its
// neighbour, with its sign, plus one, or 0 where it is far from it; of those the
// distances above their two low bytes, then these bytes. nil: too many are far.
func appendNear(numbers []uint64) []byte {
	var p []byte
	var far []uint64
	var b neighbour
	for _, n := range numbers {
		d := int64(n - b.base)
		sign := uint64(d<<1) ^ uint64(d>>63)
		if isNear(n, b.base) {
			p = binary.AppendUvarint(p, sign+1)
		} else {
			p = append(p, 0)
			far = append(far, sign)
		}
		b.move(n)
	}
	if len(far) > len(numbers)/2 {
		return nil
	}
	for _, sign := range far {
		p = binary.AppendUvarint(p, sign>>16)
	}
	return appendLow(p, far, 2)
}

// readUints reads a column of numbers.
func (h *held) readUints(d *decoder, column uint64, read func(d *decoder, numbers []uint64)) {
	unit := d.uvarint()
	var at []int // of the items that have a value
	for i := range h.items {
		if d.byte() != 0 {
			at = append(at, i)
		}
	}
	numbers := make([]uint64, len(at))
	read(d, numbers)
	for j, i := range at {
		h.items[i].pairs = wire.AppendUint(h.items[i].pairs, column, numbers[j]*unit)
	}
}

func readFar(d *decoder, numbers []uint64) {
	low, high := int(d.byte()), uint64(0)
	if low > 7 {
		d.bad = true
		return
	}
	for i := range numbers {
		high += uint64(d.varint())
		numbers[i] = high << (8 * low)
	}
	readLow(d, numbers, low)
}

func readLow(d *decoder, numbers []uint64, low int) {
	for i := range low {
		for j := range numbers {
			numbers[j] |= uint64(d.byte()) << (8 * i)
		}
	}
}

func readNear(d *decoder, numbers []uint64) {
	codes, far := make([]uint64, len(numbers)), 0
	for i := range codes {
		if codes[i] = d.uvarint(); codes[i] == 0 {
			far++
		}
	}
	signs := make([]uint64, far)
	for i := range signs {
		signs[i] = d.uvarint() << 16
	}
	readLow(d, signs, 2)
	var b neighbour
	for i, code := range codes {
		if code == 0 {
			code, signs = signs[0]+1, signs[1:]
		}
		sign := code - 1
		numbers[i] = b.base + (sign>>1 ^ -(sign & 1))
		b.move(numbers[i])
	}
}
