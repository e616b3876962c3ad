package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestReaderReturnsWhatWasAppended(t *testing.T) {
	text := []byte(strings.Repeat("libssl3 3.0.11-1~deb12u2 amd64; ", 4000))
	payloads := [][]byte{nil, {1}, noise(31), noise(33), text[:1023], text[:1024], text, noise(5000), noise(smallBuffer), noise(mediumBuffer + 1), noise(MaxBatch), text[:70_000]}
	var stream []byte
	for i, p := range payloads {
		stream = AppendMessage(stream, Type(i%9+1), p)
	}
	for name, r := range map[string]io.Reader{
		"whole": bytes.NewReader(stream), "a_byte_at_a_time": iotest.OneByteReader(bytes.NewReader(stream)),
		"error_with_the_last_bytes": iotest.DataErrReader(bytes.NewReader(stream)), "halves": iotest.HalfReader(bytes.NewReader(stream)),
	} {
		t.Run(name, func(t *testing.T) {
			reader := NewReader(r, BatchLimits())
			for i, want := range payloads {
				typ, got, err := reader.Next()
				if err != nil || typ != Type(i%9+1) || !bytes.Equal(got, want) {
					t.Fatalf("message %d: %v with %d bytes, %v; want %d bytes", i, typ, len(got), err, len(want))
				}
			}
			if _, _, err := reader.Next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		})
	}
}

func TestReaderTellsACutStreamFromItsEnd(t *testing.T) {
	stream := AppendMessage(nil, TypeHello, noise(300))
	for n := 1; n < len(stream); n++ {
		if _, _, err := NewReader(bytes.NewReader(stream[:n]), ControlLimits()).Next(); err != io.ErrUnexpectedEOF {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	broken := errors.New("broken")
	r := NewReader(io.MultiReader(bytes.NewReader(stream[:9]), iotest.ErrReader(broken)), ControlLimits())
	if _, _, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("broken stream: %v", err)
	}
}

// frame builds a frame by hand, lies included.
func frame(head, size uint64, body []byte) []byte {
	b := binary.AppendUvarint(nil, head)
	return append(binary.AppendUvarint(b, size), body...)
}

// packed builds the body of a compressed frame that claims to inflate to size.
func packed(size uint64, zstdFrame []byte) []byte {
	return append(binary.AppendUvarint(nil, size), zstdFrame...)
}

func TestReaderRefusesBeforeItReads(t *testing.T) {
	for _, c := range []struct {
		name   string
		stream []byte
		want   error
	}{
		{"unknown type", frame(99<<1, 3, []byte("abc")), ErrMalformed},
		{"type zero", frame(0, 3, []byte("abc")), ErrMalformed},
		{"too large", frame(uint64(TypeBatch)<<1, MaxBatch+1, nil), ErrTooLarge},
		{"absurd size", frame(uint64(TypeBatch)<<1, 1<<63, nil), ErrTooLarge},
		{"number of 65 bits", bytes.Repeat([]byte{0xff}, 10), ErrMalformed},
		{"number not in its shortest form", []byte{0x82, 0x00, 0x00}, ErrMalformed},
		{"nothing to inflate", frame(uint64(TypeBatch)<<1|1, 0, nil), ErrMalformed},
		{"no zstd", frame(uint64(TypeBatch)<<1|1, 5, packed(100, []byte("abcd"))), ErrMalformed},
		{"inflates to too much", frame(uint64(TypeBatch)<<1|1, 5, packed(MaxInflated+1, []byte("a"))), ErrTooLarge},
	} {
		_, _, err := NewReader(bytes.NewReader(c.stream), BatchLimits()).Next()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
	}
}

// bomb returns a zstd frame of size zero bytes that does not name its size.
func bomb(t testing.TB, size int) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(maxWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for range size / len(zeros) {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBombsAreRefusedInBoundedMemory(t *testing.T) {
	small := bomb(t, 256<<20) // about 8 KiB on the wire
	padded := bytes.Clone(small)
	for len(padded) < MaxInflated/MaxRatio { // skippable frames, RFC 8878 section 3.1.2, to pass the ratio
		padded = append(padded, 0x50, 0x2a, 0x4d, 0x18, 0xff, 0, 0, 0)
		padded = append(padded, make([]byte, 255)...)
	}
	for name, stream := range map[string][]byte{
		"honest_about_its_size": frame(uint64(TypeBatch)<<1|1, uint64(len(small)+4), packed(256<<20, small)),
		"claims_the_limit":      frame(uint64(TypeBatch)<<1|1, uint64(len(small)+4), packed(MaxInflated, small)),
		"claims_the_ratio":      frame(uint64(TypeBatch)<<1|1, uint64(len(small)+3), packed(uint64(MaxRatio*len(small)), small)),
		"padded_to_the_limit":   frame(uint64(TypeBatch)<<1|1, uint64(len(padded)+4), packed(MaxInflated-1, padded)),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, _, err := NewReader(bytes.NewReader(stream), BatchLimits()).Next()
			runtime.ReadMemStats(&after)
			if !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v", err)
			}
			// The buffer doubles up to its limit, so everything ever allocated is below
			// twice of it, and the decoder has its window.
			if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(2*MaxInflated+8*maxWindow); got > limit {
				t.Errorf("%d MiB allocated, limit %d", got>>20, limit>>20)
			}
		})
	}
}

// TestIdleReaderHoldsNoBuffer is the promise behind ten thousand connections.
func TestIdleReaderHoldsNoBuffer(t *testing.T) {
	pr, pw := io.Pipe()
	r := NewReader(pr, BatchLimits())
	go func() {
		pw.Write(AppendMessage(nil, TypeBatch, noise(50_000)))
		pw.Close()
	}()
	if _, got, err := r.Next(); err != nil || len(got) != 50_000 {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if _, _, err := r.Next(); err != io.EOF {
		t.Fatal(err)
	}
	if r.buf.b != nil {
		t.Errorf("it holds %d bytes", cap(r.buf.b))
	}
}

func FuzzReader(f *testing.F) {
	f.Add(AppendMessage(nil, TypeHello, noise(10)))
	f.Add(AppendMessage(nil, TypeBatch, bytes.Repeat([]byte("abcdefg "), 1000)))
	f.Add(frame(uint64(TypeBatch)<<1|1, 9, packed(100, []byte("abcdefgh"))))
	for _, g := range goldenFiles(f) {
		f.Add(g)
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		r := NewReader(bytes.NewReader(stream), BatchLimits())
		for {
			typ, payload, err := r.Next()
			if err != nil {
				return
			}
			typ2, again, err := NewReader(bytes.NewReader(AppendMessage(nil, typ, payload)), BatchLimits()).Next()
			if err != nil || typ2 != typ || !bytes.Equal(again, payload) {
				t.Fatalf("%v with %d bytes became %v with %d, %v", typ, len(payload), typ2, len(again), err)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{200, 30_000} {
		stream := AppendMessage(nil, TypeBatch, noise(size))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.ReportAllocs()
			src := bytes.NewReader(nil)
			r := NewReader(src, BatchLimits())
			for b.Loop() {
				src.Reset(stream)
				if _, _, err := r.Next(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
