package version

import (
	"errors"
	"strings"
)

// compareAPK follows src/version.c of apk-tools:
// number{.number}[letter[number]]{_suffix[number]}[~hash][-rnumber].
// As there, strings that are not versions have an order too: what cannot be read is
// older than anything that can.
func compareAPK(a, b string) (int, error) {
	if a == "" || b == "" {
		return 0, errors.New("apk version is empty")
	}
	ta, tb := apkFirst(a), apkFirst(b)
	for ta.kind == tb.kind && ta.kind != apkEnd && ta.kind != apkInvalid {
		if c := ta.compare(tb); c != 0 {
			return c, nil
		}
		ta, tb = ta.next(), tb.next()
	}
	switch {
	case ta.kind == tb.kind:
		return 0, nil
	case ta.kind == apkSuffix && ta.suffix < 0: // 1_alpha is older than 1
		return -1, nil
	case tb.kind == apkSuffix && tb.suffix < 0:
		return 1, nil
	}
	return sign(int(tb.kind) - int(ta.kind)), nil
}

type apkKind int

// The parts of a version in the order in which they may follow each other. Where two
// versions differ in the kind of a part, the one whose kind comes later is older.
const (
	apkFirstNumber apkKind = iota
	apkNumber
	apkLetter
	apkSuffix
	apkSuffixNumber
	apkHash
	apkRevision
	apkEnd
	apkNoNumber // a dot without a number
	apkInvalid
)

type apkToken struct {
	kind   apkKind
	text   string
	suffix int // negative: before the version, positive: after
	rest   string
}

var apkSuffixes = [...]struct {
	name  string
	order int
}{
	{"alpha", -4}, {"beta", -3}, {"pre", -2}, {"rc", -1},
	{"cvs", 1}, {"svn", 2}, {"git", 3}, {"hg", 4}, {"p", 5},
}

func apkFirst(s string) apkToken {
	if n := digits(s); n > 0 {
		return apkToken{kind: apkFirstNumber, text: s[:n], rest: s[n:]}
	}
	return apkToken{kind: apkNumber, rest: s}.next()
}

func (t apkToken) next() apkToken {
	s := t.rest
	if s == "" {
		return apkToken{kind: apkEnd}
	}
	inNumbers := t.kind <= apkNumber || t.kind == apkNoNumber
	switch c := s[0]; {
	case c == '.' && inNumbers:
		if digits(s[1:]) == 0 {
			return apkToken{kind: apkNoNumber, rest: s[1:]}
		}
		return numberToken(apkNumber, s[1:])
	case isLower(c) && inNumbers:
		return apkToken{kind: apkLetter, text: s[:1], rest: s[1:]}
	case isDigit(c) && t.kind == apkLetter: // 9.6p1, which apk-tools 2 takes
		return numberToken(apkNumber, s)
	case isDigit(c) && t.kind == apkSuffix:
		return numberToken(apkSuffixNumber, s)
	case c == '_' && (inNumbers || t.kind <= apkSuffixNumber):
		return suffixToken(s[1:])
	case c == '~' && t.kind < apkHash:
		n := 0
		for n+1 < len(s) && (isDigit(s[n+1]) || 'a' <= s[n+1] && s[n+1] <= 'f') {
			n++
		}
		if n > 0 {
			return apkToken{kind: apkHash, text: s[1 : 1+n], rest: s[1+n:]}
		}
	case strings.HasPrefix(s, "-r") && t.kind < apkRevision && (len(s) == 2 || !isLower(s[2])):
		return numberToken(apkRevision, s[2:])
	}
	return apkToken{kind: apkInvalid}
}

func numberToken(kind apkKind, s string) apkToken {
	n := digits(s)
	return apkToken{kind: kind, text: s[:n], rest: s[n:]}
}

func suffixToken(s string) apkToken {
	n := 0
	for n < len(s) && isLower(s[n]) {
		n++
	}
	for _, suffix := range apkSuffixes {
		if suffix.name == s[:n] {
			return apkToken{kind: apkSuffix, suffix: suffix.order, rest: s[n:]}
		}
	}
	return apkToken{kind: apkInvalid}
}

// compare compares tokens of one kind. Numbers after the first that begin with a zero
// are fractions and compared as text.
func (t apkToken) compare(o apkToken) int {
	switch t.kind {
	case apkSuffix:
		return sign(t.suffix - o.suffix)
	case apkNumber:
		if t.text[0] == '0' || o.text[0] == '0' {
			return compareBytes(t.text, o.text)
		}
		return compareNumbers(t.text, o.text)
	case apkFirstNumber, apkSuffixNumber, apkRevision:
		return compareNumbers(t.text, o.text)
	}
	return compareBytes(t.text, o.text)
}
