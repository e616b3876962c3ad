package probe

import (
	"path"
	"strings"
)

// secretPipe finds where the pipe is, after from, through which what an echo prints comes to
// a program that reads a secret; 0 if there is none. group tells that the echo stands in
// brackets, which hold more than one: (echo x; echo x) | passwd root.
func secretPipe(line string, from int, group bool) int {
	depth := 0
	if group {
		depth = 1
	}
	for i := from; i < len(line); i++ {
		switch c := line[i]; c {
		case '\\':
			i++
		case '"', '\'':
			i += max(0, closing(line[i+1:], c)+1)
		case '(', '{':
			depth++
		case ')', '}':
			depth--
		case ';', '\n', '&':
			if depth <= 0 && (c != '&' || line[i-1] != '>') {
				return 0
			}
		case '|':
			if depth <= 0 && !strings.HasPrefix(line[i:], "||") && readsSecret(line[i+1:]) {
				return i
			}
			if depth <= 0 {
				return 0
			}
		}
	}
	return 0
}

// readsSecret reports whether one of the programs of a pipeline reads a secret from its
// standard input.
func readsSecret(pipeline string) bool {
	sudo, text := false, false
	for i := 0; i < len(pipeline); {
		if isBlank(pipeline[i]) {
			i++
			continue
		}
		end, _ := wordEnd(pipeline, i)
		w := strings.Trim(pipeline[i:end], "\"'")
		if bare := strings.TrimLeft(w, "|"); len(bare) < len(w) {
			sudo, text, w = false, false, bare
		}
		i = end
		switch base := path.Base(w); {
		case w == ";" || w == "&&":
			return false
		case base == "grep" || base == "egrep" || base == "sed" || base == "awk" || base == "tee" || base == "mail" || base == "logger":
			text = true
		case base == "sudo":
			sudo = true
		case !text && (readerWord(base) || sudo && shortOption(w) && strings.IndexByte(w, 'S') > 0):
			return true
		}
		if strings.HasSuffix(w, ";") {
			return false
		}
	}
	return false
}

// readerWord knows programs that read a secret, and words that make one do so:
// --password-stdin, --passphrase-fd, docker secret create, openssl passwd.
func readerWord(w string) bool {
	switch w {
	case "cryptsetup", "kinit", "su", "keyctl", "secret-tool", "ssh-add", "systemd-creds", "secret", "login", "obscure", "--stdin", "-stdin", "--with-token":
		return true
	}
	return strings.Contains(w, "passw") || strings.Contains(w, "passphrase")
}

// shortOption tells -kS from --Stdin.
func shortOption(w string) bool { return len(w) > 1 && w[0] == '-' && w[1] != '-' }
