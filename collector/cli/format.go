package cli

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"atalaya/collector/api/v1"
)

// absent stands in tables for what is not known.
const absent = "-"

func text(s string) cell { return cell{text: s, value: s} }

// orAbsent is text with a mark for what is not known.
func orAbsent(s string) cell {
	if s == "" {
		return cell{text: absent, tone: faint}
	}
	return text(s)
}

func number[T int | int64 | uint64](n T) cell {
	s := fmt.Sprint(n)
	return cell{text: s, value: s, number: true}
}

// known is a cell for a number that is absent when it is zero.
func known[T int | int64](n T, format func(T) cell) cell {
	if n == 0 {
		return orAbsent("")
	}
	return format(n)
}

// count is number with a mark for what is not known.
func count[T int | uint64](n *T) cell {
	if n == nil {
		return cell{text: absent, tone: faint}
	}
	return number(*n)
}

// notable is a number that is marked when it is not zero.
func notable[T int | int64 | uint64](n T, t tone) cell {
	c := number(n)
	if n != 0 {
		c.tone = t
	}
	return c
}

// ago is a moment as its age.
func ago(now, at time.Time) cell {
	if at.IsZero() {
		return cell{text: absent, tone: faint}
	}
	return cell{text: age(now.Sub(at)), value: stamp(at)}
}

// moment is a time of day with its date, in UTC.
func moment(at time.Time) cell {
	if at.IsZero() {
		return cell{text: absent, tone: faint}
	}
	return cell{text: at.UTC().Format("2006-01-02 15:04:05"), value: stamp(at)}
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// age says how long ago something was, or in how long it will be.
func age(d time.Duration) string {
	if d <= -time.Second {
		return "in " + span(-d)
	}
	return span(max(d, 0)) + " ago"
}

// span is a length of time in its largest unit that gives two digits or so.
func span(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// size is a number of bytes with a binary unit.
func size(n int64) cell {
	return cell{text: human(n), value: strconv.FormatInt(n, 10), number: true}
}

func human(n int64) string {
	if n < 1024 && n > -1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), 0
	for math.Abs(f) >= 1023.95 && unit < 6 {
		f, unit = f/1024, unit+1
	}
	digits := 1
	if math.Abs(f) >= 99.95 {
		digits = 0
	}
	return strconv.FormatFloat(f, 'f', digits, 64) + " " + string("BKMGTPE"[unit]) + "iB"
}

// float is a metric's value: short for people, exact for programs.
func float(f float64) cell {
	exact := strconv.FormatFloat(f, 'f', -1, 64)
	short := strconv.FormatFloat(f, 'g', 6, 64)
	if len(exact) <= 17 {
		short = exact
	}
	return cell{text: short, value: exact, number: true}
}

// word is one of a closed list of judgements, with its tone.
func word(s string) cell {
	c := orAbsent(s)
	switch s {
	case v1.VerdictCurrent, v1.HostOnline, "ok", "valid", v1.ChangeAdded:
		c.tone = good
	case v1.VerdictPending, "warning", "partial", "stale", "denied", v1.VerdictUnknown, v1.ChangeChanged:
		c.tone = warn
	case v1.HostSilent, v1.AlertFiring, "critical", "failed", "error", v1.ChangeRemoved:
		c.tone = bad
	case v1.VerdictUnsupported, v1.HostRevoked, "empty", "expired", "used", "inactive", v1.AlertResolved:
		c.tone = faint
	}
	return c
}

// yesNo is a fact that may be unknown.
func yesNo(b *bool, tones ...tone) cell {
	if b == nil {
		return cell{text: absent, tone: faint}
	}
	c := cell{text: "no", value: "false"}
	if *b {
		c = cell{text: "yes", value: "true"}
		if len(tones) > 0 {
			c.tone = tones[0]
		}
	}
	return c
}

// labels writes a set of labels in Prometheus' form.
func labels(set map[string]string, without ...string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !slices.Contains(without, name) {
			parts = append(parts, name+"="+strconv.Quote(set[name]))
		}
	}
	return strings.Join(parts, ", ")
}

// parseState reads the value of a flag that is the moment of a state or the end of a range;
// zero: it was not given. Nothing is known of the future.
func parseState(flag, s string, now time.Time) (time.Time, error) {
	return past(flag, s, now, v1.ParseState)
}

// parseFrom is parseState for the beginning of a range.
func parseFrom(flag, s string, now time.Time) (time.Time, error) {
	return past(flag, s, now, v1.ParseFrom)
}

func past(flag, s string, now time.Time, parse func(string, time.Time) (time.Time, error)) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, err := parse(s, now)
	if err != nil {
		return at, usagef("--%s: %w", flag, err)
	}
	if at.After(now) {
		return at, usagef("--%s %s is in the future: it is %s now (UTC)", flag, s, now.UTC().Format(time.DateTime))
	}
	return at, nil
}

// sparks are the eight heights of a trend line.
var sparks = []rune("▁▂▃▄▅▆▇█")

// trend draws values as a line of at most columns characters. Each character is the
// mean of its share of the values; a gap where there is none.
func trend(values []float64, columns int) string {
	columns = min(columns, len(values))
	if columns == 0 {
		return ""
	}
	means := make([]float64, columns)
	low, high := math.Inf(1), math.Inf(-1)
	for i := range means {
		means[i] = mean(values[i*len(values)/columns : (i+1)*len(values)/columns])
		if !math.IsNaN(means[i]) {
			low, high = min(low, means[i]), max(high, means[i])
		}
	}
	var b strings.Builder
	for _, m := range means {
		switch {
		case math.IsNaN(m):
			b.WriteRune(' ')
		case high == low:
			b.WriteRune(sparks[0])
		default:
			b.WriteRune(sparks[min(7, int((m/2-low/2)/(high/2-low/2)*8))])
		}
	}
	return b.String()
}

// mean of the finite values; NaN when there is none.
func mean(values []float64) float64 {
	sum, n := 0.0, 0
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			n++
			sum += v/float64(n) - sum/float64(n) // a running mean cannot overflow
		}
	}
	if n == 0 {
		return math.NaN()
	}
	return sum
}
