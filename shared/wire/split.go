package wire

import "fmt"

// SplitRow cuts an encoded row in two: the row without the columns that own names,
// itself a row, and the pairs of number and value of those columns, one behind the
// other. JoinRow puts canonical rows together again; the caller must compare where a
// row may not be canonical.
func SplitRow(row []byte, own func(column uint64) bool) (common, pairs []byte, err error) {
	var rest []byte
	kept := uint64(0)
	err = eachPair(row, func(column uint64, pair, _ []byte) {
		if own(column) {
			pairs = append(pairs, pair...)
			return
		}
		kept++
		rest = append(rest, pair...)
	})
	if err != nil {
		return nil, nil, err
	}
	return append(appendHead(nil, majorMap, kept), rest...), pairs, nil
}

// JoinRow is the inverse of SplitRow: columns come in the order of their numbers.
func JoinRow(common, pairs []byte) ([]byte, error) {
	if len(pairs) == 0 {
		return common, nil
	}
	major, n, head := cborHead(common)
	if head == 0 || major != majorMap {
		return nil, fmt.Errorf("%w: row is not a map", ErrMalformed)
	}
	own := uint64(0)
	if err := PairsOf(pairs, func(uint64, []byte, []byte) { own++ }); err != nil {
		return nil, err
	}
	out := appendHead(make([]byte, 0, len(common)+len(pairs)+1), majorMap, n+own)
	rest := common[head:]
	err := PairsOf(pairs, func(column uint64, pair, _ []byte) {
		for len(rest) > 0 {
			_, next, n := cborHead(rest)
			size := cborSize(rest[n:])
			if next > column || n == 0 || size == 0 {
				break
			}
			out, rest = append(out, rest[:n+size]...), rest[n+size:]
		}
		out = append(out, pair...)
	})
	return append(out, rest...), err
}

// PairsOf calls fn for the pairs that SplitRow took out, with their number, the bytes
// of the pair, and those of the value alone, which are its end.
func PairsOf(pairs []byte, fn func(column uint64, pair, value []byte)) error {
	for len(pairs) > 0 {
		major, column, head := cborHead(pairs)
		if head == 0 || major != majorUint {
			return fmt.Errorf("%w: column number", ErrMalformed)
		}
		n := cborSize(pairs[head:])
		if n == 0 {
			return fmt.Errorf("%w: column is cut", ErrMalformed)
		}
		fn(column, pairs[:head+n], pairs[head:head+n])
		pairs = pairs[head+n:]
	}
	return nil
}

func eachPair(row []byte, fn func(column uint64, pair, value []byte)) error {
	major, n, head := cborHead(row)
	if head == 0 || major != majorMap {
		return fmt.Errorf("%w: row is not a map", ErrMalformed)
	}
	found := uint64(0)
	err := PairsOf(row[head:], func(column uint64, pair, value []byte) {
		found++
		fn(column, pair, value)
	})
	if err == nil && found != n {
		err = fmt.Errorf("%w: row of %d columns has %d", ErrMalformed, n, found)
	}
	return err
}

// UintValue reads a value that is an unsigned integer in its shortest form.
func UintValue(value []byte) (v uint64, ok bool) {
	major, v, n := cborHead(value)
	return v, n == len(value) && n > 0 && major == majorUint && len(appendHead(nil, majorUint, v)) == n
}

// AppendUint appends a pair with an unsigned integer in its shortest form.
func AppendUint(dst []byte, column, v uint64) []byte {
	return appendHead(appendHead(dst, majorUint, column), majorUint, v)
}

// AppendPair appends a pair with an encoded value.
func AppendPair(dst []byte, column uint64, value []byte) []byte {
	return append(appendHead(dst, majorUint, column), value...)
}

// The major types of CBOR (RFC 8949, section 3.1) that matter here.
const (
	majorUint = 0
	majorMap  = 5
)

func appendHead(dst []byte, major byte, v uint64) []byte {
	size := 0
	switch {
	case v < 24:
		return append(dst, major<<5|byte(v))
	case v < 1<<8:
	case v < 1<<16:
		size = 1
	case v < 1<<32:
		size = 2
	default:
		size = 3
	}
	dst = append(dst, major<<5|byte(24+size))
	for i := 8<<size - 8; i >= 0; i -= 8 {
		dst = append(dst, byte(v>>i))
	}
	return dst
}

// cborSize returns how long the first item of data is, 0 when it is cut.
func cborSize(data []byte) int {
	at := 0
	for open := uint64(1); open > 0; open-- {
		major, arg, n := cborHead(data[at:])
		if n == 0 {
			return 0
		}
		at += n
		switch major {
		case majorText, majorBytes:
			if arg > uint64(len(data)-at) {
				return 0
			}
			at += int(arg)
		case majorArray, majorMap:
			if arg > uint64(len(data)) {
				return 0
			}
			open += arg * uint64(major-majorArray+1)
		}
	}
	return at
}
