package probe

import (
	"path"
	"strings"
)

// Masked stands for a secret.
const Masked = "***"

// Mask replaces the secrets in a command line: of the kernel, a unit, a crontab. It knows
//
//   - values with a telling name: password=x, --token x, "api_key": "x", ?sig=x, PGPASSWORD=x
//   - users with their password before an address: https://user:x@host
//   - options of well-known programs: mysql -px, curl -u user:x, redis-cli -a x
//   - keys that can be told by their form: AKIA..., ghp_..., eyJ....
//
// It rather hides too much than too little. What it does not know (a password that is an
// argument like any other) it cannot hide.
func Mask(line string) string {
	var m masker
	return m.line(line)
}

// MaskArgs is Mask for arguments that are known one by one, as in /proc/PID/cmdline. The
// arguments come joined by blanks.
func MaskArgs(args []string) string {
	var m masker
	var b strings.Builder
	b.Grow(32 * len(args))
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
	next    bool          // the next word is a secret
	rest    bool          // all that follows is
	options secretOptions // of the program named last
}

func (m *masker) line(line string) string {
	var b strings.Builder
	b.Grow(len(line))
	for i := 0; i < len(line); {
		if isBlank(line[i]) {
			b.WriteByte(line[i])
			i++
			continue
		}
		end := wordEnd(line, i)
		b.WriteString(m.quoted(line[i:end]))
		i = end
	}
	return b.String()
}

// quoted masks a word. One that is quoted as a whole and has blanks is a line of its own,
// as in sh -c "...".
func (m *masker) quoted(w string) string {
	q := w[0]
	if (q == '"' || q == '\'') && len(w) > 2 && w[len(w)-1] == q && w[1] != '-' && strings.IndexByte(w, ' ') > 0 && !m.next && !m.rest {
		return w[:1] + Mask(w[1:len(w)-1]) + w[len(w)-1:]
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
	if m.next {
		m.next = w[0] == '-' && secretName(w) // "-pass --token x": which of them is the value?
		return Masked
	}
	if p, ok := programs[path.Base(strings.Trim(w, `"'`))]; ok {
		m.options = p
		return w
	}
	if masked, ok := m.named(w); ok {
		return masked
	}
	if masked, ok := m.option(w); ok {
		return masked
	}
	return maskForms(maskUserInfo(w))
}

// option masks by the options of the program that was named before.
func (m *masker) option(w string) (string, bool) {
	if len(w) < 2 || w[0] != '-' {
		if strings.EqualFold(strings.Trim(w, `"'`), "bearer") {
			m.next = true
		}
		return "", false
	}
	if name := strings.TrimLeft(w, "-"); secretName(name) && !strings.ContainsAny(name, "=/") {
		m.next = true
		return w, true
	}
	if w[1] == '-' {
		return "", false
	}
	if len(w) == 2 {
		m.next = strings.IndexByte(m.options.apart, w[1]) >= 0
		return w, true
	}
	if strings.IndexByte(m.options.attached, w[1]) >= 0 {
		return w[:2] + Masked, true
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
		if before == '/' || strings.HasPrefix(value, "//") || !secretName(name) || workingDir(name, value) {
			continue
		}
		if strings.EqualFold(name, "authorization") {
			m.rest = true
		}
		if strings.Trim(value, `"'`) == "" {
			m.next = w[i] == ':' && !m.rest // "password: x"; an empty password= is no secret
			return w, true
		}
		return w[:i+1] + Masked, true
	}
	return "", false
}

// nameBefore cuts the name off the end of s, and the byte before it. A quote or bracket
// may close it.
func nameBefore(s string) (name string, before byte) {
	s = strings.TrimRight(s, `"'])`)
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

var (
	// secretParts make a name that of a secret wherever they stand in it.
	secretParts = []string{"passw", "passphrase", "passcode", "pwd", "secret", "token", "psk", "credential", "apikey", "api-key",
		"accesskey", "access-key", "privatekey", "private-key", "secretkey", "sharedkey", "shared-key", "encryption-key", "signature",
		"authorization", "cookie"}
	// secretWords do as the whole of one of the name's words.
	secretWords = []string{"pass", "passin", "passout", "auth", "sig", "pin", "bearer", "sas", "authkey"}
	// harmlessEnds are last words of names whose value is not the secret itself.
	harmlessEnds = []string{"file", "path", "stdin", "dir", "fd", "prompt", "type", "ttl", "policy", "length", "enabled", "age", "max", "min", "expiry"}
)

// secretName reports whether what has this name is a secret.
func secretName(name string) bool {
	if len(name) > 100 {
		name = name[len(name)-100:]
	}
	name = strings.ReplaceAll(strings.ToLower(strings.TrimLeft(name, "-")), "_", "-")
	last := name[strings.LastIndexAny(name, "-.")+1:]
	for _, end := range harmlessEnds {
		if last == end {
			return false
		}
	}
	for _, part := range secretParts {
		if strings.Contains(name, part) {
			return true
		}
	}
	for len(name) > 0 {
		var word string
		if i := strings.IndexAny(name, "-."); i >= 0 {
			word, name = name[:i], name[i+1:]
		} else {
			word, name = name, ""
		}
		for _, w := range secretWords {
			if word == w {
				return true
			}
		}
		if strings.HasSuffix(word, "pass") && word != "bypass" && word != "compass" {
			return true
		}
	}
	return false
}

// maskUserInfo hides the password in scheme://user:password@host, and in what looks like
// it: netroot=iscsi:user:password@host (dracut.cmdline(7)).
func maskUserInfo(w string) string {
	start := 0
	if i := strings.Index(w, "://"); i >= 0 {
		start = i + 3
	}
	colon := strings.IndexByte(w[start:], ':')
	if colon < 0 {
		return w
	}
	colon += start
	at := strings.LastIndexByte(w, '@')
	if at <= colon+1 {
		return w
	}
	return w[:colon+1] + Masked + w[at:]
}

// form is a kind of key that can be told by how it begins and its least length.
type form struct {
	prefix string
	least  int
}

var forms = []form{
	{"AKIA", 20}, {"ASIA", 20}, {"ghp_", 20}, {"gho_", 20}, {"ghs_", 20}, {"ghu_", 20}, {"ghr_", 20}, {"github_pat_", 30}, {"glpat-", 20},
	{"xoxb-", 20}, {"xoxp-", 20}, {"xoxa-", 20}, {"xoxr-", 20}, {"xapp-", 20}, {"sk_live_", 20}, {"rk_live_", 20}, {"sk-", 24}, {"AIza", 35},
	{"eyJ", 30}, {"hvs.", 20}, {"hvb.", 20}, {"npm_", 30}, {"pypi-", 30}, {"dop_v1_", 30}, {"SG.", 40}, {"ya29.", 20},
}

// maskForms hides keys that stand without a name.
func maskForms(w string) string {
	for i := 0; i < len(w); {
		if !isNameByte(w[i]) {
			i++
			continue
		}
		end := i
		for end < len(w) && isNameByte(w[end]) {
			end++
		}
		for _, f := range forms {
			if end-i >= f.least && strings.HasPrefix(w[i:end], f.prefix) {
				return w[:i] + Masked + maskForms(w[end:])
			}
		}
		i = end
	}
	return w
}

// secretOptions are the letters of a program's options whose value is a secret: attached
// to the letter, or apart from it as the next word.
type secretOptions struct{ attached, apart string }

var (
	mysqlOptions = secretOptions{attached: "p"} // "-p db" asks for the password
	ldapOptions  = secretOptions{"w", "w"}
	snmpOptions  = secretOptions{"", "cAX"}
	mongoOptions = secretOptions{"", "p"}
	zipOptions   = secretOptions{"", "P"}
	smbOptions   = secretOptions{"U", "U"}
	rarOptions   = secretOptions{attached: "p"}
)

// programs are those whose one-letter options carry secrets.
var programs = map[string]secretOptions{
	"mysql": mysqlOptions, "mysqldump": mysqlOptions, "mysqladmin": mysqlOptions, "mysqlimport": mysqlOptions, "mysqlcheck": mysqlOptions,
	"mariadb": mysqlOptions, "mariadb-dump": mysqlOptions, "mariadb-admin": mysqlOptions,
	"curl": {"uU", "uUb"}, "sshpass": {"p", "p"}, "redis-cli": {"", "a"}, "openssl": {"", "kK"}, "sqlcmd": {"P", "P"}, "bcp": {"P", "P"},
	"ldapsearch": ldapOptions, "ldapmodify": ldapOptions, "ldapadd": ldapOptions, "ldapdelete": ldapOptions, "ldapwhoami": ldapOptions, "ldappasswd": ldapOptions,
	"mongo": mongoOptions, "mongosh": mongoOptions, "mongodump": mongoOptions, "mongorestore": mongoOptions,
	"snmpwalk": snmpOptions, "snmpget": snmpOptions, "snmpset": snmpOptions, "snmpbulkwalk": snmpOptions, "snmptrap": snmpOptions,
	"zip": zipOptions, "unzip": zipOptions, "7z": rarOptions, "7za": rarOptions, "7zz": rarOptions, "rar": rarOptions, "unrar": rarOptions,
	"smbclient": smbOptions, "rpcclient": smbOptions, "ipmitool": {"", "P"}, "ssh": {}, "lftp": {"u", "u"},
}
