package api

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"time"

	"atalaya/collector/api/v1"
	"atalaya/shared/facts"
)

// PageParams are the parameters of every list.
type PageParams struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"at most so many in a page"`
	Cursor string `query:"cursor" maxLength:"2048" doc:"next of the page before"`
}

// page gives the parameters to a backend.
func (p PageParams) page() (v1.Page, error) {
	cursor, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil {
		return v1.Page{}, errPageCursor
	}
	return v1.Page{Limit: p.Limit, Cursor: string(cursor)}, nil
}

// opaque hides a backend's cursor: clients must not build their own.
func opaque(cursor string) string { return base64.RawURLEncoding.EncodeToString([]byte(cursor)) }

// HostParam names a host in a path.
type HostParam struct {
	Host string `path:"host" minLength:"1" maxLength:"255" doc:"name or number of the host"`
}

// SectionParam limits an answer to one section.
type SectionParam struct {
	Section string `query:"section" maxLength:"64" doc:"name of a section; all when absent"`
}

// checkSection refuses names that no section has.
func checkSection(name string) error {
	if _, ok := facts.ByName(name); !ok {
		return fmt.Errorf("%w: no section is called %q; `atalaya query --schema` lists them", ErrInvalid, name)
	}
	return nil
}

// optionalSection is checkSection for a filter that may be empty.
func optionalSection(name string) error {
	if name == "" {
		return nil
	}
	return checkSection(name)
}

// checkOrder refuses ranges that end before they begin.
func checkOrder(from, to time.Time) error {
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return fmt.Errorf("%w: the range ends before it begins", ErrInvalid)
	}
	return nil
}

// RangeParams are the ends of a range of time.
type RangeParams struct {
	From string `query:"from" maxLength:"64" doc:"not before; RFC 3339, a date, or an age such as 7d"`
	To   string `query:"to" maxLength:"64" doc:"not after: one that is given to the second is its end; now when absent"`
}

// span returns the range, of which an end that is absent is the zero time.
func (p RangeParams) span(a *API) (from, to time.Time, err error) {
	from, err1 := a.past("from", p.From, v1.ParseFrom)
	to, err2 := a.past("to", p.To, v1.ParseState)
	return from, to, cmp.Or(err1, err2, checkOrder(from, to))
}

// lastDay is span with what it lacks: the range ends now, and is a day long.
func (p RangeParams) lastDay(a *API) (from, to time.Time, err error) {
	if from, to, err = p.span(a); err != nil {
		return from, to, err
	}
	if to.IsZero() {
		to = a.now()
	}
	if from.IsZero() {
		from = to.Add(-24 * time.Hour)
	}
	return from, to, checkOrder(from, to)
}

// clockSlack is how far a caller's clock may be ahead of ours.
const clockSlack = time.Minute

// past reads a moment that was; the zero time is one that is not given, and nothing else. One
// that has not come is refused: nothing is known of it.
func (a *API) past(name, text string, parse func(string, time.Time) (time.Time, error)) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if text[0] == ' ' {
		text = "+" + text[1:] // a plus that was not escaped in a query
	}
	now := a.now()
	at, err := parse(text, now)
	if err != nil {
		return at, fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
	}
	if at.After(now.Add(clockSlack)) {
		return at, fmt.Errorf("%w: %s is %s, which is in the future: it is %s now", ErrInvalid, name, at.UTC().Format(time.RFC3339), now.Format(time.RFC3339))
	}
	return at, nil
}

// nonNil makes lists [] in JSON, never null.
func nonNil[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// parseTime reads a time as Prometheus' interface takes it: seconds since 1970 with
// a fraction, or RFC 3339.
func parseTime(s string) (time.Time, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(f) || math.Abs(f) > maxUnix {
			return time.Time{}, fmt.Errorf("%w: time %q is out of range", ErrInvalid, s)
		}
		return time.UnixMilli(int64(math.Round(f * 1000))).UTC(), nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: time %q is neither seconds since 1970 nor RFC 3339", ErrInvalid, s)
	}
	return t, nil
}

// maxUnix is the last second of the year 9999, the last that RFC 3339 can write.
const maxUnix = 253402300799

// parseStep reads a duration as Prometheus' interface takes it: seconds with a
// fraction, or a text such as 1m30s.
func parseStep(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		if math.IsNaN(f) || math.Abs(f) > math.MaxInt64/float64(2*time.Second) {
			return 0, fmt.Errorf("%w: duration %q is out of range", ErrInvalid, s)
		}
		return time.Duration(f * float64(time.Second)), nil
	}
	d, err := v1.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return d, nil
}
