package asset

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of values in bytes.
const (
	maxText = 500
	maxLong = 8000
	maxTags = 64
	maxTag  = 64
)

// canonical gives a value the one form in which the field keeps it. An empty text is
// refused: what is not declared has no value.
func (f Field) canonical(text string) (string, error) {
	text = strings.TrimSpace(text)
	if err := f.checkText(text); err != nil {
		return "", err
	}
	switch f.Type {
	case Long:
		return strings.ReplaceAll(text, "\r\n", "\n"), nil
	case Number:
		return f.number(text)
	case Date:
		return f.date(text)
	case Money:
		return f.money(text)
	case Bool:
		switch strings.ToLower(text) {
		case "true", "yes", "1", "y":
			return "true", nil
		case "false", "no", "0", "n":
			return "false", nil
		}
		return "", invalidf("%s: %q: want yes or no", f.Name, short(text))
	case Status:
		return f.oneOf(strings.ReplaceAll(strings.ReplaceAll(text, " ", "_"), "-", "_"))
	case Choice:
		return f.oneOf(text)
	case Tags:
		return f.tags(text)
	}
	return text, nil
}

func (f Field) checkText(text string) error {
	limit := maxText
	if f.Type == Long {
		limit = maxLong
	}
	if f.Type == Tags {
		limit = maxTags * (maxTag + 1)
	}
	switch {
	case text == "":
		return invalidf("%s: the value is empty; `unset` takes a value away", f.Name)
	case len(text) > limit:
		return invalidf("%s: the value has %d bytes, %d at most", f.Name, len(text), limit)
	case !utf8.ValidString(text):
		return invalidf("%s: the value is not UTF-8", f.Name)
	}
	for i, r := range text {
		lineEnd := r == '\n' || r == '\t' || r == '\r' && strings.HasPrefix(text[i:], "\r\n")
		if f.Type == Long && lineEnd {
			continue
		}
		if lineEnd {
			return invalidf("%s: %q has a line break or a tab, which only notes and fields of type long may have: write it in one line", f.Name, short(text))
		}
		if unsafe(r) {
			return invalidf("%s: %q holds the control or invisible character %U: leave it out", f.Name, short(text), r)
		}
	}
	return nil
}

// unsafe are the characters that paint over other text, hide in it or end a line.
func unsafe(r rune) bool {
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// short is the beginning of a value, for messages.
func short(text string) string {
	if utf8.RuneCountInString(text) <= 40 {
		return text
	}
	return string([]rune(text)[:40]) + "..."
}

var decimal = regexp.MustCompile(`^([+-]?)([0-9]{1,15})(?:\.([0-9]{1,9}))?$`)

func (f Field) number(text string) (string, error) {
	m := decimal.FindStringSubmatch(text)
	if m == nil {
		return "", invalidf("%s: %q: want a number such as 12 or -3.5, at most 15 digits before the point and 9 behind, none between thousands", f.Name, short(text))
	}
	whole, fraction := strings.TrimLeft(m[2], "0"), strings.TrimRight(m[3], "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if m[1] == "-" && whole != "0" {
		return "-" + whole, nil
	}
	return whole, nil
}

var money = regexp.MustCompile(`^(?:([A-Za-z]{3}) ?)?([0-9]{1,12})(?:([.,])([0-9]{1,4}))?(?: ?([A-Za-z]{3}))?$`)

// money is an exact amount: with no digits behind the point, or two to four.
func (f Field) money(text string) (string, error) {
	m := money.FindStringSubmatch(text)
	switch {
	case m == nil:
		return "", invalidf("%s: %q: want an amount with its currency, such as 1234.50 EUR, and nothing between thousands", f.Name, short(text))
	case (m[1] == "") == (m[5] == ""):
		return "", invalidf("%s: %q: name its currency once, as in 1234.50 EUR", f.Name, short(text))
	case m[3] == "," && len(m[4]) != 2:
		return "", invalidf("%s: %q: it is not clear what the comma parts: write 1234.50 EUR", f.Name, short(text))
	}
	whole, fraction := strings.TrimLeft(m[2], "0"), strings.TrimRight(m[4], "0")
	if whole == "" {
		whole = "0"
	}
	if len(fraction) == 1 {
		fraction += "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return whole + " " + strings.ToUpper(m[1]+m[5]), nil
}

// date takes the forms in which no one can take the day for the month.
func (f Field) date(text string) (string, error) {
	for _, layout := range []string{time.DateOnly, "2006/01/02", "2.1.2006"} {
		if t, err := time.Parse(layout, text); err == nil && t.Year() >= 1900 && t.Year() <= 2999 {
			return t.Format(time.DateOnly), nil
		}
	}
	return "", invalidf("%s: %q: want a day such as 2026-03-14", f.Name, short(text))
}

func (f Field) oneOf(text string) (string, error) {
	i := slices.IndexFunc(f.Choices, func(c string) bool { return strings.EqualFold(c, text) })
	if i < 0 {
		return "", invalidf("%s: %q: want one of %s", f.Name, short(text), strings.Join(f.Choices, ", "))
	}
	return f.Choices[i], nil
}

func (f Field) tags(text string) (string, error) {
	tags := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' })
	slices.Sort(tags)
	tags = slices.Compact(tags)
	if len(tags) == 0 || len(tags) > maxTags {
		return "", invalidf("%s: want 1 to %d tags with blanks between", f.Name, maxTags)
	}
	for _, tag := range tags {
		bad := strings.IndexFunc(tag, func(r rune) bool {
			return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._:/=-", r)
		})
		if len(tag) > maxTag || bad >= 0 || strings.ContainsRune("._:/=-", rune(tag[0])) {
			return "", invalidf("%s: tag %q: it has 1 to %d bytes, begins with a letter or digit and holds those and . _ : / = -", f.Name, short(tag), maxTag)
		}
	}
	return strings.Join(tags, " "), nil
}

// Amount takes a value of type Money apart.
func Amount(value string) (amount, currency string) {
	amount, currency, _ = strings.Cut(value, " ")
	return amount, currency
}
