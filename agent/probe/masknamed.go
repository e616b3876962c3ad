package probe

import "strings"

// named finds the first name in a word that tells of a secret: what follows kept is its value.
func (m *masker) named(w string) (kept int, ok bool) {
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
		case w[i] == ':' && (before == '/' && !windows || strings.HasPrefix(value, "//")), w[i] == '>' && (before != '<' || value == ""):
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
			return len(w), true
		}
		if harmlessValue(bare) {
			continue
		}
		return i + sign, true
	}
	return 0, false
}

// statement masks passwords of SQL: PASSWORD 'x', IDENTIFIED WITH plugin BY 'x'.
func (m *masker) statement(previous, w string) (string, bool) {
	if w[0] == '\'' || w[0] == '"' || w[0] == '\\' {
		if m.sql || strings.EqualFold(previous, "password") {
			m.sql = false
			return Masked, true
		}
		return "", false
	}
	if len(w) == len("identified") && strings.EqualFold(w, "identified") {
		m.sql = true
	}
	return "", false
}

// unknown masks the values of options that have the usual names, of a program that is not
// known: -u me:x, --key 0123456789abcdef, and -p x after a user.
func (m *masker) unknown(previous, w string) (string, bool) {
	if w[0] == '-' {
		return "", false
	}
	switch strings.TrimLeft(previous, "-") {
	case "u", "U", "user", "username", "login":
		m.user = true
		if user, password, ok := strings.Cut(w, ":"); ok && user != "" && password != user && !isGroup(password) && !strings.HasPrefix(password, "/") {
			return user + ":" + Masked, true
		}
	case "p", "P":
		if m.user && strings.Trim(w, "0123456789") != "" && !strings.ContainsAny(w, "/:=,") {
			return Masked, true
		}
	case "key":
		if len(w) >= 16 && strings.ContainsAny(w, "0123456789") && !strings.ContainsAny(w, "/.:@") {
			return Masked, true
		}
	}
	return "", false
}

// isGroup tells the group of user:group from a password: a number, or one of those that come
// with every system.
func isGroup(s string) bool {
	return strings.Trim(s, "0123456789") == "" || hasWord("root adm daemon nogroup nobody users staff wheel www-data", s)
}
