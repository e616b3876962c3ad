package v1

import (
	"strings"
	"testing"
	"time"
)

func TestMomentsAreReadInEveryForm(t *testing.T) {
	now := time.Date(2026, 11, 20, 8, 0, 42, 250e6, time.UTC)
	for _, c := range []struct{ text, at, state, from string }{
		{"now", "2026-11-20T08:00:42.250Z", "", ""},
		{" 7d ", "2026-11-13T08:00:42.250Z", "", ""},
		{"-7d", "2026-11-13T08:00:42.250Z", "", ""},
		{"+30d", "2026-12-20T08:00:42.250Z", "", ""},
		{"1w", "2026-11-13T08:00:42.250Z", "", ""},
		{"90m", "2026-11-20T06:30:42.250Z", "", ""},
		{"1h30m", "2026-11-20T06:30:42.250Z", "", ""},
		{"-1h30m", "2026-11-20T06:30:42.250Z", "", ""},
		{"2026-11-01", "2026-11-01T00:00:00.000Z", "", ""},
		{"2026-11-01 12:30", "2026-11-01T12:30:00.000Z", "", ""},
		{"2026-11-01T12:30", "2026-11-01T12:30:00.000Z", "", ""},
		{"2026-11-01 12:30:05", "2026-11-01T12:30:05.000Z", "2026-11-01T12:30:05.999Z", "2026-11-01T12:30:04.999Z"},
		{"2026-11-01T12:30:05", "2026-11-01T12:30:05.000Z", "2026-11-01T12:30:05.999Z", "2026-11-01T12:30:04.999Z"},
		{"2026-11-01T14:30:05+02:00", "2026-11-01T12:30:05.000Z", "2026-11-01T12:30:05.999Z", "2026-11-01T12:30:04.999Z"},
		{"2026-11-01T12:30:05.000Z", "2026-11-01T12:30:05.000Z", "", ""},
		{"2026-11-01T12:30:05.25Z", "2026-11-01T12:30:05.250Z", "", ""},
		{"1763625642", "2025-11-20T08:00:42.000Z", "2025-11-20T08:00:42.999Z", "2025-11-20T08:00:41.999Z"},
		{"2026-11-20T08:00:42Z", "2026-11-20T08:00:42.000Z", "2026-11-20T08:00:42.250Z", "2026-11-20T08:00:41.999Z"}, // it has not ended
	} {
		at, _, err := ParseMoment(c.text, now)
		state, err2 := ParseState(c.text, now)
		from, err3 := ParseFrom(c.text, now)
		if c.state == "" {
			c.state, c.from = c.at, c.at
		}
		if err != nil || err2 != nil || err3 != nil || FormatMoment(at) != c.at || FormatMoment(state) != c.state || FormatMoment(from) != c.from {
			t.Errorf("%q: %v, state %v, from %v; %v, %v, %v; want %s, %s, %s", c.text, at, state, from, err, err2, err3, c.at, c.state, c.from)
		}
	}
	for _, bad := range []string{"", "yesterday", "24", "2026", "1m1h", "--1h", "+-1h", "2026-13-01", "99999999999999999999h", "300y1", "9999999999999"} {
		if at, _, err := ParseMoment(bad, now); err == nil || !strings.Contains(err.Error(), "1h30m") || !strings.Contains(err.Error(), "-7d") {
			t.Errorf("ParseMoment(%q) = %v, %v, want an error with the forms", bad, at, err)
		}
	}
	for _, old := range []string{"0001-01-01", "0001-01-01T00:00:00Z", "1970-01-01", "1960-05-01T00:00:00.5Z", "100y"} {
		for _, parse := range []func(string, time.Time) (time.Time, error){ParseState, ParseFrom} {
			if at, err := parse(old, now); err == nil || !strings.Contains(err.Error(), "history does not reach back that far") {
				t.Errorf("%q = %v, %v, want that no history reaches back so far", old, at, err)
			}
		}
	}
}

func FuzzParseMoment(f *testing.F) {
	for _, s := range []string{"24h", "7d", "-7d", "+1w", "2026-03-14", "2026-03-14 09:30:00", "2026-03-14T09:30:00.5Z", "now", "1y2w", "292277026596"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, s string) {
		at, second, err := ParseMoment(s, now)
		if err != nil {
			return
		}
		state, err := ParseState(s, now)
		if err == nil && (state.IsZero() || state.Before(at) || !second && !state.Equal(at)) {
			t.Errorf("ParseState(%q) = %v, the moment is %v", s, state, at)
		}
		if again, _, err := ParseMoment(FormatMoment(at), now); at.Year() < 10000 && (err != nil || !again.Equal(at.Truncate(time.Millisecond))) {
			t.Errorf("%q = %v is read again as %v, %v", s, at, again, err)
		}
	})
}
