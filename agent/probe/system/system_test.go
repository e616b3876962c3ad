package system

import (
	"testing"

	"atalaya/agent/probetest"
)

func TestParseFileNr(t *testing.T) {
	f := probetest.Gives(t, parseFileNr)
	f("591\t0\t2466193\n", "filefd_allocated 591\nfilefd_maximum 2.466193e+06\n", true)
	f("591\n", "filefd_allocated 591\n", false)
	f("", "", false)
}

func TestParseEntropy(t *testing.T) {
	f := probetest.Gives(t, parseEntropy)
	f("256\n", "entropy_available_bits 256\n", true)
	f("x", "", false)
	f("", "", false)
}

func FuzzParse(f *testing.F) {
	f.Add("591\t0\t2466193\n")
	f.Fuzz(func(t *testing.T, in string) {
		probetest.Samples(t, parseFileNr, in)
		probetest.Samples(t, parseEntropy, in)
	})
}
