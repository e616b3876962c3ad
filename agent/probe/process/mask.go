package process

import (
	"regexp"
	"strings"
	"unicode"
)

// Command lines are masked before they leave the host: what may be a secret is
// replaced. Rather too much is masked than too little.
const (
	masked = "***"
	// maxCommand bounds a command line, in bytes.
	maxCommand = 512
	// secretLength is from how many letters and digits on an argument without a meaning
	// of its own is taken for a key.
	secretLength = 24
)

var (
	// secretName matches the names of options and variables that hold secrets.
	secretName = regexp.MustCompile(`(?i)(pass(w(or)?d|phrase|code)?|pwd|secret|token|api[-_.]?key|(^|[-_.])key|private|credential|cred|auth(?:orization)?|cookie|session[-_.]?id|bearer|signature|salt|dsn|connection[-_.]?string|conn[-_.]?str)s?$`)
	// harmlessName matches such names that hold none: files and choices.
	harmlessName = regexp.MustCompile(`(?i)(file|path|dir|type|mode|method|plugin|provider|url|uri)s?$`)
	// inURL matches the user and password of an address.
	inURL = regexp.MustCompile(`(?i)([a-z][a-z0-9+.-]*://)[^/\s@]*:[^/\s@]*@`)
	// inHeader matches the value of a header.
	inHeader = regexp.MustCompile(`(?i)((?:authorization|proxy-authorization|cookie|x-[a-z-]*(?:token|key))\s*:\s*).*`)
	// inPair matches name and value inside of an argument: "user=a;password=b", a query.
	inPair = regexp.MustCompile(`(?i)([a-z0-9_.-]*(?:pass(?:w(?:or)?d)?|pwd|secret|token|key|credential|auth)[a-z0-9_.-]*\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s;&,]+)`)
)

// mask joins the arguments of a program, without what may be a secret.
func mask(args []string) string {
	out := make([]string, 0, len(args))
	hide := false
	for i, arg := range args {
		switch {
		case hide && !strings.HasPrefix(arg, "-"):
			arg, hide = masked, false
		default:
			arg, hide = maskArgument(arg, i == 0)
		}
		out = append(out, arg)
	}
	s := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.Join(out, " "), "\uFFFD"))
	if len(s) > maxCommand {
		s = strings.ToValidUTF8(s[:maxCommand-3], "") + "..."
	}
	return strings.TrimSpace(s)
}

// maskArgument masks one argument; next says that the one after it is the value of a
// secret's option.
func maskArgument(arg string, program bool) (out string, next bool) {
	if program {
		return maskInside(arg), false // some programs write their whole title there
	}
	name, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	isOption := strings.HasPrefix(arg, "-")
	secret := secretName.MatchString(name) && !harmlessName.MatchString(name)
	switch {
	case secret && hasValue:
		return arg[:len(arg)-len(value)] + masked, false
	case secret && isOption:
		return arg, true
	case isOption && len(arg) > 2 && strings.HasPrefix(arg, "-p") && !strings.HasPrefix(arg, "--") && attachedPassword(arg[2:]):
		return "-p" + masked, false
	}
	return maskInside(arg), false
}

// attachedPassword reports whether what follows -p may be a password, as for mysql:
// not a port, and no option of several letters such as -profile.
func attachedPassword(s string) bool {
	return strings.ContainsFunc(s, unicode.IsDigit) && strings.ContainsFunc(s, unicode.IsLetter) || strings.ContainsFunc(s, func(r rune) bool {
		return strings.ContainsRune("!@#$%^&*", r)
	})
}

// maskInside masks what looks like a secret wherever it stands in an argument.
func maskInside(arg string) string {
	arg = inURL.ReplaceAllString(arg, "${1}"+masked+"@")
	arg = inHeader.ReplaceAllString(arg, "${1}"+masked)
	arg = inPair.ReplaceAllStringFunc(arg, func(s string) string {
		at := strings.IndexAny(s, "=:")
		if harmlessName.MatchString(strings.TrimSpace(s[:at])) || strings.HasPrefix(s[at+1:], "//") {
			return s
		}
		return s[:at+1] + masked
	})
	if looksRandom(arg) {
		return masked
	}
	return arg
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
