package accounts

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// maxSSHDDepth is how deep sshd follows Include; it refuses to start with more. No machine
// has near maxSSHDFiles: they bound files that include many others, which include many.
const (
	maxSSHDDepth = 16
	maxSSHDFiles = 1_000
	// maxDepends bounds how many conditions on connections a reason names.
	maxDepends = 3
)

// sshd is what sshd_config(5) says about keys.
type sshd struct {
	settings []keysFiles
	command  bool     // AuthorizedKeysCommand: there are keys in no file
	depends  []string // conditions that only a connection decides
	problems probe.Problems
	read     int  // files
	ended    bool // at a limit: no more is read
}

// keysFiles is one AuthorizedKeysFile.
type keysFiles struct {
	when  []string // criteria and patterns of the Match blocks around it; nil outside of them
	names []string // tokens in
}

// file takes the settings of a file and what it includes. A Match block ends with its file.
func (s *sshd) file(h *probe.Host, name string, outer []string, depth int) {
	if s.read++; depth > maxSSHDDepth || s.read > maxSSHDFiles {
		s.ended = true
		s.problems.Add(fmt.Errorf("%s: more files are included than are read", name))
		return
	}
	data, err := h.ReadFile(name)
	if err != nil && !probe.Absent(err) {
		s.problems.Add(err)
	}
	when := outer
	for line := range strings.Lines(string(data)) {
		key, values := sshdLine(line)
		switch key {
		case "match":
			when = append(slices.Clip(outer), values...)
		case "include":
			s.include(h, values, when, depth)
		case "authorizedkeyscommand":
			s.command = s.command || len(values) > 0 && values[0] != "none"
		case "authorizedkeysfile":
			s.settings = append(s.settings, keysFiles{when, values})
		}
	}
}

func (s *sshd) include(h *probe.Host, patterns, when []string, depth int) {
	for _, v := range patterns {
		if !path.IsAbs(v) {
			v = path.Join("/etc/ssh", v)
		}
		files, err := h.Match(v)
		s.problems.Add(err)
		for _, f := range files {
			if !s.ended {
				s.file(h, f, when, depth+1)
			}
		}
	}
}

// sshdLine cuts a line of sshd_config(5): "Key value", "Key=value", arguments in quotes.
func sshdLine(line string) (key string, values []string) {
	line = strings.TrimSpace(line)
	if line == "" || line[0] == '#' {
		return "", nil
	}
	end := strings.IndexAny(line, " \t=")
	if end < 0 {
		return strings.ToLower(line), nil
	}
	key, rest := strings.ToLower(line[:end]), strings.TrimLeft(line[end:], " \t=")
	for rest != "" && rest[0] != '#' {
		var v string
		if rest[0] == '"' {
			v, rest, _ = strings.Cut(rest[1:], `"`)
		} else if i := strings.IndexAny(rest, " \t"); i >= 0 {
			v, rest = rest[:i], rest[i:]
		} else {
			v, rest = rest, ""
		}
		values = append(values, v)
		rest = strings.TrimLeft(rest, " \t")
	}
	return key, values
}

// filesOf is where the keys of a user are: in the files of the first Match block that holds
// for the user and names some, else of the first setting outside of all blocks. Where the
// connection decides whether a block holds, both count.
func (s *sshd) filesOf(u *facts.UserRow, groups groupsOf) []string {
	var out []string
	for _, blocks := range []bool{true, false} {
		for _, k := range s.settings {
			if blocks == (k.when == nil) {
				continue
			}
			holds, connection := matches(k.when, u, groups)
			if !holds {
				continue
			}
			out = addFiles(out, k.names, u)
			if connection == "" {
				return out
			}
			if !slices.Contains(s.depends, connection) && len(s.depends) < maxDepends {
				s.depends = append(s.depends, connection)
			}
		}
	}
	return addFiles(out, []string{".ssh/authorized_keys", ".ssh/authorized_keys2"}, u) // sshd's default
}

// asksGroups reports whether a Match block is about groups.
func (s *sshd) asksGroups() bool {
	return slices.ContainsFunc(s.settings, func(k keysFiles) bool {
		return slices.ContainsFunc(k.when, func(word string) bool {
			word, _, _ = strings.Cut(word, "=")
			return strings.EqualFold(word, "group")
		})
	})
}

// addFiles expands the tokens of AuthorizedKeysFile for one user.
func addFiles(out, names []string, u *facts.UserRow) []string {
	for _, f := range names {
		if strings.EqualFold(f, "none") {
			continue
		}
		name := strings.NewReplacer("%%", "%", "%h", u.Home, "%u", u.Name, "%U", strconv.FormatInt(u.UID, 10)).Replace(f)
		if !path.IsAbs(name) {
			name = path.Join(u.Home, name)
		}
		if name = path.Clean(name); path.IsAbs(name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// matches says whether the criteria of Match hold for a user, all of them. connection names
// the first that is not about the user.
func matches(when []string, u *facts.UserRow, groups groupsOf) (holds bool, connection string) {
	for i := 0; i < len(when); i++ {
		criterion, patterns, joined := strings.Cut(when[i], "=")
		criterion = strings.ToLower(criterion)
		if criterion == "all" {
			continue
		}
		if i++; joined {
			i--
		} else if i < len(when) {
			patterns = when[i]
		}
		switch criterion {
		case "user":
			holds = matchList(patterns, u.Name)
		case "group":
			holds = matchList(patterns, groups.of(u)...) || groups.unread != nil
		case "invalid-user":
			holds = false
		default:
			holds = true
			if connection == "" {
				connection = "Match " + criterion + " " + patterns
			}
		}
		if !holds {
			return false, ""
		}
	}
	return true, connection
}

// matchList is match_pattern_list of sshd over several names: one that a pattern with ! takes
// rules out all.
func matchList(patterns string, names ...string) bool {
	found := false
	for _, name := range names {
		for p := range strings.SplitSeq(patterns, ",") {
			p, not := strings.CutPrefix(p, "!")
			if !matchPattern(p, name) {
				continue
			}
			if not {
				return false
			}
			found = true
		}
	}
	return found
}

// matchPattern knows * and ? of ssh_config(5), "PATTERNS".
func matchPattern(p, s string) bool {
	star, mark := -1, 0 // the last * and how much of s it takes
	i := 0
	for j := 0; j < len(s); {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == s[j]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(p[i:], "*") == ""
}

// groupsOf finds the groups of users.
type groupsOf struct {
	byID     map[int64]string
	byMember map[string][]string
	unread   error // not all are known
}

func groupsByUser(rows []facts.Row, unread error) groupsOf {
	g := groupsOf{map[int64]string{}, map[string][]string{}, unread}
	for _, row := range rows {
		group := row.(*facts.GroupRow)
		if _, ok := g.byID[group.GID]; !ok {
			g.byID[group.GID] = group.Name
		}
		for _, m := range group.Members {
			g.byMember[m] = append(g.byMember[m], group.Name)
		}
	}
	return g
}

func (g groupsOf) of(u *facts.UserRow) []string {
	return append(slices.Clip(g.byMember[u.Name]), g.byID[u.GID])
}
