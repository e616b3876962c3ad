package patches

import "strings"

// alpmCompare compares [epoch:]version[-pkgrel] as pacman does (vercmp(8),
// alpm_pkg_vercmp in libalpm's version.c). It is not in package version because it is
// no order: 0 is older than " A", that is older than a blank, and 0 is newer than it.
func alpmCompare(a, b string) int {
	ea, va, ra, hasA := splitEVR(a)
	eb, vb, rb, hasB := splitEVR(b)
	if c := alpmParts(ea, eb); c != 0 {
		return c
	}
	if c := alpmParts(va, vb); c != 0 || !hasA || !hasB {
		return c
	}
	return alpmParts(ra, rb)
}

func splitEVR(s string) (epoch, version, release string, hasRelease bool) {
	n := len(s) - len(strings.TrimLeft(s, "0123456789"))
	epoch = "0"
	if n < len(s) && s[n] == ':' {
		if n > 0 {
			epoch = s[:n]
		}
		s = s[n+1:]
	}
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		return epoch, s[:i], s[i+1:], true
	}
	return epoch, s, "", false
}

// alpmParts is libalpm's rpmvercmp: runs of digits as numbers, runs of letters as text,
// anything else separates; more separators are newer than fewer, and text that is left
// over is older than the end (1.0rc is older than 1.0).
func alpmParts(a, b string) int {
	if a == b {
		return 0
	}
	for a != "" && b != "" {
		na, nb := run(a, separates), run(b, separates)
		if a, b = a[na:], b[nb:]; a == "" || b == "" {
			break
		}
		if na != nb {
			return sign(na - nb)
		}
		kind := letter
		if digit(a[0]) {
			kind = digit
		}
		na, nb = run(a, kind), run(b, kind)
		if nb == 0 {
			if digit(a[0]) {
				return 1
			}
			return -1
		}
		sa, sb := a[:na], b[:nb]
		if digit(a[0]) {
			sa, sb = strings.TrimLeft(sa, "0"), strings.TrimLeft(sb, "0")
			if len(sa) != len(sb) {
				return sign(len(sa) - len(sb))
			}
		}
		if c := strings.Compare(sa, sb); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	switch {
	case a == "" && b == "":
		return 0
	case a == "" && !letter(b[0]), a != "" && letter(a[0]):
		return -1
	}
	return 1
}

func digit(c byte) bool     { return c >= '0' && c <= '9' }
func letter(c byte) bool    { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func separates(c byte) bool { return !digit(c) && !letter(c) }

// run is how many bytes of a kind s begins with.
func run(s string, kind func(byte) bool) int {
	n := 0
	for n < len(s) && kind(s[n]) {
		n++
	}
	return n
}

func sign(n int) int {
	switch {
	case n < 0:
		return -1
	case n > 0:
		return 1
	}
	return 0
}
