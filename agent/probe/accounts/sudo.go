package accounts

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// sudoersFiles is where sudo looks; openSUSE and others ship theirs below /usr/etc.
var sudoersFiles = []string{sudoersFile, "/usr/etc/sudoers", "/usr/local/etc/sudoers"}

// collectSudo reads the policies of sudo and doas. Without either there is no way that
// this section could tell of.
func collectSudo(h *probe.Host, r *probe.Report) {
	h = h.For(facts.SudoRules)
	var problems probe.Problems
	found := false
	var remarks []string
	for _, name := range sudoersFiles {
		if _, err := h.Stat(name); probe.Absent(err) {
			continue
		}
		found = true
		rows, unsure, err := readSudoers(h, name)
		r.Add(facts.SudoRules, rows...)
		problems.Add(err)
		if unsure {
			remarks = append(remarks, unsureRemark)
		}
		break
	}
	doas, err := h.Glob("/etc/doas.d/*.conf")
	problems.Add(err)
	for _, name := range append([]string{"/etc/doas.conf"}, doas...) {
		data, err := h.ReadFile(name)
		if probe.Absent(err) {
			continue
		}
		found = true
		if err == nil {
			var rows []facts.Row
			rows, err = ParseDoas(name, data)
			r.Add(facts.SudoRules, rows...)
		}
		problems.Add(err)
	}
	switch problem := problems.Err(); {
	case problem != nil:
		r.Problem(facts.SudoRules, problem)
	case !found:
		r.Problem(facts.SudoRules, fmt.Errorf("neither sudo nor doas has a policy: %w", errors.ErrUnsupported))
	default:
		if remark := elsewhere(h, "sudoers", "rules"); remark != "" {
			remarks = append(remarks, remark)
		}
	}
	if len(remarks) > 0 {
		r.Remark(facts.SudoRules, strings.Join(remarks, "; "))
	}
}

const unsureRemark = "no_password (absent) or run_as of some rules depends on Defaults for some users, hosts or commands"

// readSudoers reads a policy with the files that it includes.
func readSudoers(h *probe.Host, name string) (rows []facts.Row, unsure bool, err error) {
	s := sudoers{
		read: h.ReadFile, hostname: h.ReadString("/etc/hostname"), aliases: make(map[string][]string),
		list: func(dir string) ([]string, error) {
			entries, err := h.ReadDir(dir)
			var out []string
			for _, e := range entries {
				if !e.IsDir() {
					out = append(out, e.Name())
				}
			}
			return out, err
		},
	}
	s.file(name, 0)
	if slices.ContainsFunc(s.settings, func(d setting) bool { return d.kind == ':' || d.kind == '>' }) {
		s.members = readMembers(h)
	}
	rows, err = s.finish()
	return rows, s.unsure, err
}

// finish gives the rules, and what was not understood.
func (s *sudoers) finish() ([]facts.Row, error) {
	rows := s.rows()
	if more := s.bad - maxBadLines; more > 0 {
		s.err = errors.Join(s.err, fmt.Errorf("and %d more lines", more))
	}
	return rows, s.err
}

// ParseSudoers reads one file of sudoers(5) without those that it includes.
func ParseSudoers(name string, data []byte) ([]facts.Row, error) {
	s := sudoers{
		aliases: make(map[string][]string),
		list:    func(string) ([]string, error) { return nil, nil },
	}
	s.read = func(string) ([]byte, error) {
		s.read = func(string) ([]byte, error) { return nil, nil } // includes are empty
		return data, nil
	}
	s.file(name, 0)
	return s.finish()
}

// ParseDoas reads doas.conf(5): permit|deny [options] identity [as target] [cmd command
// [args ...]]. Of the rules that match, the last decides.
func ParseDoas(file string, data []byte) ([]facts.Row, error) {
	var out []facts.Row
	var problem error
	bad := 0
	for text, number := string(data), 0; text != ""; {
		line, rest, lines := continued(text)
		text = rest
		words := doasWords(line)
		if len(words) > 0 {
			row, err := doasRule(words)
			if err == nil {
				row.File, row.Line = file, number+1
				out = append(out, row)
			} else if bad++; bad <= maxBadLines {
				problem = errors.Join(problem, fmt.Errorf("%s line %d: %w", file, number+1, err))
			}
		}
		number += lines
	}
	return out, problem
}

// doasWords splits at blanks outside of quotes; a "#" begins a comment.
func doasWords(line string) []string {
	var out []string
	var word strings.Builder
	quoted, inWord := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			inWord = true
		case c == '"':
			quoted, inWord = !quoted, true
		case !quoted && (c == ' ' || c == '\t'):
			if inWord {
				out = append(out, word.String())
			}
			word.Reset()
			inWord = false
		case !quoted && c == '#':
			i = len(line)
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		out = append(out, word.String())
	}
	return out
}

func doasRule(words []string) (*facts.SudoRuleRow, error) {
	row := &facts.SudoRuleRow{Tool: "doas", NoPassword: new(false), Hosts: []string{"ALL"}, RunAs: []string{"ALL"}, Commands: []string{"ALL"}, Except: words[0] == "deny"}
	bad := fmt.Errorf("%.40q not understood", strings.Join(words, " "))
	if words[0] != "permit" && words[0] != "deny" {
		return nil, bad
	}
	words = words[1:]
options:
	for len(words) > 0 {
		switch words[0] {
		case "nopass":
			row.NoPassword = new(true)
		case "nolog", "persist", "keepenv":
			row.Tags = append(row.Tags, words[0])
		case "setenv":
			row.Tags = append(row.Tags, "setenv") // names and values of variables stay here
			for len(words) > 0 && !strings.HasSuffix(words[0], "}") {
				words = words[1:]
			}
			if len(words) == 0 {
				return nil, bad
			}
		default:
			break options
		}
		words = words[1:]
	}
	if len(words) == 0 || words[0] == "" {
		return nil, bad
	}
	row.Who, row.WhoType = words[0], "user"
	if group, ok := strings.CutPrefix(words[0], ":"); ok {
		row.Who, row.WhoType = group, "group"
	}
	words = words[1:]
	if len(words) >= 2 && words[0] == "as" {
		row.RunAs, words = []string{words[1]}, words[2:]
	}
	if len(words) >= 2 && words[0] == "cmd" {
		cmd := words[1:]
		words = nil
		if len(cmd) > 1 && cmd[1] == "args" {
			cmd = append([]string{cmd[0]}, cmd[2:]...)
		}
		row.Commands = []string{command(strings.Join(cmd, " "))}
	}
	if len(words) > 0 {
		return nil, bad
	}
	return row, nil
}
