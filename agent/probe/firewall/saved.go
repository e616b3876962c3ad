package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// savedNFTables are the files from which nftables.service loads the rules at boot: that of
// Debian, Arch and Alpine's package, and that of Red Hat.
var savedNFTables = []string{"/etc/nftables.conf", "/etc/sysconfig/nftables.conf"}

// savedRulesets tells what the files of nftables hold.
func savedRulesets(h *probe.Host, r *probe.Report) (problems error) {
	for _, name := range savedNFTables {
		b, err := h.ReadFile(name)
		if err == nil {
			err = probe.Intact(b)
		}
		if err != nil {
			problems = errors.Join(problems, present(err))
			continue
		}
		rs, err := parseScript(strings.ToValidUTF8(string(b), "\uFFFD"))
		row := rs.row()
		row.Name, row.Active, row.Path = "saved", nil, name
		r.Add(facts.Firewall, row)
		if err != nil {
			problems = errors.Join(problems, fmt.Errorf("%s: %w", name, err))
		}
	}
	return problems
}

// script is what is known while a script of nft(8) is read.
type script struct {
	rs       *ruleset
	words    []string // of the statement so far
	table    []string // family and name, while one is open
	chain    bool     // the last chain is open
	depth    int      // of braces
	skip     int      // depth of the block that does not count: a set, a map, a definition
	problems probe.Problems
}

// parseScript counts what a script in the form of `nft list ruleset` holds: tables, the
// chains in them, and the statements in those. What it does not follow, files that are
// included and single commands, is an error beside the rest.
func parseScript(text string) (*ruleset, error) {
	s := script{rs: &ruleset{rules: make(map[[3]string]int)}}
	for _, w := range scriptWords(text) {
		switch w {
		case "{":
			s.depth++
			s.open()
		case "}":
			if s.depth--; s.depth < 0 {
				return s.rs, errors.New("more braces are closed than were opened")
			}
			s.close()
		case "\n", ";":
			if s.skip == 0 && (!s.chain || s.depth == 2) {
				s.end()
			}
		default:
			s.words = append(s.words, w)
		}
	}
	s.end()
	if s.depth > 0 {
		s.problems.Add(errors.New("cut off: a brace is not closed"))
	}
	return s.rs, s.problems.Err()
}

// open begins what stands in braces.
func (s *script) open() {
	switch w := s.words; {
	case s.skip > 0 || s.chain: // a set in a rule
	case s.depth == 1 && len(w) > 1 && w[0] == "table":
		if s.table = w[1:]; len(w) == 2 {
			s.table = []string{"ip", w[1]}
		}
		s.rs.tables = append(s.rs.tables, s.table[0]+" "+s.table[1])
		s.words = nil
	case s.depth == 2 && len(s.table) > 1 && len(w) == 2 && w[0] == "chain":
		s.chain = true
		s.rs.chains = append(s.rs.chains, chain{family: s.table[0], table: s.table[1], name: w[1]})
		s.words = nil
	default:
		s.skip = s.depth
	}
}

// close ends it.
func (s *script) close() {
	switch {
	case s.depth < s.skip:
		s.skip, s.words = 0, nil
	case s.depth == 1 && s.chain:
		s.end()
		s.chain = false
	case s.depth == 0:
		s.end()
		s.table = nil
	}
}

// end takes the statement that the words are.
func (s *script) end() {
	w := s.words
	s.words = nil
	switch {
	case len(w) == 0:
	case s.chain:
		s.rs.chains[len(s.rs.chains)-1].statement(w, s.rs)
	case s.depth == 0 && slices.Contains([]string{"include", "add", "create", "insert"}, w[0]):
		s.problems.Add(fmt.Errorf("%.200q is not followed", strings.Join(w[:min(len(w), 5)], " ")))
	}
}

// statement takes one of a chain: its hook, its policy, or a rule.
func (c *chain) statement(words []string, rs *ruleset) {
	switch words[0] {
	case "type":
		for i, w := range words[:len(words)-1] {
			if w == "hook" {
				c.hook = words[i+1]
				c.policy = "accept" // unless it is told
			}
		}
	case "policy":
		if len(words) > 1 {
			c.policy = words[1]
		}
	case "comment", "flags", "devices", "device":
	default:
		rs.rules[[3]string{c.family, c.table, c.name}]++
	}
}

// scriptWords are the words of a script, the signs that part statements among them;
// without comments, and what stands in quotes as one.
func scriptWords(text string) (words []string) {
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		for {
			if line = strings.TrimLeft(line, " \t\r\n"); line == "" || line[0] == '#' {
				break
			}
			n := strings.IndexAny(line, " \t\r\n{};#\"")
			switch {
			case line[0] == '"':
				n = strings.IndexByte(line[1:], '"') + 2
				if n < 2 {
					n = len(line)
				}
			case n == 0:
				n = 1
			case n < 0:
				n = len(line)
			}
			words = append(words, line[:n])
			line = line[n:]
		}
		words = append(words, "\n")
	}
	return words
}
