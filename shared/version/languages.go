package version

import "strings"

// This file orders the versions of programming languages' packages whose rules are
// short: a list of numbers, or variants of semver.org.

// compareHackage compares lists of numbers; of equal ones the longer is newer
// (haskell.org, Data.Version). Text sorts after numbers.
func compareHackage(a, b string) (int, error) { return compareDotted(a, b, ""), nil }

// compareCRAN is R's package_version: numbers apart by dots or hyphens, the longer newer.
func compareCRAN(a, b string) (int, error) {
	return compareDotted(strings.ReplaceAll(a, "-", "."), strings.ReplaceAll(b, "-", "."), ""), nil
}

// compareNuGet is SemVer 2.0.0 with a fourth number and without regard of case (NuGet's
// "Package versioning").
func compareNuGet(a, b string) (int, error) {
	return compareSemver(strings.ToLower(a), strings.ToLower(b))
}

// comparePub is SemVer 2.0.0 where a build counts: it is newer than none (dart.dev,
// pub_semver's Version.compareTo).
func comparePub(a, b string) (int, error) {
	if c, err := compareSemver(a, b); c != 0 || err != nil {
		return c, err
	}
	_, ba, hasA := strings.Cut(a, "+")
	_, bb, hasB := strings.Cut(b, "+")
	switch {
	case hasA && !hasB:
		return 1, nil
	case hasB && !hasA:
		return -1, nil
	}
	return compareDotted(ba, bb, ""), nil
}

// compareGem is Gem::Version: runs of digits and of letters; text makes a pre-release,
// which is older; zeros at the end of the release, and of the whole, do not count. A
// hyphen stands for ".pre.".
func compareGem(a, b string) (int, error) {
	sa, sb := gemSegments(a), gemSegments(b)
	for i := range max(len(sa), len(sb)) {
		ia, ib := "0", "0"
		if i < len(sa) {
			ia = sa[i]
		}
		if i < len(sb) {
			ib = sb[i]
		}
		na, nb := isDigit(ia[0]), isDigit(ib[0])
		c := 0
		switch {
		case na && nb:
			c = compareNumbers(ia, ib)
		case na:
			c = 1
		case nb:
			c = -1
		default:
			c = compareBytes(ia, ib)
		}
		if c != 0 {
			return c, nil
		}
	}
	return 0, nil
}

// gemSegments are the runs of digits and letters without zeros before the first letter
// and at the end.
func gemSegments(s string) []string {
	s = strings.ReplaceAll(s, "-", ".pre.")
	var out []string
	text := false
	for {
		s = s[separators(s):]
		if s == "" {
			return trimZeroSegments(out)
		}
		one := segment(s)
		s = s[len(one):]
		if !isDigit(one[0]) && !text {
			text, out = true, trimZeroSegments(out)
		}
		out = append(out, one)
	}
}

func trimZeroSegments(list []string) []string {
	for len(list) > 0 && trimZeros(list[len(list)-1]) == "" {
		list = list[:len(list)-1]
	}
	return list
}

// compareComposer is PHP's version_compare, which Composer's packages are ordered by:
// anything but digits and letters separates, and dev < alpha < beta < RC < number < pl.
// It is no order for every string: text that it does not know equals other such text.
func compareComposer(a, b string) (int, error) {
	sa, sb := phpSegments(a), phpSegments(b)
	n := min(len(sa), len(sb))
	for i := range n {
		if c := comparePHP(sa[i], sb[i]); c != 0 {
			return c, nil
		}
	}
	switch {
	case len(sa) > n:
		return phpRest(sa[n]), nil
	case len(sb) > n:
		return -phpRest(sb[n]), nil
	}
	return 0, nil
}

// phpRest is how a version compares that goes on where the other ends.
func phpRest(segment string) int {
	if isDigit(segment[0]) {
		return 1
	}
	return comparePHP(segment, "#")
}

func phpSegments(s string) []string {
	s = strings.TrimPrefix(strings.TrimPrefix(s, "v"), "V")
	var out []string
	for {
		s = s[separators(s):]
		if s == "" {
			return out
		}
		one := segment(s)
		out, s = append(out, one), s[len(one):]
	}
}

func comparePHP(a, b string) int {
	if isDigit(a[0]) && isDigit(b[0]) {
		return compareNumbers(a, b)
	}
	return sign(phpRank(a) - phpRank(b))
}

// phpRank orders the words that version_compare knows; any other is older than all,
// upper case too, but for RC.
func phpRank(s string) int {
	if isDigit(s[0]) || s[0] == '#' {
		return 5
	}
	if strings.HasPrefix(s, "RC") {
		return 4
	}
	for i, word := range [...]string{"dev", "a", "b", "rc"} {
		if strings.HasPrefix(s, word) {
			return i + 1
		}
	}
	if s[0] == 'p' {
		return 6
	}
	return 0
}
