package version

import "strings"

// comparePacman compares [epoch:]version[-pkgrel] as pacman does (vercmp(8),
// alpm_pkg_vercmp in libalpm's version.c). It is no order for every string: a missing
// pkgrel equals any, and 0 is older than " A", that is older than a blank, and 0 is
// newer than it.
func comparePacman(a, b string) (int, error) {
	ea, va, ra, hasA := splitPacman(a)
	eb, vb, rb, hasB := splitPacman(b)
	if c := compareNumbers(ea, eb); c != 0 {
		return c, nil
	}
	if c := pacmanParts(va, vb); c != 0 || !hasA || !hasB {
		return c, nil
	}
	return pacmanParts(ra, rb), nil
}

func splitPacman(s string) (epoch, version, release string, hasRelease bool) {
	if n := digits(s); n < len(s) && s[n] == ':' {
		epoch, s = s[:n], s[n+1:]
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		return epoch, s[:i], s[i+1:], true
	}
	return epoch, s, "", false
}

// pacmanParts is libalpm's rpmvercmp: runs of digits as numbers, runs of letters as text,
// anything else separates; more separators are newer than fewer, and text that is left
// over is older than the end (1.0rc is older than 1.0).
func pacmanParts(a, b string) int {
	for a != "" && b != "" && a != b {
		na, nb := separators(a), separators(b)
		if a, b = a[na:], b[nb:]; a == "" || b == "" {
			break
		}
		if na != nb {
			return sign(na - nb)
		}
		number := isDigit(a[0])
		if number != isDigit(b[0]) {
			if number {
				return 1
			}
			return -1
		}
		sa, sb := segment(a), segment(b)
		c := compareBytes(sa, sb)
		if number {
			c = compareNumbers(sa, sb)
		}
		if c != 0 {
			return c
		}
		a, b = a[len(sa):], b[len(sb):]
	}
	switch {
	case a == b:
		return 0
	case a == "" && !isAlpha(b[0]), a != "" && isAlpha(a[0]):
		return -1
	}
	return 1
}

// separators returns how many bytes that are neither digit nor letter s begins with.
func separators(s string) int {
	n := 0
	for n < len(s) && !isDigit(s[n]) && !isAlpha(s[n]) {
		n++
	}
	return n
}
