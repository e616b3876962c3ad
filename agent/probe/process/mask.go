package process

import (
	"slices"
	"strings"
	"unicode"

	"atalaya/agent/probe"
)

const (
	// maxCommand bounds a command line, in bytes.
	maxCommand = 512
	// secretLength is from how many letters and digits on an argument without a meaning
	// of its own is taken for a key.
	secretLength = 24
)

// command joins the arguments of a program into one line without what may be a secret:
// what probe.MaskArgs knows, and words that look like keys.
func command(args []string) string {
	args = slices.Clone(args)
	for i, arg := range args {
		if i > 0 && looksRandom(arg) {
			args[i] = "***"
		}
	}
	s := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(probe.MaskArgs(args), "\uFFFD"))
	if len(s) > maxCommand {
		s = strings.ToValidUTF8(s[:maxCommand-3], "") + "..."
	}
	return strings.TrimSpace(s)
}

// looksRandom reports whether an argument is one long word of letters and digits, as
// keys are and names are not.
func looksRandom(s string) bool {
	if len(s) < secretLength {
		return false
	}
	digits, letters, changes := 0, 0, 0
	last := 0
	for _, r := range s {
		kind := 0
		switch {
		case unicode.IsDigit(r):
			digits++
			kind = 1
		case unicode.IsUpper(r):
			letters++
			kind = 2
		case unicode.IsLower(r):
			letters++
			kind = 3
		case r == '+' || r == '=' || r == '_' || r == '-':
		default:
			return false // a path, an address, a list
		}
		if kind != last && kind != 0 && last != 0 {
			changes++
		}
		last = kind
	}
	return digits > 2 && letters > 2 && changes*4 >= len(s)
}
