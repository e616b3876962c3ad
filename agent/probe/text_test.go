package probe

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"
)

func TestParseUint(t *testing.T) {
	f := func(in string, want uint64, ok bool) {
		t.Helper()
		if got, gotOK := ParseUint([]byte(in)); got != want || gotOK != ok {
			t.Errorf("ParseUint(%q) = %d, %v; want %d, %v", in, got, gotOK, want, ok)
		}
	}
	f("0", 0, true)
	f("0012", 12, true)
	f("18446744073709551615", math.MaxUint64, true)
	f("18446744073709551616", 0, false)
	f("28446744073709551615", 0, false)
	f("00000000000000000000001", 0, false)
	f("", 0, false)
	f("-1", 0, false)
	f("+1", 0, false)
	f("1 ", 0, false)
	f("0x1", 0, false)
}

func TestParseFixed(t *testing.T) {
	f := func(in string, want float64, ok bool) {
		t.Helper()
		if got, gotOK := ParseFixed([]byte(in)); got != want || gotOK != ok {
			t.Errorf("ParseFixed(%q) = %v, %v; want %v, %v", in, got, gotOK, want, ok)
		}
	}
	f("0.52", 0.52, true)
	f("1", 1, true)
	f("1.", 1, true)
	f("12345.678", 12345.678, true)
	f(".5", 0, false)
	f("1.x", 0, false)
	f("1.2.3", 0, false)
	f("1e3", 0, false)
	f("1234567890.1234567", 0, false)
}

func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"", "0", "0.52", "18446744073709551616", "1.2.3", "99999999999999.9"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := ParseUint(b); ok {
			if want, err := strconv.ParseUint(string(b), 10, 64); err != nil || n != want {
				t.Errorf("ParseUint(%q) = %d; strconv has %d, %v", b, n, want, err)
			}
		}
		if v, ok := ParseFixed(b); ok {
			if want, err := strconv.ParseFloat(string(b), 64); err != nil || v != want {
				t.Errorf("ParseFixed(%q) = %v; strconv has %v, %v", b, v, want, err)
			}
		}
	})
}

func FuzzLinesAndFields(f *testing.F) {
	f.Add([]byte("cpu  1 2\ncpu0 3\n\n  x\ty\r\nlast"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; len(rest) > 0; {
			var line []byte
			before := len(rest)
			line, rest = NextLine(rest)
			if len(rest) >= before {
				t.Fatalf("no progress in %q", b)
			}
			for {
				var field []byte
				field, line = NextField(line)
				if len(field) == 0 {
					break
				}
			}
			if len(line) != 0 {
				t.Fatalf("rest %q after the last field", line)
			}
		}
	})
}

func TestNamesStayBounded(t *testing.T) {
	var n Names
	for i := range 3 * maxNames {
		if s := fmt.Sprint(i); n.Of([]byte(s)) != s {
			t.Fatalf("wrong name for %s", s)
		}
		if len(n.m) > maxNames {
			t.Fatalf("%d names", len(n.m))
		}
	}
	b := []byte("eth0")
	n.Of(b)
	if a := testing.AllocsPerRun(100, func() { n.Of(b) }); a != 0 {
		t.Errorf("%v allocations for a known name", a)
	}
}

func FuzzEmptyLine(f *testing.F) {
	for n := range 40 {
		f.Add(strings.Repeat("a\n", n/2) + strings.Repeat("b", n%7) + "\n\nc\n\v\n\n")
		f.Add(strings.Repeat("\n\v", n))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := EmptyLine([]byte(text)), strings.Index(text, "\n\n"); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	})
}
