package probe

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// lines reads the lines of a stream through a window of four bytes.
func lines(in io.Reader, limit int) (got []string, rest string, w *Window) {
	w = NewWindow(in, 4, limit)
	for {
		if i := bytes.IndexByte(w.Held(), '\n'); i >= 0 {
			got = append(got, string(w.Held()[:i]))
			w.Take(i + 1)
		} else if !w.More() {
			return got, string(w.Held()), w
		}
	}
}

func TestWindowHandsOutWhatIsInTheStream(t *testing.T) {
	broken := errors.New("broken pipe")
	for _, c := range []struct {
		name, in, want, rest, problem string
		offset                        int64
		fails                         error
	}{
		{"empty", "", "", "", "", 0, nil},
		{"whole", "a\nbc\n\ndefghijkl\nm\n", "a|bc||defghijkl|m", "", "", 18, nil},
		{"no_last_newline", "a\nbcdefg", "a", "bcdefg", "", 2, nil},
		{"longer_than_the_limit", "a\n" + strings.Repeat("x", 17) + "\nb\n", "a", strings.Repeat("x", 16), "at offset 2 is longer than 16 bytes", 2, nil},
		{"as_long_as_the_limit", strings.Repeat("x", 15) + "\nb\n", strings.Repeat("x", 15) + "|b", "", "", 18, nil},
		{"nul", "abc\nde\x00f\ng\n", "abc", "de", "NUL byte at offset 6", 4, nil},
		{"nul_first", "\x00\na\n", "", "", "NUL byte at offset 0", 0, nil},
		{"error_behind_content", "abc\nde", "abc", "de", "broken pipe", 4, broken},
		{"cut_off_archive", "abc\n", "abc", "", "unexpected EOF", 4, io.ErrUnexpectedEOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			var in io.Reader = strings.NewReader(c.in)
			if c.fails != nil {
				in = io.MultiReader(in, iotest.ErrReader(c.fails))
			}
			got, rest, w := lines(in, 16)
			if strings.Join(got, "|") != c.want || rest != c.rest || w.Offset() != c.offset {
				t.Errorf("%q, then %q at %d; want %q, %q at %d", got, rest, w.Offset(), c.want, c.rest, c.offset)
			}
			if c.problem == "" && w.Err() != nil || c.problem != "" && (w.Err() == nil || !strings.Contains(w.Err().Error(), c.problem)) {
				t.Errorf("error %v, want %q", w.Err(), c.problem)
			}
			if w.More() {
				t.Error("there is more behind the end")
			}
		})
	}
}

// FuzzWindow holds a window to reading all at once, however the stream is cut up.
func FuzzWindow(f *testing.F) {
	f.Add([]byte("a\nbc\n\ndefghijkl\nm\n"))
	f.Add([]byte("abc\nde\x00f\ng\n"))
	f.Add([]byte(strings.Repeat("long", 20) + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		whole, _, nul := bytes.Cut(data, []byte{0})
		want := strings.Split(string(whole), "\n")
		last := want[len(want)-1]
		for _, in := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data)), iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(data)))} {
			got, rest, w := lines(in, len(data)+1)
			if strings.Join(append(got, rest), "\n") != string(whole) || rest != last {
				t.Fatalf("read %q and %q of %q", got, rest, data)
			}
			if (w.Err() != nil) != nul || w.Offset() != int64(len(whole)-len(rest)) {
				t.Fatalf("error %v, offset %d of %q", w.Err(), w.Offset(), data)
			}
			if !nul && w.Read() != int64(len(data)) {
				t.Fatalf("%d bytes read of %d", w.Read(), len(data))
			}
		}
	})
}
