package probe

import (
	"bytes"
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
//   - options of well-known programs: mysql -px, curl -u user:x, docker login -p x
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
	var m masker
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
		if strings.IndexByte(a, ' ') >= 0 && !strings.HasPrefix(a, "-") && !m.next && !m.rest {
			b.WriteString(Mask(a)) // a line for a shell, or text
			continue
		}
		b.WriteString(m.word(a))
	}
	return b.String()
}

// masker goes through the words of a command line.
type masker struct {
	next    bool           // the next word is a secret
	rest    bool           // all that follows is
	program programOptions // of the program named last
	words   int            // of the program that are no options
}

func (m *masker) line(line string) string {
	var b strings.Builder
	done := 0 // how much of the line is in b
	for i := 0; i < len(line); {
		if isBlank(line[i]) {
			i++
			continue
		}
		end := wordEnd(line, i)
		if w := m.quoted(line[i:end]); w != line[i:end] {
			if done == 0 {
				b.Grow(len(line))
			}
			b.WriteString(line[done:i])
			b.WriteString(w)
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

// quoted masks a word. One that is quoted as a whole and has blanks is a line of its own,
// as in sh -c "...".
func (m *masker) quoted(w string) string {
	q := w[0]
	if (q == '"' || q == '\'') && len(w) > 2 && w[len(w)-1] == q && w[1] != '-' && strings.IndexByte(w, ' ') > 0 && !m.next && !m.rest {
		inner := w[1 : len(w)-1]
		if masked := Mask(inner); masked != inner {
			return w[:1] + masked + w[len(w)-1:]
		}
		return w
	}
	return m.word(w)
}

// isBlank separates words; NUL does in files of /proc.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == 0 }

// wordEnd is where the word that begins at i ends: at a blank outside of quotes. A quote
// that is not closed is a character like any other.
func wordEnd(s string, i int) int {
	for i < len(s) && !isBlank(s[i]) {
		if c := s[i]; c == '\\' && i+1 < len(s) {
			i++
		} else if c == '"' || c == '\'' {
			if n := strings.IndexByte(s[i+1:], c); n >= 0 {
				i += n + 1
			}
		}
		i++
	}
	return i
}

// word masks one word and notes what follows from it for the next.
func (m *masker) word(w string) string {
	if w == "" {
		return w
	}
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
	switch w {
	case "|", "||", "&&", ";", "&":
		m.program = programOptions{}
		return w
	}
	if w[0] != '-' {
		if p, ok := optionsOf(path.Base(strings.Trim(w, `"'`))); ok {
			m.program, m.words = p, 0
			return w
		}
		if masked, ok := m.positional(w); ok {
			return masked
		}
	}
	if masked, ok := m.named(w); ok {
		return masked
	}
	if masked, ok := m.option(w); ok {
		return masked
	}
	return maskForms(maskHook(maskUserInfo(w)))
}

// positional masks what a program takes as a secret by its place.
func (m *masker) positional(w string) (string, bool) {
	p := &m.program
	m.words++
	switch {
	case p.only != "":
		if hasWord(p.only, w) {
			p.only, m.words = "", 0
		}
	case p.slash && m.words == 1:
		if user, rest, ok := strings.Cut(w, "/"); ok && user != "" && user[0] != '@' && rest != "" {
			if at := strings.LastIndexByte(rest, '@'); at >= 0 {
				return user + "/" + Masked + rest[at:], true
			}
			return user + "/" + Masked, true
		}
	case p.nth > 0 && m.words >= p.nth && !strings.ContainsAny(w, "=/"):
		return Masked, true
	case p.bare && secretName(w[strings.LastIndexAny(w, "/:")+1:]) && strings.IndexByte(w, '=') < 0 && !strings.HasSuffix(w, ":"):
		m.next = true
		return w, true
	}
	return "", false
}

// option masks by the options of the program that was named before.
func (m *masker) option(w string) (string, bool) {
	if len(w) < 2 || w[0] != '-' {
		if strings.EqualFold(strings.Trim(w, `"'`), "bearer") {
			m.next = true
		}
		return "", false
	}
	if w[1] != '-' && len(w) > 2 && m.program.only == "" && strings.IndexByte(m.program.attached, w[1]) >= 0 {
		return w[:2] + Masked, true
	}
	name := strings.TrimLeft(w, "-")
	if secretName(name) && !strings.ContainsAny(name, "=/") {
		m.next = true
		return w, true
	}
	if m.program.only != "" {
		return "", false
	}
	if long, value, ok := strings.Cut(name, "="); len(long) > 1 && hasWord(m.program.long, long) {
		if !ok {
			m.next = true
			return w, true
		}
		return w[:len(w)-len(value)] + Masked, true
	}
	if w[1] == '-' {
		return "", false
	}
	if len(w) == 2 {
		m.next = strings.IndexByte(m.program.apart, w[1]) >= 0
		return w, true
	}
	return "", false
}

// named masks the value after the first name in a word that tells of a secret.
func (m *masker) named(w string) (string, bool) {
	for i := 1; i < len(w); i++ {
		if w[i] != '=' && w[i] != ':' {
			continue
		}
		name, before := nameBefore(w[:i])
		value := w[i+1:]
		windows := before == '/' && len(name)+1 == i && w[i] == ':' && !strings.HasPrefix(value, "/") // /password:x
		if before == '/' && !windows || strings.HasPrefix(value, "//") || !secretName(name) && !(windows && hasWord(m.program.long, name)) || workingDir(name, value) {
			continue
		}
		if strings.EqualFold(name, "authorization") {
			m.rest = true
		}
		bare := strings.Trim(value, `"'`)
		if bare == "" {
			m.next = w[i] == ':' && !m.rest // "password: x"; an empty password= is no secret
			return w, true
		}
		if harmlessValue(bare) {
			continue
		}
		return w[:i+1] + Masked, true
	}
	return "", false
}

// nameBefore cuts the name off the end of s, and the byte before it. A quote or bracket
// may close it.
func nameBefore(s string) (name string, before byte) {
	for len(s) > 0 && strings.IndexByte(`"'])`, s[len(s)-1]) >= 0 {
		s = s[:len(s)-1]
	}
	start := len(s)
	for start > 0 && isNameByte(s[start-1]) {
		start--
	}
	if start > 0 {
		before = s[start-1]
	}
	return s[start:], before
}

func isNameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.'
}

// workingDir tells PWD=/root from a password.
func workingDir(name, value string) bool {
	return (name == "PWD" || name == "OLDPWD") && strings.HasPrefix(value, "/")
}

// harmlessValue knows answers that are no secret whatever the name: PasswordAuthentication=no.
func harmlessValue(v string) bool {
	switch v {
	case "no", "yes", "No", "Yes", "true", "false", "True", "False", "on", "off", "none", "null", "auto", "always", "never", "optional", "required":
		return true
	}
	return len(v) == 1 && v[0] >= '0' && v[0] <= '9'
}

// maskUserInfo hides the password in scheme://user:password@host, and in what looks like
// it: netroot=iscsi:user:password@host (dracut.cmdline(7)).
func maskUserInfo(w string) string {
	at := strings.LastIndexByte(w, '@')
	if at < 0 {
		return w
	}
	i := strings.Index(w, "://")
	if i < 0 {
		colon := strings.IndexByte(w[:at], ':')
		if colon < 0 || at == colon+1 || !isHost(w[at+1:]) || strings.IndexByte(w[:colon], '@') >= 0 {
			return w
		}
		return w[:colon+1] + Masked + w[at:]
	}
	start := i + 3
	if end := strings.IndexAny(w[start:], "/?#"); end >= 0 {
		if in := strings.LastIndexByte(w[start:start+end], '@'); in >= 0 {
			at = start + in
		} else if _, port, _ := strings.Cut(w[start:start+end], ":"); strings.Trim(port, "0123456789") == "" || at < start {
			return w // the @ is in the path
		}
	}
	user, _, ok := strings.Cut(w[start:max(at, start)], ":")
	switch {
	case ok && user != "" && at == start+len(user)+1: // an empty password
		return w
	case ok:
		return w[:start+len(user)+1] + Masked + w[at:]
	case len(user) >= 16 && strings.ContainsAny(user, "0123456789"): // a key in the place of the user
		return w[:start] + Masked + w[at:]
	}
	return w
}

// isHost tells what may follow user:password@ from versions and digests, which follow a
// name with a colon too: npm:left-pad@1.3.0, nginx:1.25@sha256:...
func isHost(s string) bool {
	if strings.HasPrefix(s, "sha256:") || s == "" {
		return false
	}
	digits := strings.TrimPrefix(s, "v")
	end := len(digits) - len(strings.TrimLeft(digits, "0123456789."))
	return end == 0 || strings.Count(digits[:end], ".") == 3
}

// hooks are addresses whoever knows them may post to: what follows is the secret.
var hooks = [...]string{
	"hooks.slack.com/", "discord.com/api/webhooks/", "discordapp.com/api/webhooks/", "api.telegram.org/bot", "webhook.office.com/",
	"hooks.zapier.com/hooks/", "outlook.office.com/webhook/", "chat.googleapis.com/v1/spaces/",
}

func maskHook(w string) string {
	i := strings.Index(w, "://")
	if i < 0 {
		return w
	}
	for _, h := range hooks {
		if at := strings.Index(w[i:], h); at >= 0 && len(w) > i+at+len(h) {
			return w[:i+at+len(h)] + Masked
		}
	}
	return w
}

// form is a kind of key that can be told by how it begins and its least length.
type form struct {
	prefix string
	least  int
}

var forms = [...]form{
	{"AKIA", 20}, {"ASIA", 20}, {"ghp_", 20}, {"gho_", 20}, {"ghs_", 20}, {"ghu_", 20}, {"ghr_", 20}, {"github_pat_", 30}, {"glpat-", 20},
	{"gldt-", 20}, {"glrt-", 20}, {"xoxb-", 20}, {"xoxp-", 20}, {"xoxa-", 20}, {"xoxr-", 20}, {"xoxs-", 20}, {"xapp-", 20}, {"sk_live_", 20},
	{"sk_test_", 20}, {"rk_live_", 20}, {"sk-", 24}, {"AIza", 35}, {"eyJ", 30}, {"hvs.", 20}, {"hvb.", 20}, {"npm_", 30}, {"pypi-", 30},
	{"dop_v1_", 30}, {"SG.", 40}, {"ya29.", 20}, {"hf_", 30}, {"shpat_", 30}, {"dckr_pat_", 20}, {"AGE-SECRET-KEY-", 30}, {"whsec_", 20},
}

// leastForm is the least length of all of them.
const leastForm = 20

// maskForms hides keys that stand without a name.
func maskForms(w string) string {
	if len(w) < leastForm {
		return w
	}
	for i := 0; i < len(w); {
		if !isNameByte(w[i]) {
			i++
			continue
		}
		end := i
		for end < len(w) && isNameByte(w[end]) {
			end++
		}
		if end-i >= leastForm {
			for _, f := range forms {
				if end-i >= f.least && w[i] == f.prefix[0] && strings.HasPrefix(w[i:end], f.prefix) {
					return w[:i] + Masked + maskForms(w[end:])
				}
			}
		}
		i = end
	}
	return w
}

var (
	// secretParts make a name that of a secret wherever they stand in it.
	secretParts = [...][]byte{
		[]byte("passw"), []byte("passphrase"), []byte("passcode"), []byte("pwd"), []byte("secret"), []byte("token"), []byte("credential"),
		[]byte("apikey"), []byte("api-key"), []byte("accesskey"), []byte("access-key"), []byte("privatekey"), []byte("private-key"),
		[]byte("sharedkey"), []byte("shared-key"), []byte("accountkey"), []byte("encryption-key"), []byte("master-key"), []byte("license-key"),
		[]byte("signature"), []byte("authorization"), []byte("cookie"), []byte("cryptkey"), []byte("luks.key"), []byte("from-literal"),
	}
	// secretEnds do as the end of the name's last word.
	secretEnds = [...]string{"pass", "psk", "auth", "authkey", "creds", "bearer", "passin", "passout", "cred"}
	// secretWords do as the last word.
	secretWords = [...]string{"pin", "sig", "sas", "pw", "otp"}
	// harmlessWords in a name make it one of something about the secret.
	harmlessWords = [...]string{"no", "ask", "without", "skip", "disable", "enable", "require", "allow", "show", "verify", "check", "prompt",
		"max", "min", "num", "limit", "count", "length", "timeout", "ttl", "expiry", "expire", "age", "policy"}
	// harmlessEnds are last words of names whose value is not the secret itself.
	harmlessEnds = [...]string{"file", "path", "stdin", "dir", "fd", "type", "enabled", "jar", "method", "mode", "server", "url", "uri", "user",
		"username", "host", "port", "provider", "backend", "plugin", "driver", "scheme", "realm", "format", "name", "names", "algorithm",
		"endpoint", "issuer", "tokens", "tokenizer", "env", "command", "version", "bytes", "mount", "mounts", "domain", "group", "store", "size", "ref"}
)

// secretName reports whether what has this name is a secret.
func secretName(name string) bool {
	for len(name) > 0 && name[0] == '-' {
		name = name[1:]
	}
	if len(name) < 2 {
		return false
	}
	var buffer [100]byte
	n := buffer[:copy(buffer[:], name[max(0, len(name)-len(buffer)):])]
	for i, c := range n {
		switch {
		case c >= 'A' && c <= 'Z':
			n[i] = c | 0x20
		case c == '_':
			n[i] = '-'
		}
	}
	rest, last := n, n
	for len(rest) > 0 {
		last = rest
		if i := bytes.IndexAny(rest, "-."); i >= 0 {
			last, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if len(last) < len(n) && isOne(last, harmlessWords[:]) {
			return false
		}
	}
	if isOne(last, harmlessEnds[:]) {
		return false
	}
	for _, part := range secretParts {
		if bytes.Contains(n, part) {
			return true
		}
	}
	for _, end := range secretEnds {
		if len(last) >= len(end) && string(last[len(last)-len(end):]) == end {
			return string(last) != "bypass" && string(last) != "compass" && string(last) != "encompass"
		}
	}
	return isOne(last, secretWords[:])
}

func isOne(word []byte, list []string) bool {
	for _, w := range list {
		if string(word) == w {
			return true
		}
	}
	return false
}
