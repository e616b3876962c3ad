package accounts

import (
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// The entries are those of sudoers(5), section "Defaults": settings for all, or for some
// users, hosts, target users or commands only.

// setting is an entry of Defaults that changes what rules mean: "authenticate" with
// "yes" or "no", "runas_default" with a name.
type setting struct {
	kind        byte // ' ' for all; for those in scope: hosts '@', users ':', target users '>', commands '!'
	scope       []string
	name, value string
}

const (
	// maxSettings bounds the entries that are looked at, maxCompared how often names are
	// compared with their scopes; what lies beyond may hold or not.
	maxSettings = 1000
	maxCompared = 200_000
)

// scopes are the kinds of aliases that may stand in the scope of a setting.
var scopes = map[byte]string{'@': "host", ':': "user", '>': "user", '!': "command"}

// defaults notes the settings of "Defaults", which "@hosts", ":users", ">users" or
// "!commands" follows, or a blank.
func (s *sudoers) defaults(text string) {
	kind := byte(' ')
	var scope []string
	if text != "" && scopes[text[0]] != "" {
		kind = text[0]
		scope, text = takeList(text[1:])
	}
	for _, item := range splitOutside(text, ',') {
		name, value, _ := strings.Cut(item, "=")
		plain := strings.TrimLeft(strings.TrimSpace(name), "! ")
		set := setting{kind, scope, plain, strings.Trim(strings.TrimSpace(value), `"`)}
		switch {
		case plain == "authenticate":
			set.value = "yes"
			if strings.Count(name, "!")%2 == 1 {
				set.value = "no"
			}
		case set.value == "":
			continue
		case plain == "exempt_group" && kind == ' ': // its members are asked for no password
			set = setting{':', []string{"%" + set.value}, "authenticate", "no"}
		case plain != "runas_default":
			continue
		}
		if len(s.settings) == maxSettings {
			s.compared = maxCompared + 1
			return
		}
		s.settings = append(s.settings, set)
	}
}

// settle gives a rule what settings say where the rule says nothing: whom it runs
// commands as, and whether it asks for a password. Commands for which that differs
// become rows of their own.
func (s *sudoers) settle(row *facts.SudoRuleRow) []facts.Row {
	if len(row.RunAs) == 0 && len(row.RunAsGroups) == 0 {
		row.RunAs = s.values("runas_default", "root", row, row.Commands)
	}
	if row.NoPassword != nil {
		return []facts.Row{row}
	}
	var out []facts.Row
	var part *facts.SudoRuleRow
	var last []string
	for i, c := range row.Commands {
		values := last
		if part == nil || len(s.settings) > 0 && !strings.HasPrefix(c, "!") { // a command that is forbidden asks for nothing
			values = s.values("authenticate", "yes", row, row.Commands[i:i+1])
		}
		if part != nil && slices.Equal(values, last) {
			part.Commands = append(part.Commands, c)
			continue
		}
		part = new(*row)
		part.Commands = row.Commands[i : i+1 : i+1]
		if last = values; len(values) == 1 {
			part.NoPassword = new(values[0] == "no")
		}
		out = append(out, part)
	}
	return out
}

// values are what a setting may have for a rule: one value, or several where the files do
// not tell which. Settings for target users come after those for all, for hosts and for
// users, and those for commands last; of each the last that holds counts.
func (s *sudoers) values(name, initial string, row *facts.SudoRuleRow, commands []string) []string {
	if s.compared > maxCompared {
		s.unsure = true
		return []string{initial, "ALL"}
	}
	out := []string{initial}
	for _, kinds := range []string{" @:", ">", "!"} {
		for _, set := range s.settings {
			if set.name != name || strings.IndexByte(kinds, set.kind) < 0 {
				continue
			}
			switch holds := s.holds(set, row, commands); {
			case holds == yes:
				out = []string{set.value}
			case holds == maybe && !slices.Contains(out, set.value):
				out = append(out, set.value)
			}
		}
	}
	s.unsure = s.unsure || len(out) > 1
	return out
}

// truth is the set of the answers that are possible.
type truth uint8

const (
	no    truth = 1
	yes   truth = 2
	maybe truth = no | yes
)

// holds says whether a setting is for a rule.
func (s *sudoers) holds(set setting, row *facts.SudoRuleRow, commands []string) truth {
	self := []string{userForm(row)}
	switch set.kind {
	case '@':
		if slices.Contains(row.Hosts, "ALL") {
			return s.within(set, []string{strings.TrimSpace(s.hostname)}, hostIs) // as it is here
		}
		return s.within(set, row.Hosts, hostIs)
	case ':':
		return s.within(set, self, s.userIs)
	case '>':
		if len(row.RunAs) > 0 {
			self = row.RunAs
		} else if len(row.RunAsGroups) == 0 {
			self = []string{"root"}
		}
		return s.within(set, self, s.userIs)
	case '!':
		return s.within(set, commands, commandIs)
	}
	return yes
}

// within says whether names are in the scope of a setting: the last item that matches
// decides, as in sudo.
func (s *sudoers) within(set setting, names []string, is func(name, item string) truth) truth {
	scope, err := s.expand(scopes[set.kind], set.scope)
	if s.compared += (len(scope) + 1) * len(names); s.compared > maxCompared || err != nil {
		return maybe
	}
	var out truth
	for _, name := range names {
		if !strings.HasPrefix(name, "!") {
			out |= inList(name, scope, is)
		}
	}
	if out == 0 {
		return maybe
	}
	return out
}

func inList(name string, items []string, is func(name, item string) truth) truth {
	var out truth
	for _, item := range slices.Backward(items) {
		item, not := strings.CutPrefix(item, "!")
		matches := yes
		if item != "ALL" {
			matches = is(name, item)
		}
		switch {
		case matches == no:
		case not:
			out |= no
		default:
			out |= yes
		}
		if matches == yes {
			return out
		}
	}
	return out | no
}

// userForm is the user of a rule as sudoers writes it.
func userForm(row *facts.SudoRuleRow) string {
	for _, kind := range userKinds {
		if kind[1] == row.WhoType {
			return kind[0] + row.Who
		}
	}
	return row.Who
}

// userIs compares a user or a group of users with an item of a list.
func (s *sudoers) userIs(user, item string) truth {
	user, item = unescape(strings.Trim(user, `"`)), unescape(strings.Trim(item, `"`))
	_, kind := who(user)
	other, otherKind := who(item)
	single := kind == "user" || kind == "uid"
	switch {
	case user == item:
		return yes
	case !single || otherKind == "netgroup" || otherKind == "nonunix":
		return maybe // of some members it may be true
	case kind == otherKind:
		return no
	}
	return s.members.is(user, other, otherKind)
}

// hostIs compares a host with an item of a list. Addresses, networks and netgroups are
// not looked up.
func hostIs(host, item string) truth {
	host, item = strings.ToLower(host), strings.ToLower(item)
	short, _, long := strings.Cut(host, ".")
	first, _, full := strings.Cut(item, ".")
	switch {
	case host == item && host != "":
		return yes
	case host == "" || isAddress(host) || isAddress(item):
		return maybe
	case full && long:
		first, short = item, host
	case full:
		if ok, _ := path.Match(first, short); !ok {
			return no
		}
		return maybe // the domain is not known
	}
	if ok, _ := path.Match(first, short); ok {
		return yes
	}
	return no
}

// isAddress: an address, a network or a netgroup.
func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil || strings.ContainsAny(s, "/+")
}

// commandIs compares a command of a rule with an item of a list. A command in two folders
// may be one file: sudo compares inodes.
func commandIs(c, item string) truth {
	c, item = afterDigests(c), afterDigests(unescaped.Replace(strings.Join(strings.Fields(item), " ")))
	file, arguments, _ := strings.Cut(c, " ")
	other, others, more := strings.Cut(item, " ")
	const wild = "*?[^"
	switch {
	case c == item:
		return yes
	case strings.ContainsAny(file, wild) || file == "ALL" || strings.HasSuffix(file, "/"):
		return maybe
	case strings.HasSuffix(other, "/"): // what lies in a folder
		if path.Dir(file)+"/" == other {
			return yes
		}
		return maybe
	}
	if ok, err := path.Match(path.Base(other), path.Base(file)); err == nil && !ok && !strings.HasPrefix(other, "^") {
		return no
	}
	if ok, _ := path.Match(other, file); ok && (!more || others == arguments) {
		return yes
	}
	return maybe
}

// afterDigests is a command without the digests before it.
func afterDigests(c string) string {
	for strings.HasPrefix(c, "sha") {
		word, rest, ok := strings.Cut(c, " ")
		if !ok || !strings.Contains(word, ":") {
			break
		}
		c = rest
	}
	return c
}

// members tells which users are in which groups, by the files of accounts.
type members struct {
	users, groups []facts.Row
	complete      bool // there are no others
}

func readMembers(h *probe.Host) members {
	users, err := h.ReadFile(passwdFile)
	groups, groupErr := h.ReadFile(groupFile)
	m := members{complete: err == nil && groupErr == nil && foreign(h, "passwd") == "" && foreign(h, "group") == ""}
	m.users, err = ParsePasswd(users)
	m.groups, groupErr = ParseGroup(groups)
	m.complete = m.complete && err == nil && groupErr == nil
	return m
}

// is says whether a user, known by name or uid, is another one or in a group.
func (m *members) is(user, other, kind string) truth {
	i := slices.IndexFunc(m.users, func(row facts.Row) bool {
		u := row.(*facts.UserRow)
		return u.Name == user || "#"+strconv.FormatInt(u.UID, 10) == user
	})
	if i < 0 {
		return maybe
	}
	u := m.users[i].(*facts.UserRow)
	same := kind == "user" && u.Name == other || kind == "uid" && strconv.FormatInt(u.UID, 10) == other ||
		slices.ContainsFunc(m.groups, func(row facts.Row) bool {
			g := row.(*facts.GroupRow)
			return (kind == "group" && g.Name == other || kind == "gid" && strconv.FormatInt(g.GID, 10) == other) &&
				(g.GID == u.GID || slices.Contains(g.Members, u.Name))
		})
	switch {
	case same:
		return yes
	case m.complete || kind == "user" || kind == "uid":
		return no
	}
	return maybe
}
