package probetest

import (
	"bytes"
	"iter"
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
