package probe

import (
	"path"
	"strings"
)

// Masked stands for a secret.
const Masked = "***"

// Mask replaces the secrets in a command line: of the kernel, a unit, a crontab. It knows
//
//   - values with a telling name: password=x, --token x, /Password:x, "api_key": "x", ?sig=x
//   - users with their password before an address: https://user:x@host
//   - addresses that are secrets: those of incoming webhooks
//   - options of well-known programs, bundled too: mysql -px, curl -sSu user:x, docker login -p x
//   - what is piped into a program that reads a secret: echo x | passwd --stdin root
//   - keys that can be told by their form: AKIA..., ghp_..., eyJ....
//
// It rather hides too much than too little. What it does not know (a password that is an
// argument like any other) it cannot hide. A line without secrets is returned as it is,
// without allocating.
func Mask(line string) string {
	var m masker
	return m.line(line)
}

// MaskArgs is Mask for arguments that are known one by one, as in /proc/PID/cmdline. The
// arguments come joined by blanks.
func MaskArgs(args []string) string {
	m := masker{args: true}
	var b strings.Builder
	n := 0
	for _, a := range args {
		n += len(a) + 1
	}
	b.Grow(n)
	for i, a := range args {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(m.word(a))
	}
	return b.String()
}

// masker goes through the words of a command line.
type masker struct {
	next     bool           // the next word is a secret
	rest     bool           // all that follows is
	skip     bool           // the next word is the value of an option
	args     bool           // the words are arguments: they may hold blanks without quotes
	depth    int            // of quotes
	previous string         // word
	program  programOptions // of the program named last
	words    int            // of the program that are no options
}

func (m *masker) line(line string) string {
	var b strings.Builder
	done := 0 // how much of the line is in b
	for i := 0; i < len(line); {
		if isBlank(line[i]) {
			i++
			continue
		}
		end, part := wordEnd(line, i)
		if part > i && part < end {
			if _, ok := optionsOf(programName(line[part:end])); ok {
				end = part // -px;curl
			}
		}
		w := line[i:end]
		masked := m.word(w)
		if strings.HasPrefix(w, "<<<") && readsSecret(line[:i]) {
			if m.next = len(w) == 3; !m.next {
				masked = w[:3] + Masked
			}
		} else if m.program.says && m.words == 0 {
			if pipe := secretPipe(line, end, grouped(line[:i])); pipe > 0 {
				masked, end = w+" "+Masked+" ", pipe
			}
			m.program = programOptions{}
		}
		if masked != line[i:end] {
			if done == 0 {
				b.Grow(len(line))
			}
			b.WriteString(line[done:i])
			b.WriteString(masked)
			done = end
		}
		i = end
	}
	if done == 0 {
		return line
	}
	b.WriteString(line[done:])
	return b.String()
}

// grouped tells that a bracket opens before a command.
func grouped(before string) bool {
	before = strings.TrimRight(before, " \t")
	return strings.HasSuffix(before, "(") || strings.HasSuffix(before, "{")
}

// isBlank separates words; NUL does in files of /proc.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0 }

// wordEnd is where the word that begins at i ends: at a blank outside of quotes. A quote
// that is not closed is a character like any other. Escaped quotes are those of a line within
// a line. part is where another command may begin in the word, as in "a;b"; else i.
func wordEnd(s string, i int) (end, part int) {
	part = i
	for i < len(s) && !isBlank(s[i]) {
		switch c := s[i]; c {
		case '\\':
			i++
			if i < len(s) && (s[i] == '"' || s[i] == '\'') {
				if n := strings.Index(s[i+1:], s[i-1:i+1]); n >= 0 {
					i += n + 2
				}
			}
		case '"', '\'':
			i += closing(s[i+1:], c) + 1
		case ';', '|', '&', '(', '`':
			part = i + 1
		}
		i++
	}
	return min(i, len(s)), part
}

// closing is where in s the quote is that closes; -1 if there is none.
func closing(s string, quote byte) int {
	if quote == '\'' {
		return strings.IndexByte(s, quote)
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case quote:
			return i
		}
	}
	return -1
}

// within masks a word with blanks that is a line of its own, as in sh -c "...", or text. What
// the program before takes counts there too: lftp -e "open -u user,x".
func (m *masker) within(line string) string {
	if m.depth > 20 {
		return Masked
	}
	in := masker{program: m.program, depth: m.depth + 1}
	in.program.nth = 0
	return in.line(line)
}

// wholeLine masks a word that is quoted as a whole and has blanks.
func (m *masker) wholeLine(w string) (string, bool) {
	if m.args && w[0] != '-' {
		return m.within(w), true
	}
	q := 1
	if w[0] == '\\' {
		q = 2
	}
	if c := w[q-1]; len(w) <= 2*q || c != '"' && c != '\'' || w[q] == '-' || !strings.HasSuffix(w, w[:q]) {
		return "", false
	}
	return m.enclosed(w, q, len(w)-q), true
}

// partLine masks a word with blanks of which a part is quoted: --run="mysql -px".
func (m *masker) partLine(w string) string {
	if m.args {
		return m.within(w)
	}
	if i := strings.IndexAny(w, `"'`); i >= 0 {
		return m.enclosed(w, i+1, len(w))
	}
	return w
}

// enclosed masks a part of w as a line of its own.
func (m *masker) enclosed(w string, from, to int) string {
	if masked := m.within(w[from:to]); masked != w[from:to] {
		return w[:from] + masked + w[to:]
	}
	return w
}

// word masks one word and notes what follows from it for the next.
func (m *masker) word(w string) string {
	if w == "" {
		return w
	}
	previous, skip := m.previous, m.skip
	m.previous, m.skip = w, false
	if m.rest {
		return Masked
	}
	if m.next && strings.HasPrefix(w, "--") && len(w) > 3 && !secretName(w) {
		m.next = false // the option before was a switch
	}
	if m.next {
		m.next = w[0] == '-' && secretName(w) // "-pass --token x": which of them is the value?
		if harmlessValue(w) && !m.next {
			return w
		}
		return Masked
	}
	if strings.HasPrefix(w, "-----BEGIN") { // a key in PEM
		m.rest = true
		return Masked
	}
	switch w[0] {
	case '|', '&', ';':
		if w == "|" || w == "||" || w == "&&" || w == ";" || w == "&" {
			m.program = programOptions{}
			return w
		}
	case '=', ':':
		if masked, ok := m.apart(previous, w); ok {
			return masked
		}
	}
	blank := strings.IndexByte(w, ' ') >= 0
	if w[0] != '-' && !skip {
		if !blank {
			if p, ok := optionsOf(programName(w)); ok {
				m.program, m.words = p, 0
				return w
			}
		}
		if masked, ok := m.positional(w, blank); ok {
			return masked
		}
	}
	return m.value(w, blank)
}

// value masks a word that is no program and has no place of its own.
func (m *masker) value(w string, blank bool) string {
	if blank {
		if masked, ok := m.wholeLine(w); ok {
			return masked
		}
	}
	if masked, ok := m.named(w); ok {
		return masked
	}
	if masked, ok := m.option(w); ok {
		return masked
	}
	if blank {
		w = m.partLine(w)
	}
	return maskForms(maskHook(maskUserInfo(w)))
}

// programName is that of a program which is called by its path, or in brackets.
func programName(w string) string { return path.Base(strings.Trim(w, `"'\`)) }

// apart masks the value after a name that blanks separate from its sign: "password" : "x".
func (m *masker) apart(name, w string) (string, bool) {
	if name, _ = nameBefore(name); !secretName(name) {
		return "", false
	}
	value := strings.TrimLeft(w, "=:>")
	if value == "" {
		m.next = true
		return w, true
	}
	return w[:len(w)-len(value)] + Masked, true
}

// positional masks what a program takes as a secret by its place.
func (m *masker) positional(w string, blank bool) (string, bool) {
	p := &m.program
	m.words++
	if p.after != "" && hasWord(p.after, w) {
		p.after, m.words = "", 0
		return "", false
	}
	switch {
	case p.only != "":
		if hasWord(p.only, w) {
			p.only, m.words = "", 0
		}
	case p.slash && !blank:
		user, rest, ok := strings.Cut(w, "/")
		if name, _, named := strings.Cut(user, "="); ok && user != "" && user[0] != '@' && rest != "" && (!named || name == "userid") {
			if at := strings.LastIndexByte(rest, '@'); at >= 0 {
				return user + "/" + Masked + rest[at:], true
			}
			return user + "/" + Masked, true
		}
	case p.nth > 0 && p.after == "" && m.words >= p.nth:
		if w[0] == '>' || w[0] == '<' || w == "2>" {
			m.skip = strings.Trim(w, "2<>") == "" // a file
			return "", false
		}
		return Masked, true
	case p.acl && aclPassword(strings.TrimLeft(w, `"'`)):
		return Masked, true
	case blank || strings.HasSuffix(w, ":"):
	case p.bare || p.set && p.after == "":
		name := w[strings.LastIndexAny(w, "/:")+1:]
		if strings.IndexByte(w, '=') < 0 && (secretName(name) || hasWord(p.long, name)) {
			m.next = true
			return w, true
		}
	}
	return "", false
}

// aclPassword tells ">x" of an access list from a shell's ">/dev/null".
func aclPassword(w string) bool {
	return len(w) > 1 && w[0] == '>' && strings.IndexByte(">/&", w[1]) < 0
}

// option masks by the options of the program that was named before.
func (m *masker) option(w string) (string, bool) {
	if len(w) < 2 || w[0] != '-' {
		if strings.EqualFold(strings.Trim(w, `"'`), "bearer") {
			m.next = true
		}
		return "", false
	}
	name := strings.TrimLeft(w, "-")
	if m.program.only == "" {
		if long, value, ok := strings.Cut(name, "="); len(long) > 1 && hasWord(m.program.long, long) {
			if !ok {
				m.next = true
				return w, true
			}
			return w[:len(w)-len(value)] + Masked, true
		}
		if w[1] != '-' {
			if masked, ok := m.letters(w); ok {
				m.next = m.next || hasWord("pass passwd password passphrase", name) // or is it a long one?
				return masked, true
			}
		}
	}
	if secretName(name) && !strings.ContainsAny(name, "=/") {
		m.next = true
		return w, true
	}
	return "", false
}

// letters masks the value of an option of one letter. Others without a value may stand before
// it where the program is known to take them so: -sSfu user:x.
func (m *masker) letters(w string) (string, bool) {
	p := &m.program
	for i := 1; i < len(w); i++ {
		last := i+1 == len(w)
		switch c := w[i]; {
		case !last && strings.IndexByte(p.attached, c) >= 0:
			return w[:i+1] + Masked, true
		case last && strings.IndexByte(p.apart, c) >= 0:
			m.next = true
			return w, true
		case strings.IndexByte(p.attached, c) >= 0:
			return "", false // "-p db" asks for the password
		case strings.IndexByte(p.takes, c) >= 0:
			m.skip = last
			return "", false
		}
		if p.takes == "" {
			break
		}
	}
	return "", false
}

// named masks the value after the first name in a word that tells of a secret.
func (m *masker) named(w string) (string, bool) {
	for i := 1; i < len(w); i++ {
		sign := 1
		switch w[i] {
		case '=', ':', '>':
		case '%':
			if sign = 3; !strings.HasPrefix(w[i:], "%3") || i+2 == len(w) || strings.IndexByte("AaDd", w[i+2]) < 0 {
				continue
			}
		default:
			continue
		}
		name, before := nameBefore(w[:i])
		value := w[i+sign:]
		windows := (before == '/' && len(name)+1 == i || before == ',') && w[i] == ':' && !strings.HasPrefix(value, "/") // /password:x
		switch {
		case before == '/' && !windows, strings.HasPrefix(value, "//"), w[i] == '>' && (before != '<' || value == ""):
			continue
		case secretName(name), windows && hasWord(m.program.long, name), name == "data" && strings.Contains(w[:i], "secret"):
		default:
			continue
		}
		if workingDir(name, value) {
			continue
		}
		if strings.EqualFold(name, "authorization") {
			m.rest = true
		}
		bare := strings.Trim(value, "\"'\\ ")
		if bare == "" {
			m.next = (w[i] == ':' || m.program.spaced) && !m.rest // "password: x"; an empty password= is no secret
			return w, true
		}
		if harmlessValue(bare) {
			continue
		}
		return w[:i+sign] + Masked, true
	}
	return "", false
}
