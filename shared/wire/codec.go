package wire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// The CBOR dialect: RFC 8949 section 4.2.1 (core deterministic) out; in, nothing
// that this never needs: no tags, no indefinite lengths, no key twice.
var (
	encMode = must(encOptions().EncMode())
	decMode = must(cbor.DecOptions{
		DupMapKey:        cbor.DupMapKeyEnforcedAPF,
		IndefLength:      cbor.IndefLengthForbidden,
		TagsMd:           cbor.TagsForbidden,
		MaxNestedLevels:  maxDepth,
		MaxArrayElements: maxItems,
		MaxMapPairs:      maxItems,
	}.DecMode())
)

func encOptions() cbor.EncOptions {
	o := cbor.CoreDetEncOptions()
	o.TagsMd = cbor.TagsForbidden
	return o
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // the options are constants
	}
	return v
}

// marshal appends v, one of this package's or facts' structs.
func marshal(dst []byte, v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Errorf("wire: encode %T: %w", v, err)) // only types that cannot be encoded fail
	}
	return append(dst, b...)
}

// unmarshal fills v from exactly one CBOR item.
func unmarshal(data []byte, v any) error {
	if err := checkItems(data); err != nil {
		return err
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// checkItems counts the data items of a message before anything is allocated for
// them: a byte of input can stand for a slice header of 24. What is wrong otherwise
// is left to the decoder to find.
func checkItems(data []byte) error {
	for items := 0; len(data) > 0; items++ {
		if items == maxItems {
			return fmt.Errorf("%w: more than %d CBOR items", ErrTooLarge, maxItems)
		}
		major, arg, n := cborHead(data)
		if n == 0 {
			return fmt.Errorf("%w: CBOR head", ErrMalformed)
		}
		data = data[n:]
		if major == majorBytes || major == majorText {
			if arg > uint64(len(data)) {
				return fmt.Errorf("%w: CBOR string is cut", ErrMalformed)
			}
			data = data[arg:]
		}
	}
	return nil
}

// CBOR major types, RFC 8949 section 3.1.
const (
	majorBytes = 2
	majorText  = 3
	majorArray = 4
)

// cborHead reads the head of a data item; n is 0 when there is none or when its
// length is indefinite or reserved.
func cborHead(data []byte) (major byte, arg uint64, n int) {
	if len(data) == 0 {
		return 0, 0, 0
	}
	major = data[0] >> 5
	info := data[0] & 0x1f
	if info < 24 {
		return major, uint64(info), 1
	}
	if info > 27 {
		return 0, 0, 0
	}
	size := 1 << (info - 24)
	if len(data) < 1+size {
		return 0, 0, 0
	}
	for _, b := range data[1 : 1+size] {
		arg = arg<<8 | uint64(b)
	}
	return major, arg, 1 + size
}

// clean returns the text as it travels: valid UTF-8, cut at limit bytes. Applied
// twice it changes nothing more.
func clean(s string, limit int) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// field is a length and the limit that it must keep.
type field struct {
	name       string
	len, limit int
}

// within checks lengths after decoding. It names the first field that is too long.
func within(message string, fields ...field) error {
	for _, f := range fields {
		if f.len > f.limit {
			return fmt.Errorf("%w: %s: %s has %d, limit %d", ErrTooLarge, message, f.name, f.len, f.limit)
		}
	}
	return nil
}

// appendString appends length and bytes.
func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
