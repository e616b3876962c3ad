package v1

import (
	"errors"
	"fmt"
	"math"
	"time"
)

// units in the order in which a duration may name them
// (https://prometheus.io/docs/prometheus/latest/querying/basics/#float-literals-and-time-durations).
var units = []struct {
	name string
	size time.Duration
}{
	{"y", 365 * 24 * time.Hour},
	{"w", 7 * 24 * time.Hour},
	{"d", 24 * time.Hour},
	{"h", time.Hour},
	{"m", time.Minute},
	{"s", time.Second},
	{"ms", time.Millisecond},
}

// ParseDuration reads a duration as Prometheus writes it: whole numbers with units
// y, w, d, h, m, s, ms, the largest first, each at most once: 1h30m, 90d.
func ParseDuration(s string) (time.Duration, error) {
	var total time.Duration
	rest, next := s, 0
	for len(rest) > 0 {
		n, unit, tail, err := durationPart(rest)
		if err != nil {
			return 0, fmt.Errorf("duration %q: %w", s, err)
		}
		for next < len(units) && units[next].name != unit {
			next++
		}
		if next == len(units) {
			return 0, fmt.Errorf("duration %q: unit %q is unknown, repeated or out of order", s, unit)
		}
		size := int64(units[next].size)
		if n > (math.MaxInt64-int64(total))/size {
			return 0, fmt.Errorf("duration %q is too long", s)
		}
		total += time.Duration(n * size)
		rest, next = tail, next+1
	}
	if s == "" {
		return 0, errors.New("empty duration: want e.g. 1h30m or 7d")
	}
	return total, nil
}

// durationPart cuts one number with its unit off s.
func durationPart(s string) (n int64, unit, rest string, err error) {
	i := 0
	for ; i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		if n > (math.MaxInt64-9)/10 {
			return 0, "", "", errors.New("too long")
		}
		n = n*10 + int64(s[i]-'0')
	}
	j := i
	for ; j < len(s) && s[j] >= 'a' && s[j] <= 'z'; j++ {
	}
	if i == 0 || j == i {
		return 0, "", "", errors.New("want numbers with units, e.g. 1h30m or 7d")
	}
	return n, s[i:j], s[j:], nil
}
