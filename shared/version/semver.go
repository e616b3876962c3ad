package version

import "strings"

// compareSemver compares by precedence as semver.org 2.0.0, section 11, defines it:
// build metadata is ignored. It is lenient where published versions are not strict: a
// leading "v" is dropped, there may be fewer or more than three numbers (missing ones
// are 0), and a part that is not a number is text, which sorts after numbers.
func compareSemver(a, b string) (int, error) {
	ra, pa := splitSemver(a)
	rb, pb := splitSemver(b)
	if c := compareDotted(ra, rb, "0"); c != 0 {
		return c, nil
	}
	switch { // a version without pre-release is newer than any with
	case pa == "" && pb == "":
		return 0, nil
	case pa == "":
		return 1, nil
	case pb == "":
		return -1, nil
	}
	return compareDotted(pa, pb, ""), nil
}

func splitSemver(s string) (release, prerelease string) {
	s = strings.TrimPrefix(s, "v")
	s, _, _ = strings.Cut(s, "+")
	release, prerelease, _ = strings.Cut(s, "-")
	return release, prerelease
}

// compareDotted compares identifier by identifier; missing stands for those that one
// side does not have.
func compareDotted(a, b, missing string) int {
	for a != "" || b != "" {
		var ia, ib string
		ia, a = nextIdentifier(a, missing)
		ib, b = nextIdentifier(b, missing)
		if c := compareIdentifier(ia, ib); c != 0 {
			return c
		}
	}
	return 0
}

func nextIdentifier(s, missing string) (id, rest string) {
	if s == "" {
		return missing, ""
	}
	id, rest, _ = strings.Cut(s, ".")
	return id, rest
}

// compareIdentifier orders nothing before numbers before text.
func compareIdentifier(a, b string) int {
	if ca, cb := identifierClass(a), identifierClass(b); ca != cb {
		return sign(ca - cb)
	} else if ca == 1 {
		return compareNumbers(a, b)
	}
	return compareBytes(a, b)
}

func identifierClass(s string) int {
	switch {
	case s == "":
		return 0
	case digits(s) == len(s):
		return 1
	}
	return 2
}
