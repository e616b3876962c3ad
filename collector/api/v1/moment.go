package v1

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// momentForms are the forms that ParseMoment takes, for the text of its errors.
const momentForms = "want 2026-11-20, 2026-11-20 08:00, 2026-11-20T08:00:00Z, now, an age as 7d, 1h30m or -7d, or +30d for what is to come"

// errBeforeHistory: no history reaches back behind 1970, where the moments of facts begin.
// The zero time lies there too, which is no moment inside the collector.
var errBeforeHistory = errors.New("history does not reach back that far")

// leastSeconds is the least number that is taken for seconds since 1970: smaller ones may
// as well be years, or ages without their unit.
const leastSeconds = 100_000_000

// ParseMoment reads a moment as people, programs and queries give it: RFC 3339, a date with
// or without a time (UTC), seconds since 1970, "now", or a duration (see ParseDuration)
// that is an age, with or without a minus, or with a plus is still to come. second: it was
// given to the second, and stands for the whole of it.
func ParseMoment(text string, now time.Time) (at time.Time, second bool, err error) {
	text = strings.TrimSpace(text)
	if text == "now" {
		return now, false, nil
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateTime, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), !strings.ContainsAny(text, ".,"), nil
		}
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02 15:04", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, false, nil
		}
	}
	age := strings.TrimPrefix(text, "-")
	ahead, isAhead := strings.CutPrefix(text, "+")
	if isAhead {
		age = ahead
	}
	if d, err := ParseDuration(age); err == nil {
		if isAhead {
			d = -d
		}
		return now.Add(-d), false, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= leastSeconds && n < 253402300800 { // year 10000
		return time.Unix(n, 0).UTC(), true, nil
	}
	return time.Time{}, false, fmt.Errorf("%q is no time (%s)", text, momentForms)
}

// ParseState reads the moment of a state, or the end of a range: one that was given to the
// second is the end of that second, so that the time of a change that a table shows leads
// to the state after it. Never the zero time.
func ParseState(text string, now time.Time) (time.Time, error) {
	at, second, err := ParseMoment(text, now)
	if end := at.Add(time.Second - time.Millisecond); err == nil && second {
		if at.After(now) || !end.After(now) {
			at = end
		} else {
			at = now // the second has not ended yet
		}
	}
	return known(text, at, err)
}

// ParseFrom reads the beginning of a range, which is the moment before its first: one that
// was given to the second is the end of the second before. Never the zero time.
func ParseFrom(text string, now time.Time) (time.Time, error) {
	at, second, err := ParseMoment(text, now)
	if err == nil && second {
		at = at.Add(-time.Millisecond)
	}
	return known(text, at, err)
}

func known(text string, at time.Time, err error) (time.Time, error) {
	if err == nil && at.Before(time.Unix(1, 0)) {
		err = fmt.Errorf("%w: %s is before 1970", errBeforeHistory, text)
	}
	return at, err
}

// FormatMoment writes a moment such that ParseMoment reads the same one: with its
// milliseconds, also where they are zero.
func FormatMoment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }
