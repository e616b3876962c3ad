package store

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// bitsOf are the numbers of the bits that are set.
func bitsOf(words []uint64) (ids []uint32) {
	for i := range len(words) * 64 {
		if words[i/64]>>(i%64)&1 == 1 {
			ids = append(ids, uint32(i))
		}
	}
	return ids
}

func TestSetsComeBackAsWords(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 1))
	forms := map[byte]int{}
	for range 2000 {
		chance, run := rng.IntN(pieceHosts)+1, rng.IntN(100)+1
		var ids []uint32
		for id := uint32(0); id < pieceHosts; id++ {
			if rng.IntN(pieceHosts) < chance/run {
				for n := rng.IntN(2*run) + 1; n > 0 && id < pieceHosts; n-- {
					ids = append(ids, id)
					id++
				}
			}
		}
		set := appendSet(nil, ids, pieceHosts/8)
		forms[set[0]]++
		var words [pieceHosts / 64]uint64
		if !setWords(set, words[:]) || !slices.Equal(bitsOf(words[:]), ids) {
			t.Fatalf("form %d of %d: %d", set[0], ids, bitsOf(words[:]))
		}
	}
	if len(forms) != 3 {
		t.Errorf("not all forms were tried: %v", forms)
	}
}

func FuzzSetWords(f *testing.F) {
	f.Add(appendSet(nil, []uint32{0, 1, 2, 3, 63, 64, 127}, 16))
	f.Add(appendSet(nil, []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 120}, 0))
	f.Add([]byte{setRuns, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}) // a run of 2^64
	f.Add([]byte{setGaps, 0xff, 0x7f})                                                    // beyond the words
	f.Add([]byte{setBits, 1, 2, 3})
	f.Fuzz(func(t *testing.T, set []byte) {
		words := make([]uint64, 2)
		if !setWords(set, words) {
			return
		}
		want := make([]uint64, 2)
		if !eachOf(set, func(id uint32) { want[id/64] |= 1 << (id % 64) }) || !slices.Equal(words, want) {
			t.Errorf("%x is %x, want %x", set, words, want)
		}
	})
}
