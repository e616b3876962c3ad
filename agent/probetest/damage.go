package probetest

import (
	"bytes"
	"iter"
	"runtime"
	"testing"
)

// Cuts yields data cut off at every place before its end, with the place.
func Cuts[T ~string | ~[]byte](data T) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		for n := range len(data) {
			if !yield(n, data[:n]) {
				return
			}
		}
	}
}

// Damages returns, by name, ways in which a file is spoilt. Each returns what is left,
// nil for no file at all, and takes no empty file.
func Damages() map[string]func(data []byte) []byte {
	return map[string]func([]byte) []byte{
		"gone":  func([]byte) []byte { return nil },
		"empty": func([]byte) []byte { return []byte{} },
		"cut":   func(data []byte) []byte { return data[:len(data)/2] },
		"garbage": func(data []byte) []byte {
			return bytes.Repeat([]byte{0, 0xff, ':', ' ', '\n', 'c', 'p', 'u', '9', 'x'}, len(data)/8+1)
		},
		"letters": func(data []byte) []byte { return bytes.Map(lettersForDigits, data) },
		"huge":    func(data []byte) []byte { return bytes.Repeat(data, (5<<20)/len(data)+1) },
	}
}

func lettersForDigits(r rune) rune {
	if '0' <= r && r <= '9' {
		return 'a' + r - '0'
	}
	return r
}

// BadRecords returns, by name, what somebody may put into a file of records, one a line, to
// cost its reader most: the same bad record 100,000 times, or one in the middle of good ones.
func BadRecords(data []byte) map[string][]byte {
	first, _, _ := bytes.Cut(data, []byte{'\n'})
	out := make(map[string][]byte)
	for name, record := range map[string][]byte{
		"half a record": first[:len(first)/2],
		"letters":       bytes.Map(lettersForDigits, first),
		"a word":        []byte("a\n"), // and the end of its stanza
		"a bracket":     []byte("[{(<"),
	} {
		record = append(bytes.Clone(record), '\n')
		out["many times "+name] = bytes.Repeat(record, 100_000)
		out[name+" in the middle"] = bytes.Join([][]byte{data, data}, record)
	}
	return out
}

// Allocated is how many bytes a function takes of the heap, also those that it gives back.
func Allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// Bounded fails the test if a reader of those allocates more than most bytes in all, or tells
// of more than a few.
func Bounded(t *testing.T, what string, most uint64, read func() error) {
	t.Helper()
	text := ""
	grown := Allocated(func() {
		if err := read(); err != nil {
			text = err.Error()
		}
	})
	if grown > most || len(text) > 10_000 {
		t.Errorf("%s: %d MB, an error of %d bytes: %.200q", what, grown>>20, len(text), text)
	}
}
