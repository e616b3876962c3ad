package version

import "strings"

// mavenToken is a part of a version of Maven: a number or word, and what stands before it.
type mavenToken struct {
	dot  bool // after a dot, not a hyphen
	text string
}

// compareMaven compares as "Version Order Specification" of Maven's POM reference says:
// tokens between dots, hyphens and changes from digit to letter; empty ones and "final"
// or "ga" at the end of a part do not count.
func compareMaven(a, b string) (int, error) {
	ta, tb := mavenTokens(a), mavenTokens(b)
	for i := range max(len(ta), len(tb)) {
		var x, y mavenToken
		switch {
		case i >= len(ta):
			y = tb[i]
			x = y.null()
		case i >= len(tb):
			x = ta[i]
			y = x.null()
		default:
			x, y = ta[i], tb[i]
		}
		if c := x.compare(y); c != 0 {
			return c, nil
		}
	}
	return 0, nil
}

// null is what stands for the missing partner of a token.
func (t mavenToken) null() mavenToken {
	if t.number() && t.dot {
		return mavenToken{true, "0"}
	}
	return mavenToken{t.dot, ""}
}

func (t mavenToken) number() bool { return t.text != "" && isDigit(t.text[0]) }

func (t mavenToken) compare(o mavenToken) int {
	if t.dot == o.dot && t.number() && o.number() {
		return compareNumbers(t.text, o.text)
	}
	if t.dot == o.dot && !t.number() && !o.number() {
		ra, rb := mavenRank(t.text), mavenRank(o.text)
		if c := sign(ra - rb); c != 0 {
			return c
		}
		if ra == mavenOther {
			if c := compareBytes(t.text, o.text); c != 0 {
				return c
			}
		}
		return 0
	}
	return sign(t.class() - o.class())
}

// class orders tokens of different kinds: ".word", "-word", "-number", ".number".
func (t mavenToken) class() int {
	switch {
	case t.number() && t.dot:
		return 3
	case t.number():
		return 2
	case !t.dot:
		return 1
	}
	return 0
}

const mavenOther = 7

// mavenRank orders the words that have a meaning; all others follow, by the alphabet.
func mavenRank(word string) int {
	switch word {
	case "alpha":
		return 0
	case "beta":
		return 1
	case "milestone":
		return 2
	case "rc", "cr":
		return 3
	case "snapshot":
		return 4
	case "", "final", "ga", "release":
		return 5
	case "sp":
		return 6
	}
	return mavenOther
}

func mavenTokens(s string) []mavenToken {
	s = strings.ToLower(s)
	out := []mavenToken{}
	dot := true // the first token
	for {
		n := 0
		if digits(s) > 0 {
			n = digits(s)
		} else {
			for n < len(s) && s[n] != '.' && s[n] != '-' && !isDigit(s[n]) {
				n++
			}
		}
		word, rest := s[:n], s[n:]
		if word == "" {
			word = "0"
		}
		out = append(out, mavenToken{dot, mavenWord(word, rest)})
		if rest == "" {
			return trimMaven(out)
		}
		dot = rest[0] == '.'
		if s = rest; rest[0] == '.' || rest[0] == '-' {
			s = rest[1:]
		}
	}
}

// mavenWord spells out the short forms before a number.
func mavenWord(word, rest string) string {
	if rest != "" && isDigit(rest[0]) {
		switch word {
		case "a":
			return "alpha"
		case "b":
			return "beta"
		case "m":
			return "milestone"
		}
	}
	return word
}

// trimMaven takes null tokens off the end, and off what stands before each hyphen.
func trimMaven(list []mavenToken) []mavenToken {
	next := mavenToken{} // the one kept after the one looked at; at the end it counts as after a hyphen
	kept := len(list)
	for i := len(list) - 1; i >= 0; i-- {
		t := list[i]
		null := t.number() && trimZeros(t.text) == "" || mavenRank(t.text) == 5
		if i > 0 && null && !next.dot {
			continue
		}
		next = t
		kept--
		list[kept] = t
	}
	return list[kept:]
}
