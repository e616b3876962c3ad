package patches

import (
	"bytes"
	"testing"
)

// TestLZ4Block inflates matches of each length at each short distance, behind literals of
// each number, in the middle of a block and at its end.
func TestLZ4Block(t *testing.T) {
	history := []byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for offset := 1; offset <= len(history); offset++ {
		for _, length := range []int{4, 5, 18, 19, 20, 32, 33, 127, 128, 129, 273, 274, 600} {
			for _, literals := range []int{0, 1, 14, 15, 300} {
				for _, more := range []int{0, 1, 200} {
					testLZ4Block(t, history, offset, length, literals, more)
				}
			}
		}
	}
	for _, bad := range [][]byte{{0x04, 1}, {0x00, 0, 0}, {0x00, 255, 255}, {0x0f, 1, 0}, {0xf0}, {0x10}, {0x00, 1, 0}} {
		for _, tail := range []int{0, 100} {
			dst := append(make([]byte, 0, 1000), history...)
			if out, err := lz4Block(dst, append(bad, make([]byte, tail)...), len(history)+3); err == nil || len(out) > len(history)+3 {
				t.Errorf("%x: %d bytes, %v", bad, len(out), err)
			}
		}
	}
}

func testLZ4Block(t *testing.T, history []byte, offset, length, literals, more int) {
	t.Helper()
	src := []byte{byte(min(literals, 15)<<4 | min(length-4, 15))}
	extend := func(n int) {
		for n -= 15; n >= 255; n -= 255 {
			src = append(src, 255)
		}
		if n >= 0 {
			src = append(src, byte(n))
		}
	}
	extend(literals)
	want := bytes.Clone(history)
	for i := range literals {
		src, want = append(src, byte(i)), append(want, byte(i))
	}
	src = append(src, byte(offset), 0)
	extend(length - 4)
	for range length {
		want = append(want, want[len(want)-offset])
	}
	src = append(src, byte(min(more, 15)<<4))
	extend(more)
	src, want = append(src, make([]byte, more)...), append(want, make([]byte, more)...)
	got, err := lz4Block(append(make([]byte, 0, len(want)), history...), src, len(want))
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("offset %d, length %d, %d literals, %d more: %q, %v, want %q", offset, length, literals, more, got, err, want)
	}
	if _, err := lz4Block(append(make([]byte, 0, len(want)), history...), src, len(want)-1); err == nil {
		t.Fatalf("offset %d, length %d, %d literals, %d more: no room and no error", offset, length, literals, more)
	}
}
