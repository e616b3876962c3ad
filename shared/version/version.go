// Package version orders version strings as the package system they come from does.
//
// The agent finds pending updates and the collector searches "below version v" with
// this one implementation, so both sides always agree. Comparing deb, rpm and apk
// versions allocates nothing.
package version

import (
	"fmt"
	"strings"
)

// comparer compares two versions of one scheme: -1, 0 or 1.
type comparer func(a, b string) (int, error)

var schemes = []struct {
	name    string
	compare comparer
}{
	{"apk", compareAPK},
	{"composer", compareComposer},
	{"cran", compareCRAN},
	{"deb", compareDeb},
	{"gem", compareGem},
	{"go", compareSemver}, // a pseudo-version is a pre-release with its time first
	{"hackage", compareHackage},
	{"maven", compareMaven},
	{"nuget", compareNuGet},
	{"pacman", comparePacman},
	{"pep440", comparePEP440},
	{"pub", comparePub},
	{"rpm", compareRPM},
	{"semver", compareSemver},
}

// Scheme returns how the versions of a package system compare, which is named as packages
// name their source; a scheme is its own. It is "" when that is not known.
func Scheme(source string) string {
	switch source {
	case "dpkg":
		return "deb"
	case "pip":
		return "pep440"
	case "npm":
		return "semver"
	}
	for _, s := range schemes {
		if s.name == source {
			return source
		}
	}
	return ""
}

// Schemes returns the names that Compare takes, sorted.
func Schemes() []string {
	names := make([]string, len(schemes))
	for i, s := range schemes {
		names[i] = s.name
	}
	return names
}

// Compare returns -1 if a is older than b, 1 if it is newer and 0 if neither. The
// order is total and transitive within a scheme, but for odd strings in composer, maven and
// pacman, whose own tools are not. An error means that the scheme is
// not known or that its own tools refuse one of the strings.
func Compare(scheme, a, b string) (int, error) {
	for _, s := range schemes {
		if s.name == scheme {
			return s.compare(a, b)
		}
	}
	return 0, fmt.Errorf("version scheme %q is not known (known: %s)", scheme, strings.Join(Schemes(), ", "))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

func isAlpha(c byte) bool { return isLower(c | 0x20) }

// digits returns how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return n
}

// compareNumbers compares strings of digits as numbers of any size; "" counts as 0.
func compareNumbers(a, b string) int {
	a, b = trimZeros(a), trimZeros(b)
	if len(a) != len(b) {
		return sign(len(a) - len(b))
	}
	return compareBytes(a, b)
}

func trimZeros(s string) string {
	for len(s) > 0 && s[0] == '0' {
		s = s[1:]
	}
	return s
}

func compareBytes(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
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
