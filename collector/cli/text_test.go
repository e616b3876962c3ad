package cli

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"atalaya/collector/api/v1"
)

func TestCleanShowsWhatWouldAct(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := clean(in); got != want {
			t.Errorf("clean(%q) = %q, want %q", in, got, want)
		}
	}
	f("web1", "web1")
	f("Grüße, 世界", "Grüße, 世界")
	f("\x1b[2J", `\x1b[2J`)
	f("a\nb\tc\x00", `a\nb\x09c\x00`)
	f("\u009b31m", `\u009b31m`)
	f("gpj.\u202eexe", `gpj.\u202eexe`)
	f("\U000e0041", `\U000e0041`)
	f("\xff\xc0\xaf", "\ufffd\ufffd\ufffd")
	f("e"+strings.Repeat("\u0301", 9), "e"+strings.Repeat("\u0301", maxMarks))
}

func TestSpreadsheetSafe(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := spreadsheetSafe(in); got != want {
			t.Errorf("spreadsheetSafe(%q) = %q, want %q", in, got, want)
		}
	}
	f("", "")
	f("a=1", "a=1")
	f("=1", "'=1")
	f("+1", "'+1")
	f("-1", "'-1")
	f("@x", "'@x")
	f("\t=1", `'\x09=1`)
	f("\r=1", `'\x0d=1`)
}

func TestAge(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
	f(0, "0 s ago")
	f(-500*time.Millisecond, "0 s ago")
	f(119*time.Second, "119 s ago")
	f(2*time.Minute, "2 min ago")
	f(119*time.Minute, "119 min ago")
	f(2*time.Hour, "2 h ago")
	f(47*time.Hour, "47 h ago")
	f(48*time.Hour, "2 days ago")
	f(-90*24*time.Hour, "in 90 days")
	f(-90*time.Second, "in 90 s")
}

func TestHumanSizes(t *testing.T) {
	f := func(n int64, want string) {
		t.Helper()
		if got := human(n); got != want {
			t.Errorf("human(%d) = %q, want %q", n, got, want)
		}
	}
	f(0, "0 B")
	f(1023, "1023 B")
	f(1024, "1.0 KiB")
	f(1536, "1.5 KiB")
	f(102399, "100 KiB")
	f(1<<20-1, "1.0 MiB")
	f(128<<30, "128 GiB")
	f(1<<63-1, "8.0 EiB")
	f(-2048, "-2.0 KiB")
}

func TestMomentsOfFlagsLieInThePast(t *testing.T) {
	now := time.Date(2026, 3, 14, 9, 30, 0, 250e6, time.UTC)
	f := func(in, state, from, complaint string) {
		t.Helper()
		at, err := parseState("as-of", in, now)
		begin, err2 := parseFrom("from", in, now)
		if complaint != "" {
			if err == nil || !strings.HasPrefix(err.Error(), "--as-of") || !strings.Contains(err.Error(), complaint) || err2 == nil {
				t.Errorf("%q = %v, %v, want %q", in, at, err, complaint)
			}
			return
		}
		if err != nil || err2 != nil || v1.FormatMoment(at) != state || v1.FormatMoment(begin) != from {
			t.Errorf("%q = %v from %v, %v, %v, want %s from %s", in, at, begin, err, err2, state, from)
		}
	}
	f("now", "2026-03-14T09:30:00.250Z", "2026-03-14T09:30:00.250Z", "")
	f("-24h", "2026-03-13T09:30:00.250Z", "2026-03-13T09:30:00.250Z", "")
	f("2026-03-14T09:30:00Z", "2026-03-14T09:30:00.250Z", "2026-03-14T09:29:59.999Z", "")
	f("2026-03-13 09:30:00", "2026-03-13T09:30:00.999Z", "2026-03-13T09:29:59.999Z", "")
	f("2026-03-15", "", "", "is in the future: it is 2026-03-14 09:30:00 now")
	f("0001-01-01", "", "", "history does not reach back that far")
	f("yesterday", "", "", "want 2026-11-20")
	if at, err := parseState("as-of", "", now); !at.IsZero() || err != nil {
		t.Errorf("no moment: %v, %v", at, err)
	}
}

func TestTrend(t *testing.T) {
	f := func(values []float64, columns int, want string) {
		t.Helper()
		if got := trend(values, columns); got != want {
			t.Errorf("trend(%v, %d) = %q, want %q", values, columns, got, want)
		}
	}
	f(nil, 8, "")
	f([]float64{1, 1, 1}, 8, "▁▁▁")
	f([]float64{0, 1, 2, 3, 4, 5, 6, 7}, 8, "▁▂▃▄▅▆▇█")
	f([]float64{0, 0, 7, 7}, 2, "▁█")
	f([]float64{-1.7e308, 1.7e308}, 2, "▁█")
}

func TestTruncateCountsColumns(t *testing.T) {
	f := func(s string, columns int, want string) {
		t.Helper()
		if got := truncate(s, columns); got != want {
			t.Errorf("truncate(%q, %d) = %q, want %q", s, columns, got, want)
		}
	}
	f("abcdef", 6, "abcdef")
	f("abcdef", 5, "abcd…")
	f("世界世界", 8, "世界世界")
	f("世界世界", 7, "世界世…")
	f("世界世界", 6, "世界…")
	f("e\u0301e\u0301e\u0301", 3, "e\u0301e\u0301e\u0301")
}

func TestPagesStopWhenTheCollectorRepeatsItself(t *testing.T) {
	calls := 0
	_, _, err := all(0, func(v1.Page) ([]int, string, error) { calls++; return []int{1}, "same", nil })
	if err == nil || calls != 2 {
		t.Errorf("%d calls, %v, want an error at the second", calls, err)
	}
}

// FuzzTable draws tables of arbitrary texts: every line fits, nothing acts on the
// terminal, and each row is one line.
func FuzzTable(f *testing.F) {
	f.Add("web1", "Debian", 40)
	f.Add("\x1b[2J", "世界世界世界世界世界", 20)
	f.Add("\n\n", "e\u0301\u0302\u0303\u0304\u0305\u0306", 9)
	f.Add(strings.Repeat("x", 500), "\xff\xfe\u202e", 80)
	f.Fuzz(func(t *testing.T, a, b string, columns int) {
		tab := table{columns: []column{{title: "A"}, {title: "B", right: true}, {title: "C"}}}
		tab.add(text(a), text(b), number(7))
		tab.add(text(b), text(a), number(-7))
		var out bytes.Buffer
		if err := tab.write(&out, columns, false); err != nil {
			t.Fatal(err)
		}
		if !utf8.Valid(out.Bytes()) || bytes.ContainsFunc(out.Bytes(), v1.Unsafe) {
			t.Errorf("table acts on the terminal: %q", out.String())
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if len(lines) != 3 {
			t.Errorf("%d lines, want 3: %q", len(lines), out.String())
		}
		for _, line := range lines {
			if limit := max(columns, 3*minColumn+2*len(gap)); columns > 0 && width(line) > limit {
				t.Errorf("line of %d columns on a terminal of %d: %q", width(line), columns, line)
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add("=1+1", "\"quoted\"")
	f.Fuzz(func(t *testing.T, a, b string) {
		tab := table{columns: []column{{name: "a"}, {name: "b"}}}
		tab.add(text(a), text(b))
		var out bytes.Buffer
		if err := tab.writeCSV(&out); err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsFunc(out.Bytes(), v1.Unsafe) {
			t.Errorf("control characters in %q", out.String())
		}
	})
}

func TestErrorsStandOnOneLine(t *testing.T) {
	for in, want := range map[string]string{
		"one":              "one",
		"a\r\n\n\tb\n\x1b": `a; b; \x1b`,
		"unknown command \"hos\" for \"atalaya\"\n\nDid you mean this?\n\thost\n\tpost\n": `unknown command "hos" for "atalaya": did you mean host, post?`,
	} {
		if got := oneLine(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestChangesThatWereToldLateSaySo(t *testing.T) {
	at := time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC)
	for after, want := range map[time.Duration]string{time.Minute: "now 2", 49 * time.Hour: "now 2 (received 2026-03-16 10:30:00)"} {
		rows := changeTable([]v1.Change{{At: at, ReceivedAt: at.Add(after), Text: "now 2"}}).rows
		if got := rows[0][4].text; rows[0][0].text != "2026-03-14 09:30:00" || got != want {
			t.Errorf("received %s later: %q at %s, want %q", after, got, rows[0][0].text, want)
		}
	}
}

func TestWholeNumbersOfAnswersAreExact(t *testing.T) {
	const rows = `[[9007199254740993,9223372036854775807,-9223372036854775808,0.5,1e+21,null]]`
	var doc v1.SQLAnswer
	if err := json.Unmarshal([]byte(`{"rows":`+rows+`}`), &doc); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range answerTable(doc, false).rows[0] {
		got = append(got, c.text)
	}
	if want := "9007199254740993 9223372036854775807 -9223372036854775808 0.5 1e+21 " + absent; strings.Join(got, " ") != want {
		t.Errorf("table %q, want %q", got, want)
	}
	if again, err := json.Marshal(doc.Rows); err != nil || string(again) != rows {
		t.Errorf("JSON %s, %v", again, err)
	}
}

// TestTheNameOfALineIsCutLast: lines whose names are cut to the same few letters tell nothing.
func TestTheNameOfALineIsCutLast(t *testing.T) {
	for _, c := range []struct {
		widths []int
		total  int
		want   []int
	}{
		{[]int{10, 6, 40, 30}, 60, []int{10, 6, 22, 22}},
		{[]int{30, 30, 30}, 60, []int{30, 15, 15}},
		{[]int{50, 30, 30}, 60, []int{30, 15, 15}},
		{[]int{50, 30, 30}, 30, []int{15, 7, 8}},
		{[]int{50, 30, 30}, 20, []int{8, 6, 6}},
		{[]int{10, 6, 30, 8, 7, 7, 8, 6, 9}, 64, []int{10, 6, 7, 7, 7, 7, 7, 6, 7}},
		{[]int{9, 9, 9}, 15, []int{6, 6, 6}},
		{[]int{200}, 80, []int{80}},
	} {
		got := slices.Clone(c.widths)
		if fit(got, c.total); !slices.Equal(got, c.want) {
			t.Errorf("fit(%v, %d) = %v, want %v", c.widths, c.total, got, c.want)
		}
	}
}
