package version

import (
	"fmt"
	"strings"
)

// compareDeb follows Debian policy 5.6.12 and dpkg's lib/dpkg/version.c:
// [epoch:]upstream[-revision].
func compareDeb(a, b string) (int, error) {
	va, err := parseDeb(a)
	if err != nil {
		return 0, err
	}
	vb, err := parseDeb(b)
	if err != nil {
		return 0, err
	}
	if c := compareNumbers(va.epoch, vb.epoch); c != 0 {
		return c, nil
	}
	if c := compareDebPart(va.upstream, vb.upstream); c != 0 {
		return c, nil
	}
	return compareDebPart(va.revision, vb.revision), nil
}

type debVersion struct{ epoch, upstream, revision string }

// parseDeb refuses what dpkg's parseversion refuses; like dpkg --compare-versions it
// takes characters that policy forbids.
func parseDeb(s string) (debVersion, error) {
	var v debVersion
	v.upstream = strings.Trim(s, " \t\n\v\f\r")
	if v.upstream == "" {
		return v, fmt.Errorf("debian version %q is empty", s)
	}
	if strings.ContainsAny(v.upstream, " \t\n\v\f\r") {
		return v, fmt.Errorf("debian version %q has blanks inside", s)
	}
	if i := strings.IndexByte(v.upstream, ':'); i >= 0 {
		v.epoch, v.upstream = v.upstream[:i], v.upstream[i+1:]
		if v.epoch == "" || digits(v.epoch) != len(v.epoch) || compareNumbers(v.epoch, maxDebEpoch) > 0 {
			return v, fmt.Errorf("debian version %q: its epoch is not a number up to %s", s, maxDebEpoch)
		}
	}
	if i := strings.LastIndexByte(v.upstream, '-'); i >= 0 {
		v.upstream, v.revision = v.upstream[:i], v.upstream[i+1:]
		if v.revision == "" {
			return v, fmt.Errorf("debian version %q: its revision is empty", s)
		}
	}
	if v.upstream == "" {
		return v, fmt.Errorf("debian version %q has no upstream version", s)
	}
	return v, nil
}

// maxDebEpoch is INT_MAX, as in dpkg.
const maxDebEpoch = "2147483647"

// compareDebPart alternates between runs of other characters and runs of digits.
func compareDebPart(a, b string) int {
	for len(a) > 0 || len(b) > 0 {
		for len(a) > 0 && !isDigit(a[0]) || len(b) > 0 && !isDigit(b[0]) {
			if c := debOrder(a) - debOrder(b); c != 0 {
				return sign(c)
			}
			a, b = a[1:], b[1:]
		}
		na, nb := digits(a), digits(b)
		if c := compareNumbers(a[:na], b[:nb]); c != 0 {
			return c
		}
		a, b = a[na:], b[nb:]
	}
	return 0
}

// debOrder weighs the first character of s: '~' before the end, the end and digits
// before letters, letters before the rest.
func debOrder(s string) int {
	switch {
	case len(s) == 0 || isDigit(s[0]):
		return 0
	case isAlpha(s[0]):
		return int(s[0])
	case s[0] == '~':
		return -1
	}
	return int(s[0]) + 256
}
