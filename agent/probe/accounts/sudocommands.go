package accounts

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// commandGroup is a run of commands of one rule that have the same conditions.
type commandGroup struct {
	runAs, runAsGroups []string
	noPassword         *bool // nil: what Defaults say
	tags               []string
	options            []string
	commands           []string
}

// tags are the words that may stand before a command with a colon, and those that they
// take back (sudoers(5), Tag_Spec).
var tags = map[string]string{
	"EXEC": "NOEXEC", "NOEXEC": "EXEC", "FOLLOW": "NOFOLLOW", "NOFOLLOW": "FOLLOW", "INTERCEPT": "NOINTERCEPT", "NOINTERCEPT": "INTERCEPT",
	"LOG_INPUT": "NOLOG_INPUT", "NOLOG_INPUT": "LOG_INPUT", "LOG_OUTPUT": "NOLOG_OUTPUT", "NOLOG_OUTPUT": "LOG_OUTPUT",
	"MAIL": "NOMAIL", "NOMAIL": "MAIL", "PASSWD": "NOPASSWD", "NOPASSWD": "PASSWD", "SETENV": "NOSETENV", "NOSETENV": "SETENV",
}

func isTag(word string) bool { return tags[word] != "" }

// optionNames are the words that may stand before a command with an equals sign.
var optionNames = []string{"ROLE", "TYPE", "APPARMOR_PROFILE", "PRIVS", "LIMITPRIVS", "NOTBEFORE", "NOTAFTER", "TIMEOUT", "CWD", "CHROOT"}

// commandGroups reads a list of commands. What stands before one of them holds for those
// that follow as well, until something else is said.
func (s *sudoers) commandGroups(text string) ([]commandGroup, error) {
	var out []commandGroup
	var now commandGroup
	var problems probe.Problems
	for _, item := range joinDigests(splitOutside(text, ',')) {
		rest, err := s.conditions(&now, item)
		if err != nil {
			problems.Add(err)
			continue
		}
		if rest == "" {
			problems.Add(fmt.Errorf("no command in %.40q", item))
			continue
		}
		commands, err := s.expand("command", []string{rest})
		problems.Add(err)
		for i, c := range commands {
			commands[i] = command(c)
		}
		if n := len(out); n > 0 && out[n-1].same(&now) {
			out[n-1].commands = append(out[n-1].commands, commands...)
			continue
		}
		g := now
		g.tags, g.options, g.commands = slices.Clone(now.tags), slices.Clone(now.options), commands
		out = append(out, g)
	}
	return out, problems.Err()
}

// command is a command as it is reported: without backslashes before what is special in
// sudoers, secrets masked, of bounded length.
func command(c string) string {
	c = probe.Mask(unescaped.Replace(strings.Join(strings.Fields(c), " ")))
	if len(c) > maxCommand {
		c = strings.ToValidUTF8(c[:maxCommand-3], "") + "..."
	}
	return c
}

// unescaped undoes what sudoers asks for in commands; other backslashes are of patterns.
var unescaped = strings.NewReplacer(`\,`, ",", `\:`, ":", `\=`, "=", `\\`, `\`)

// joinDigests puts "sha256:x, sha256:y /bin/ls" together again, which is one command.
func joinDigests(items []string) []string {
	var out []string
	open := false
	for _, item := range items {
		if open {
			out[len(out)-1] += ", " + item
		} else {
			out = append(out, item)
		}
		word := item[strings.LastIndexAny(item, " \t)")+1:]
		open = strings.HasPrefix(word, "sha224:") || strings.HasPrefix(word, "sha256:") || strings.HasPrefix(word, "sha384:") || strings.HasPrefix(word, "sha512:")
	}
	return out
}

func (g *commandGroup) same(o *commandGroup) bool {
	return slices.Equal(g.runAs, o.runAs) && slices.Equal(g.runAsGroups, o.runAsGroups) && sameAnswer(g.noPassword, o.noPassword) &&
		slices.Equal(g.tags, o.tags) && slices.Equal(g.options, o.options)
}

func sameAnswer(a, b *bool) bool { return a == b || a != nil && b != nil && *a == *b }

// conditions takes what stands before a command: (users:groups), OPTION=x, TAG:.
func (s *sudoers) conditions(g *commandGroup, item string) (rest string, err error) {
	for rest = strings.TrimSpace(item); ; rest = strings.TrimSpace(rest) {
		if strings.HasPrefix(rest, "(") {
			inner, tail, ok := strings.Cut(rest[1:], ")")
			if !ok {
				return "", fmt.Errorf("%.40q not understood", item)
			}
			if err := s.runAsSpec(g, inner); err != nil {
				return "", err
			}
			rest = tail
			continue
		}
		end := strings.IndexAny(rest, " \t:=/")
		if end < 0 {
			return rest, nil
		}
		word, after := rest[:end], strings.TrimLeft(rest[end:], " \t")
		switch {
		case isTag(word) && strings.HasPrefix(after, ":"):
			g.tag(word)
			rest = after[1:]
		case slices.Contains(optionNames, word) && strings.HasPrefix(after, "="):
			value, tail := takeItem(strings.TrimLeft(after[1:], " \t"))
			g.option(word, strings.Trim(value, `"`))
			rest = tail
		default:
			return rest, nil
		}
	}
}

func (s *sudoers) runAsSpec(g *commandGroup, inner string) error {
	users, groups, _ := strings.Cut(inner, ":")
	var err, groupErr error
	g.runAs, err = s.expand("user", splitOutside(users, ','))
	g.runAsGroups, groupErr = s.expand("user", splitOutside(groups, ','))
	return errors.Join(err, groupErr)
}

func (g *commandGroup) tag(word string) {
	switch word {
	case "PASSWD", "NOPASSWD":
		g.noPassword = new(word == "NOPASSWD")
		return
	}
	g.tags = slices.DeleteFunc(slices.Clone(g.tags), func(t string) bool { return t == word || t == tags[word] })
	g.tags = append(g.tags, word)
	slices.Sort(g.tags)
}

func (g *commandGroup) option(name, value string) {
	g.options = slices.DeleteFunc(slices.Clone(g.options), func(o string) bool { return strings.HasPrefix(o, name+"=") })
	g.options = append(g.options, name+"="+value)
	slices.Sort(g.options)
}

// row is the group of commands for one user of the rule.
func (g *commandGroup) row(user string, hosts []string, spec userSpec) *facts.SudoRuleRow {
	row := &facts.SudoRuleRow{Hosts: hosts, RunAs: g.runAs, RunAsGroups: g.runAsGroups, Commands: g.commands, NoPassword: g.noPassword,
		Tags: g.tags, Options: g.options, File: spec.file, Line: spec.line, Tool: "sudo"}
	name, not := strings.CutPrefix(user, "!")
	row.Except = not
	row.Who, row.WhoType = who(unescape(strings.Trim(name, `"`)))
	return row
}

// unescape takes backslashes away: what follows one stands for itself.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// userKinds are what stands before names in lists of users, and what it makes of them.
var userKinds = [][2]string{{"%:", "nonunix"}, {"%#", "gid"}, {"%", "group"}, {"+", "netgroup"}, {"#", "uid"}}

// who tells what kind of name stands in a list of users.
func who(name string) (string, string) {
	for _, kind := range userKinds {
		if rest, ok := strings.CutPrefix(name, kind[0]); ok {
			return rest, kind[1]
		}
	}
	if name == "ALL" {
		return name, "all"
	}
	return name, "user"
}
