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
//   - here-documents as a whole, and passwords of SQL: IDENTIFIED BY 'x'
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
	next     bool         // the next word is a secret
	rest     bool         // all that follows is
	skip     bool         // the next word is the value of an option
	args     bool         // the words are arguments: they may hold blanks without quotes
	depth    int          // of quotes
	user     bool         // an unknown program was given a user: its -p may be the password
	sql      bool         // the next text in quotes is a password
	previous string       // word
	program  programState // the program named last
	former   programState // the one before: the name of the last may be its argument
}

func (m *masker) line(line string) string {
	if at := strings.Index(line, "<<"); at >= 0 {
		line = hideDocuments(line, at)
	}
	var b strings.Builder
	first := *m
	done := 0                // how much of the line is in b
	reads, asked := false, 0 // a command before a here-string reads a secret; how far they were asked
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
		if !reads && strings.HasPrefix(w, "<<<") {
			reads, asked = someReadsSecret(line[asked:i]), i
		}
		if reads && strings.HasPrefix(w, "<<<") {
			if m.next = len(w) == 3; !m.next {
				masked = w[:3] + Masked
			}
		} else if m.program.says && m.program.words == 0 {
			if pipe := secretPipe(line, end, grouped(line[:i])); pipe > 0 {
				masked, end = masked+" "+Masked+" ", pipe
			}
			m.program = programState{}
		} else if (w[0] == '"' || w[0] == '\'') && sayingLine(w) && secretPipe(line, end, false) > 0 {
			masked = w[:1] + Masked + w[:1]
		}
		if masked != line[i:end] {
			if done == 0 {
				b.Grow(len(line))
			}
			b.WriteString(line[done:i])
			b.WriteString(masked)
			done = end
		}
		if w[len(w)-1] == ';' && len(w) > 1 && w[len(w)-2] != '\\' && !m.rest {
			*m = first // another command begins
		}
		i = end
	}
	if done == 0 {
		return line
	}
	b.WriteString(line[done:])
	return b.String()
}

// someReadsSecret reports whether one of the commands in a piece of a line does. A sign
// that ends a command may be quoted or stand in a group: the piece is asked from its
// beginning and from each of its last signs on.
func someReadsSecret(piece string) bool {
	if readsSecret(piece) {
		return true
	}
	for at, n := len(piece), 0; n < maxCommands; n++ {
		if at = strings.LastIndexAny(piece[:at], ";\n&"); at < 0 {
			return false
		}
		if readsSecret(piece[at+1:]) {
			return true
		}
	}
	return true // who chains so many may hide one
}

// maxCommands bounds the commands of a line that are asked whether they read a secret.
const maxCommands = 100

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
			m.program, m.former, m.user = programState{}, programState{}, false
			return w
		}
	case '=', ':':
		if masked, ok := m.apart(previous, w); ok {
			return masked
		}
	}
	blank := strings.IndexByte(w, ' ') >= 0
	if w[0] != '-' && !skip {
		if masked, ok := m.argument(w, blank); ok {
			return masked
		}
	}
	if m.depth > 0 {
		if masked, ok := m.statement(previous, w); ok {
			return masked
		}
	}
	if len(previous) > 1 && previous[0] == '-' && !m.program.known {
		if masked, ok := m.unknown(previous, w); ok {
			return masked
		}
	}
	return m.value(previous, w, blank)
}

// argument takes a word that is no option: a program, or what a program takes by its place.
func (m *masker) argument(w string, blank bool) (string, bool) {
	if !blank {
		if p, ok := optionsOf(programName(w)); ok {
			m.user = false
			masked, hidden := m.keep(w)
			m.program = programState{programOptions: p, known: true}
			return masked, hidden
		}
	}
	if masked, ok := m.positional(&m.program, w, blank); ok {
		return masked, true
	}
	if m.former.known {
		return m.positional(&m.former, w, blank)
	}
	return "", false
}

// keep remembers the program named before: w may be an argument of it that has the name of
// another. Where it runs programs itself, or has no secrets, it ends. An address or a setting
// may end in the name of a program too, hence the other rules follow.
func (m *masker) keep(w string) (string, bool) {
	if m.program.runs || !m.program.known {
		return "", false
	}
	m.former = m.program
	return m.positional(&m.former, w, false)
}

// value masks a word that has no place of its own. No rule ends it: what one of them keeps is
// for the next to look at, as the password of an address before ?token=x.
func (m *masker) value(previous, w string, blank bool) string {
	if blank {
		if masked, ok := m.saidSecret(previous, w); ok {
			return masked
		}
		if masked, ok := m.setting(previous, w); ok {
			return masked
		}
		if masked, ok := m.wholeLine(w); ok {
			return masked
		}
	}
	if !blank {
		w = maskUserInfo(w)
	}
	hidden := ""
	if kept, ok := m.named(w); !ok {
		w = m.option(w)
	} else if kept < len(w) {
		w, hidden = w[:kept], Masked
	}
	if blank {
		w = maskUserInfo(m.partLine(w))
	}
	return maskForms(maskHook(w)) + hidden
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
func (m *masker) positional(p *programState, w string, blank bool) (string, bool) {
	p.words++
	if p.after != "" && hasWord(p.after, w) {
		p.after, p.words = "", 0
		return "", false
	}
	switch {
	case p.only != "":
		if hasWord(p.only, w) {
			p.only, p.words, p.runs = "", 0, false
		}
	case p.slash && !blank:
		user, rest, ok := strings.Cut(w, "/")
		if name, _, named := strings.Cut(user, "="); ok && user != "" && user[0] != '@' && rest != "" && (!named || name == "userid") {
			if at := strings.LastIndexByte(rest, '@'); at >= 0 {
				return user + "/" + Masked + m.value("", rest[at:], false), true
			}
			return user + "/" + Masked, true
		}
	case p.plus && p.after == "" && w[0] == '+':
		p.nth = 0
	case p.nth > 0 && p.after == "" && p.words >= p.nth:
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
			return maskUserInfo(w), true
		}
	}
	return "", false
}

// aclPassword tells ">x" of an access list from a shell's ">/dev/null".
func aclPassword(w string) bool {
	return len(w) > 1 && w[0] == '>' && strings.IndexByte(">/&", w[1]) < 0
}

// option masks by the options of the program that was named before.
func (m *masker) option(w string) string {
	if len(w) < 2 || w[0] != '-' {
		if strings.EqualFold(strings.Trim(w, `"'`), "bearer") {
			m.next = true
		}
		return w
	}
	name := strings.TrimLeft(w, "-")
	if masked, ok := m.optionOf(&m.program, w, name); ok {
		return masked
	}
	if m.former.known {
		if masked, ok := m.optionOf(&m.former, w, name); ok {
			return masked
		}
	}
	if secretName(name) && !strings.ContainsAny(name, "=/") {
		m.next = true
		if at := attachedTo(name); at > 0 {
			return w[:len(w)-len(name)+at] + Masked
		}
	}
	return w
}

// optionOf masks by the options of one program.
func (m *masker) optionOf(p *programState, w, name string) (string, bool) {
	if p.only != "" {
		return "", false
	}
	if long, value, ok := strings.Cut(name, "="); len(long) > 1 && hasWord(p.long, long) {
		if !ok {
			m.next = true
			return w, true
		}
		return w[:len(w)-len(value)] + Masked, true
	}
	if w[1] != '-' {
		if masked, ok := m.letters(p, w); ok {
			m.next = m.next || hasWord("pass passwd password passphrase", name) // or is it a long one?
			return masked, true
		}
	}
	return "", false
}

// letters masks the value of an option of one letter. Others without a value may stand before
// it where the program is known to take them so: -sSfu user:x.
func (m *masker) letters(p *programState, w string) (string, bool) {
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
