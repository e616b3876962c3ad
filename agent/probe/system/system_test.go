package system

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// text gives what a parser reports as lines of name, labels and value.
func text(t testing.TB, parse func(*probe.Report, []byte) error, in string) (string, error) {
	t.Helper()
	dict := metric.NewDictionary(1000, nil)
	r := probe.NewReport(dict, 1000)
	err := parse(r, []byte(in))
	var b strings.Builder
	for _, s := range r.Samples() {
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.Value < 0 {
			t.Errorf("%s is %v", dict.Series()[s.Series].Name, s.Value)
		}
		fmt.Fprint(&b, strings.TrimPrefix(dict.Series()[s.Series].Name, "node_"))
		for _, l := range dict.Series()[s.Series].Labels {
			fmt.Fprint(&b, " ", l.Value)
		}
		fmt.Fprintf(&b, " %v\n", s.Value)
	}
	return b.String(), err
}

func check(t *testing.T, parse func(*probe.Report, []byte) error, in, want string, ok bool) {
	t.Helper()
	got, err := text(t, parse, in)
	if got != want || (err == nil) != ok {
		t.Errorf("%q gives\n%swith error %v, want\n%swith error: %v", in, got, err, want, !ok)
	}
}

func TestParseFileNr(t *testing.T) {
	f := func(in, want string, ok bool) {
		t.Helper()
		check(t, parseFileNr, in, want, ok)
	}
	f("591\t0\t2466193\n", "filefd_allocated 591\nfilefd_maximum 2.466193e+06\n", true)
	f("591\n", "filefd_allocated 591\n", false)
	f("", "", false)
}

func TestParseEntropy(t *testing.T) {
	f := func(in, want string, ok bool) {
		t.Helper()
		check(t, parseEntropy, in, want, ok)
	}
	f("256\n", "entropy_available_bits 256\n", true)
	f("x", "", false)
	f("", "", false)
}

func FuzzParse(f *testing.F) {
	f.Add("591\t0\t2466193\n")
	f.Fuzz(func(t *testing.T, in string) {
		text(t, parseFileNr, in)
		text(t, parseEntropy, in)
	})
}
