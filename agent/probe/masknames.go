package probe

import (
	"bytes"
	"strings"
)

// nameBefore cuts the name off the end of s, and the byte before it. Quotes, escaped or not,
// brackets and blanks may close it.
func nameBefore(s string) (name string, before byte) {
	s = strings.TrimSuffix(s, "%22")
	for len(s) > 0 && strings.IndexByte("\"'])\\ \t", s[len(s)-1]) >= 0 {
		s = s[:len(s)-1]
	}
	start := len(s)
	for start > 0 && (isNameByte(s[start-1]) || s[start-1] >= 0x80) {
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

// secretFirsts has a bit for each letter that one of secretParts begins with.
const secretFirsts = 1 | 1<<('c'-'a') | 1<<('e'-'a') | 1<<('f'-'a') | 1<<('h'-'a') | 1<<('l'-'a') | 1<<('m'-'a') | 1<<('p'-'a') |
	1<<('s'-'a') | 1<<('t'-'a') | 1<<('w'-'a')

var (
	// secretParts make a name that of a secret wherever they stand in it, whatever separates
	// its words: account-key, account_key, accountKey.
	secretParts = [...]string{"password", "passwd", "passwort", "passphrase", "passcode", "pwd", "secret", "token", "credential", "apikey", "appkey",
		"accesskey", "accountkey", "privatekey", "sharedkey", "storagekey", "sessionkey", "sessionid", "signingkey", "subscriptionkey",
		"encryptionkey", "encryptkey", "masterkey", "licensekey", "hmackey", "wepkey", "signature", "authorization", "cookie", "cryptkey", "lukskey",
		"fromliteral"}
	// secretEnds do as the end of the name.
	secretEnds = [...]string{"pass", "psk", "auth", "authkey", "creds", "bearer", "passin", "passout", "cred", "passw", "pw", "community", "kennwort",
		"senha", "contrasena", "contraseña", "motdepasse", "wachtwoord", "haslo", "hasło", "heslo", "salasana", "parola", "losenord", "lösenord",
		"adgangskode", "пароль"}
	// secretWords do as the last word.
	secretWords = [...]string{"pin", "sig", "sas", "otp", "mdp", "jwt"}
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
	name = name[max(0, len(name)-100):]
	var wordsBuffer [200]byte
	var wholeBuffer [100]byte
	words, whole := splitName(wordsBuffer[:0], wholeBuffer[:0], name)
	rest, last := words, words
	for len(rest) > 0 {
		last = rest
		if i := bytes.IndexByte(rest, '-'); i >= 0 {
			last, rest = rest[:i], rest[i+1:]
		} else {
			rest = nil
		}
		if len(last) < len(words) && isOne(last, harmlessWords[:]) {
			return false
		}
	}
	return !isOne(last, harmlessEnds[:]) && (hasSecretPart(whole) || secretEnd(whole, last))
}

// splitName gives a name in lower case: its words with a hyphen between them, and whole
// without anything between them. A capital after a small letter begins a word.
func splitName(words, whole []byte, name string) (_, _ []byte) {
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 'A' && c <= 'Z':
			if i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
				words = append(words, '-')
			}
			c |= 0x20
		case c == '_' || c == '-' || c == '.':
			words = append(words, '-')
			continue
		}
		words, whole = append(words, c), append(whole, c)
	}
	return words, whole
}

func hasSecretPart(whole []byte) bool {
	for i, c := range whole {
		if secretFirsts>>(c-'a')&1 == 0 {
			continue
		}
		for _, part := range secretParts {
			if part[0] == c && len(whole)-i >= len(part) && string(whole[i:i+len(part)]) == part {
				return true
			}
		}
	}
	return false
}

// secretEnd looks at the end of a name. A number may follow: pass1, but not oauth2.
func secretEnd(whole, last []byte) bool {
	numbered := len(whole)
	whole, last = bytes.TrimRight(whole, "0123456789"), bytes.TrimRight(last, "0123456789")
	for _, end := range secretEnds {
		if len(whole) >= len(end) && string(whole[len(whole)-len(end):]) == end && (end != "auth" || len(whole) == numbered) {
			return string(last) != "bypass" && string(last) != "compass" && string(last) != "encompass"
		}
	}
	return isOne(last, secretWords[:])
}

// attachedTo is where in the name of an option a password begins that is attached to it:
// -passwordX; 0 if there is none.
func attachedTo(name string) int {
	for _, option := range [...]string{"password", "passwd"} {
		rest, ok := strings.CutPrefix(name, option)
		if ok && rest != "" && !hasWord("s less", rest) && strings.IndexByte("-_.:", rest[0]) < 0 {
			lower := []byte(strings.ToLower(rest))
			if !isOne(lower, harmlessEnds[:]) && !isOne(lower, harmlessWords[:]) {
				return len(option)
			}
		}
	}
	return 0
}

func isOne(word []byte, list []string) bool {
	for _, w := range list {
		if string(word) == w {
			return true
		}
	}
	return false
}
