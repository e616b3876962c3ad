package probetest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"atalaya/agent/probe"
	"atalaya/shared/metric"
)

// Parser is a parser of a metric probe.
type Parser func(*probe.Report, []byte) error

// Samples returns what a parser reports as lines of name (without "node_"), labels and
// value. None may be negative or not a number.
func Samples(t testing.TB, parse Parser, in string) (string, error) {
	t.Helper()
	dict := metric.NewDictionary(1000, nil)
	r := probe.NewReport(dict, 1000)
	err := parse(r, []byte(in))
	var b strings.Builder
	for _, s := range r.Samples() {
		series := dict.Series()[s.Series]
		if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) || s.Value < 0 {
			t.Errorf("%s is %v", series.Name, s.Value)
		}
		b.WriteString(strings.TrimPrefix(series.Name, "node_"))
		for _, l := range series.Labels {
			b.WriteString(" " + l.Value)
		}
		fmt.Fprintf(&b, " %v\n", s.Value)
	}
	return b.String(), err
}

// Gives returns a check that the parser reports these Samples, and whether without an
// error.
func Gives(t *testing.T, parse Parser) func(in, want string, ok bool) {
	return func(in, want string, ok bool) {
		t.Helper()
		got, err := Samples(t, parse, in)
		if got != want || (err == nil) != ok {
			t.Errorf("%q gives\n%swith error %v, want\n%swith error: %v", in, got, err, want, !ok)
		}
	}
}
