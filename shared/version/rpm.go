package version

import "strings"

// compareRPM compares [epoch:]version[-release] as rpm does: each part by rpmvercmp
// (lib rpmio/rpmvercmp.c). A missing epoch is 0. A missing release is older than any,
// so that the order is total; rpm itself ignores the release then.
func compareRPM(a, b string) (int, error) {
	ea, va, ra := splitRPM(a)
	eb, vb, rb := splitRPM(b)
	if c := compareNumbers(ea, eb); c != 0 {
		return c, nil
	}
	if c := rpmvercmp(va, vb); c != 0 {
		return c, nil
	}
	return rpmvercmp(ra, rb), nil
}

// splitRPM takes an epoch only where digits alone stand before the colon.
func splitRPM(s string) (epoch, version, release string) {
	if n := digits(s); n < len(s) && s[n] == ':' {
		epoch, s = s[:n], s[n+1:]
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		return epoch, s[:i], s[i+1:]
	}
	return epoch, s, ""
}

// rpmvercmp compares segment by segment: runs of digits as numbers, runs of letters
// as text, anything else only separates. '~' sorts before the end, '^' after the end
// but before any further segment.
func rpmvercmp(a, b string) int {
	for len(a) > 0 || len(b) > 0 {
		a, b = trimSeparators(a), trimSeparators(b)
		if c, done := compareMark(&a, &b, '~', -1); done {
			return c
		} else if c == again {
			continue
		}
		if c, done := compareMark(&a, &b, '^', 1); done {
			return c
		} else if c == again {
			continue
		}
		if len(a) == 0 || len(b) == 0 {
			break
		}
		sa, sb := segment(a), segment(b)
		if isDigit(a[0]) != isDigit(b[0]) { // a number is newer than text
			if isDigit(a[0]) {
				return 1
			}
			return -1
		}
		c := compareBytes(sa, sb)
		if isDigit(a[0]) {
			c = compareNumbers(sa, sb)
		}
		if c != 0 {
			return c
		}
		a, b = a[len(sa):], b[len(sb):]
	}
	return sign(len(a) - len(b))
}

// again is compareMark's answer when both sides had the mark.
const again = 2

// compareMark handles '~' and '^' at the head of either side. atEnd is what the side
// with the mark weighs against an ended other side; against anything else it is
// older.
func compareMark(a, b *string, mark byte, atEnd int) (result int, done bool) {
	ma, mb := len(*a) > 0 && (*a)[0] == mark, len(*b) > 0 && (*b)[0] == mark
	switch {
	case ma && mb:
		*a, *b = (*a)[1:], (*b)[1:]
		return again, false
	case ma && len(*b) == 0:
		return atEnd, true
	case mb && len(*a) == 0:
		return -atEnd, true
	case ma:
		return -1, true
	case mb:
		return 1, true
	}
	return 0, false
}

func trimSeparators(s string) string {
	for len(s) > 0 && !isDigit(s[0]) && !isAlpha(s[0]) && s[0] != '~' && s[0] != '^' {
		s = s[1:]
	}
	return s
}

// segment returns the run of digits or of letters that s begins with.
func segment(s string) string {
	if n := digits(s); n > 0 {
		return s[:n]
	}
	n := 0
	for n < len(s) && isAlpha(s[n]) {
		n++
	}
	return s[:n]
}
