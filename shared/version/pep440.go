package version

import (
	"strings"
)

// pep440 is a version of a Python distribution, as packaging.python.org's version
// specifiers (PEP 440) take it apart. Numbers stay text, since they have no limit.
type pep440 struct {
	epoch   string
	release string // without zeros at its end
	// rank orders what has no number of a kind: a release that is only a development
	// version, pre-releases by letter, the release itself.
	rank      int
	pre, post string
	hasPost   bool
	dev       string
	final     bool // no development version
	local     string
}

const (
	pepDevOnly = iota
	pepAlpha
	pepBeta
	pepCandidate
	pepRelease
)

// comparePEP440 compares two versions of Python distributions. What PEP 440 does not
// take, from before it, is older than all it takes, and ordered as setuptools did.
func comparePEP440(a, b string) (int, error) {
	va, okA := parsePEP440(a)
	vb, okB := parsePEP440(b)
	switch {
	case !okA && !okB:
		return compareLegacy(a, b), nil
	case !okA:
		return -1, nil
	case !okB:
		return 1, nil
	}
	for _, c := range [...]int{
		compareNumbers(va.epoch, vb.epoch), compareDotted(va.release, vb.release, ""), sign(va.rank - vb.rank),
		compareNumbers(va.pre, vb.pre), compareFlag(va.hasPost, vb.hasPost), compareNumbers(va.post, vb.post),
		compareFlag(va.final, vb.final), compareNumbers(va.dev, vb.dev), compareLocal(va.local, vb.local),
	} {
		if c != 0 {
			return c, nil
		}
	}
	return 0, nil
}

func compareFlag(a, b bool) int {
	switch {
	case a && !b:
		return 1
	case b && !a:
		return -1
	}
	return 0
}

func parsePEP440(s string) (pep440, bool) {
	s = strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "v")
	v := pep440{rank: pepRelease, final: true}
	s, local, hasLocal := strings.Cut(s, "+")
	v.local = strings.NewReplacer("-", ".", "_", ".").Replace(local)
	if hasLocal && !isLocal(v.local) {
		return v, false
	}
	if n := digits(s); n > 0 && n < len(s) && s[n] == '!' {
		v.epoch, s = s[:n], s[n+1:]
	}
	n := digits(s)
	if n == 0 {
		return v, false
	}
	for n+1 < len(s) && s[n] == '.' && isDigit(s[n+1]) {
		n += 1 + digits(s[n+1:])
	}
	v.release, s = s[:n], s[n:]
	for trimmed := v.release; ; v.release = trimmed {
		i := strings.LastIndexByte(trimmed, '.')
		if i < 0 || trimZeros(trimmed[i+1:]) != "" {
			break
		}
		trimmed = trimmed[:i]
	}
	hasPre := false
	if v.pre, s, hasPre = v.prerelease(s); !hasPre && strings.HasPrefix(s, "-") && digits(s[1:]) > 0 { // 1.0-1 is 1.0.post1
		n := 1 + digits(s[1:])
		v.hasPost, v.post, s = true, s[1:n], s[n:]
	} else {
		v.post, s, v.hasPost = pepPart(s, "post", "rev", "r")
		if !v.hasPost && strings.HasPrefix(s, "-") && digits(s[1:]) > 0 {
			n := 1 + digits(s[1:])
			v.hasPost, v.post, s = true, s[1:n], s[n:]
		}
	}
	var dev bool
	v.dev, s, dev = pepPart(s, "dev")
	v.final = !dev
	if dev && !hasPre && !v.hasPost {
		v.rank = pepDevOnly
	}
	return v, s == ""
}

// prerelease reads the letter and number of a pre-release at the head of s.
func (v *pep440) prerelease(s string) (number, rest string, ok bool) {
	for _, kind := range [...]struct {
		rank  int
		words []string
	}{{pepCandidate, []string{"preview", "pre", "rc", "c"}}, {pepAlpha, []string{"alpha", "a"}}, {pepBeta, []string{"beta", "b"}}} {
		if number, rest, ok := pepPart(s, kind.words...); ok {
			v.rank = kind.rank
			return number, rest, true
		}
	}
	return "", s, false
}

// pepPart reads one of the words and the number after it; separators may stand before
// both.
func pepPart(s string, words ...string) (number, rest string, ok bool) {
	trimmed := pepSeparator(s)
	for _, w := range words {
		if after, found := strings.CutPrefix(trimmed, w); found {
			if next := pepSeparator(after); digits(next) > 0 {
				after = next
			}
			n := digits(after)
			return after[:n], after[n:], true
		}
	}
	return "", s, false
}

func pepSeparator(s string) string {
	if s != "" && strings.IndexByte("-_.", s[0]) >= 0 {
		return s[1:]
	}
	return s
}

func isLocal(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if part == "" || segmentsOnly(part) {
			return false
		}
	}
	return true
}

// segmentsOnly reports whether there is something else than digits and letters in s.
func segmentsOnly(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && !isAlpha(s[i]) {
			return true
		}
	}
	return false
}

// compareLocal compares local version labels: none is oldest, numbers are newer than
// text, the longer is newer.
func compareLocal(a, b string) int {
	for a != "" || b != "" {
		var ia, ib string
		ia, a = nextIdentifier(a, "")
		ib, b = nextIdentifier(b, "")
		ca, cb := identifierClass(ia), identifierClass(ib)
		switch {
		case ca == 1 && cb == 1:
			if c := compareNumbers(ia, ib); c != 0 {
				return c
			}
		case ca != cb && ca != 0 && cb != 0: // text before number
			return sign(cb - ca)
		default:
			if c := compareBytes(ia, ib); c != 0 {
				return c
			}
		}
	}
	return 0
}

// compareLegacy is the order of setuptools before PEP 440 (pkg_resources.parse_version).
func compareLegacy(a, b string) int {
	pa, pb := legacyParts(a), legacyParts(b)
	for i := range min(len(pa), len(pb)) {
		na, nb := isDigit(pa[i][0]), isDigit(pb[i][0])
		c := compareBytes(pa[i], pb[i])
		if na && nb {
			c = compareNumbers(pa[i], pb[i])
		}
		if c != 0 {
			return c
		}
	}
	if c := sign(len(pa) - len(pb)); c != 0 {
		return c
	}
	return 0
}

// legacyParts marks text with "*", which sorts before digits, and the end with "*final".
func legacyParts(s string) []string {
	var out []string
	add := func(part string) {
		if part[0] == '*' {
			if part < "*final" {
				for len(out) > 0 && out[len(out)-1] == "*final-" {
					out = out[:len(out)-1]
				}
			}
			out = trimZeroSegments(out)
		}
		out = append(out, part)
	}
	s = strings.ToLower(s)
	for s != "" {
		switch {
		case isDigit(s[0]) || isAlpha(s[0]):
			one := segment(s)
			s = s[len(one):]
			if !isDigit(one[0]) {
				one = "*" + legacyWord(one)
			}
			add(one)
			continue
		case s[0] == '-':
			add("*final-")
		case s[0] != '.':
			add("*" + s[:1])
		}
		s = s[1:]
	}
	add("*final")
	return out
}

func legacyWord(w string) string {
	switch w {
	case "pre", "preview", "rc":
		return "c"
	case "dev":
		return "@"
	}
	return w
}
