package store

import (
	"encoding/binary"
	"iter"
	"math/bits"

	"github.com/RoaringBitmap/roaring/v2"
)

// The forms of a stored set: ascending numbers, as the distances between them, as
// runs, or as bits. The first byte tells which.
const (
	setGaps = 0 // for each number: distance to the one before, less one
	setRuns = 1 // for each run of neighbours: distance to the run before, length less one
	setBits = 2 // eight numbers a byte, lowest bit first
)

// appendSet appends the shortest form of a set of ascending numbers. bits is the
// number of bytes that the form of bits would take, 0 where it is not wanted.
func appendSet(dst []byte, ids []uint32, bits int) []byte {
	begin := len(dst)
	dst = append(dst, setGaps)
	last := int64(-1)
	for _, id := range ids {
		dst = binary.AppendUvarint(dst, uint64(int64(id)-last-1))
		last = int64(id)
	}
	gaps := len(dst)
	dst = append(dst, setRuns)
	last = -1
	for i := 0; i < len(ids); {
		n := 1
		for i+n < len(ids) && ids[i+n] == ids[i]+uint32(n) {
			n++
		}
		dst = binary.AppendUvarint(dst, uint64(int64(ids[i])-last-1))
		dst = binary.AppendUvarint(dst, uint64(n-1))
		last = int64(ids[i]) + int64(n) - 1
		i += n
	}
	if len(dst)-gaps < gaps-begin {
		dst = append(dst[:begin], dst[gaps:]...)
	} else {
		dst = dst[:gaps]
	}
	if bits == 0 || len(dst)-begin <= bits+1 {
		return dst
	}
	dst = append(dst[:begin], setBits)
	dst = append(dst, make([]byte, bits)...)
	for _, id := range ids {
		dst[begin+1+int(id/8)] |= 1 << (id % 8)
	}
	return dst
}

// eachOf calls fn for the numbers of a stored set; false: it is not one.
func eachOf(set []byte, fn func(id uint32)) bool {
	if len(set) == 0 {
		return false
	}
	d := decoder{b: set[1:]}
	next := uint64(0)
	switch set[0] {
	case setGaps:
		for len(d.b) > 0 && !d.bad {
			if next += d.uvarint(); next > 1<<32-1 || d.bad {
				return false
			}
			fn(uint32(next))
			next++
		}
	case setRuns:
		for len(d.b) > 0 && !d.bad {
			next += d.uvarint()
			n := d.uvarint() + 1
			if d.bad || next > 1<<32-1 || n > 1<<32-next {
				return false
			}
			for ; n > 0; n-- {
				fn(uint32(next))
				next++
			}
		}
	case setBits:
		for i, b := range d.b {
			for ; b != 0; b &= b - 1 {
				fn(uint32(i)*8 + uint32(bits.TrailingZeros8(b)))
			}
		}
	default:
		return false
	}
	return !d.bad
}

// setWords sets the bits of the numbers of a stored set, 64 a word; false: it is not one,
// or has numbers beyond the words.
func setWords(set []byte, words []uint64) bool {
	switch {
	case len(set) > 0 && set[0] == setRuns:
		d := decoder{b: set[1:]}
		next := uint64(0)
		for len(d.b) > 0 {
			from := next + d.uvarint()
			n := d.uvarint() + 1
			if d.bad || n == 0 || from >= uint64(len(words))*64 || n > uint64(len(words))*64-from {
				return false
			}
			next = from + n
			fillBits(words, from, next)
		}
		return true
	case len(set) > 0 && set[0] == setBits && len(set)-1 == len(words)*8:
		for i := range words {
			words[i] |= binary.LittleEndian.Uint64(set[1+8*i:])
		}
		return true
	}
	fits := true
	return eachOf(set, func(id uint32) {
		if fits = fits && int(id/64) < len(words); fits {
			words[id/64] |= 1 << (id % 64)
		}
	}) && fits
}

// fillBits sets the bits [from, to), of which there is one at least.
func fillBits(words []uint64, from, to uint64) {
	first, last := from/64, (to-1)/64
	head, tail := ^uint64(0)<<(from%64), ^uint64(0)>>(63-(to-1)%64)
	if first == last {
		words[first] |= head & tail
		return
	}
	words[first] |= head
	for i := first + 1; i < last; i++ {
		words[i] = ^uint64(0)
	}
	words[last] |= tail
}

// HostSet is a set of host numbers. The zero value is empty. The methods that
// combine sets change none of them.
type HostSet struct{ b *roaring.Bitmap }

// HostSetOf returns the set of these hosts.
func HostSetOf(indexes ...uint32) HostSet { return HostSet{roaring.BitmapOf(indexes...)} }

func (s HostSet) bitmap() *roaring.Bitmap {
	if s.b == nil {
		return roaring.New()
	}
	return s.b
}

// Len returns how many hosts there are.
func (s HostSet) Len() int { return int(s.bitmap().GetCardinality()) }

// Contains reports whether the host is in the set.
func (s HostSet) Contains(index uint32) bool { return s.b != nil && s.b.Contains(index) }

// All returns the hosts in ascending order.
func (s HostSet) All() iter.Seq[uint32] {
	return func(yield func(uint32) bool) { s.bitmap().Iterate(yield) }
}

// Or returns the hosts of either set.
func (s HostSet) Or(o HostSet) HostSet { return HostSet{roaring.Or(s.bitmap(), o.bitmap())} }

// And returns the hosts of both sets.
func (s HostSet) And(o HostSet) HostSet { return HostSet{roaring.And(s.bitmap(), o.bitmap())} }

// AndNot returns the hosts of s that are not in o.
func (s HostSet) AndNot(o HostSet) HostSet { return HostSet{roaring.AndNot(s.bitmap(), o.bitmap())} }
