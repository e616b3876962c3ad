package probe

import "strings"

// within masks a word with blanks that is a line of its own, as in sh -c "...", or text. What
// the program before takes counts there too: lftp -e "open -u user,x".
func (m *masker) within(line string) string {
	if m.depth > 20 {
		return Masked
	}
	in := masker{program: m.program, depth: m.depth + 1}
	in.program.nth, in.program.words = 0, 0
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
		from := 0
		if i := strings.IndexAny(w, "= "); i > 0 && w[i] == '=' && w[0] == '-' { // --run=mysql -px
			from = i + 1
		}
		return m.enclosed(w, from, len(w))
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

// setting masks a quoted word that sets one secret, blanks in its value included:
// "PASSWORD=two words". After -c it is a line of a shell, where a command may follow.
func (m *masker) setting(previous, w string) (string, bool) {
	from := 0
	if !m.args {
		if from = 1; w[0] != '"' && w[0] != '\'' {
			return "", false
		}
	}
	end := from
	for end < len(w) && isNameByte(w[end]) {
		end++
	}
	if end == len(w) || w[end] != '=' || w[from] == '-' || m.program.spaced || len(previous) > 1 && previous[0] == '-' && previous[len(previous)-1] == 'c' ||
		!secretName(w[from:end]) {
		return "", false
	}
	return w[:end+1] + Masked + w[len(w)-from:], true
}

// saidSecret masks a command whose output is a secret, where it prints what stands in it:
// --password-command 'echo x', PASSCOMMAND="echo x".
func (m *masker) saidSecret(previous, w string) (string, bool) {
	if !sayingLine(w) {
		return "", false
	}
	name, _, ok := strings.Cut(w, "=")
	if ok && secretCommand(name) {
		return m.partLine(w[:len(name)+1]) + Masked, true
	}
	return Masked, secretCommand(previous)
}

// secretCommand knows names like password-command and PASSCMD.
func secretCommand(name string) bool {
	name, _ = nameBefore(strings.ToLower(name))
	for _, end := range [...]string{"command", "cmd"} {
		if before, ok := strings.CutSuffix(name, end); ok {
			return secretName(strings.TrimRight(before, "-_"))
		}
	}
	return false
}

// sayingLine knows a quoted word in which something is printed: sh -c "echo x" | passwd.
func sayingLine(w string) bool { return strings.Contains(w, "echo ") || strings.Contains(w, "printf ") }
