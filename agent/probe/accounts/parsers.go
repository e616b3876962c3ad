package accounts

import (
	"errors"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the account files that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "passwd", Help: "/etc/passwd: users", Parse: each(parsePasswdFields)},
		{Kind: "group", Help: "/etc/group: groups", Parse: each(plain(ParseGroup))},
		{Kind: "shadow", Help: "/etc/shadow: states of passwords, no hash", Parse: each(func(_ string, b []byte) ([]any, error) {
			rows, err := ParseShadow(b, time.Now())
			return list(rows), err
		})},
		{Kind: "utmp", Help: "/run/utmp, /var/log/wtmp, /var/log/btmp: records of logins", Parse: each(func(_ string, b []byte) ([]any, error) {
			rows, err := ParseUtmp(b)
			return list(rows), err
		})},
		{Kind: "lastlog", Help: "/var/log/lastlog: last login of each user", Parse: each(func(_ string, b []byte) ([]any, error) {
			rows, err := ParseLastlog(b)
			return []any{rows}, err
		})},
		{Kind: "sudoers", Help: "/etc/sudoers: rules, aliases expanded", Parse: each(named(ParseSudoers))},
		{Kind: "doas", Help: "/etc/doas.conf: rules", Parse: each(named(ParseDoas))},
		{Kind: "authorized_keys", Help: "~/.ssh/authorized_keys: fingerprints", Parse: each(plain(ParseAuthorizedKeys))},
	}
}

// passwdFields is a user with what stands in the field of the password, unless it is a hash.
type passwdFields struct {
	*facts.UserRow
	Field string `json:"password_field"`
}

func parsePasswdFields(_ string, data []byte) ([]any, error) {
	rows, err := ParsePasswd(data)
	fields := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 {
			if len(f[1]) > 2 {
				f[1] = probe.Masked
			}
			fields[f[0]] = f[1]
		}
	}
	out := make([]any, 0, len(rows))
	for _, row := range rows {
		u := row.(*facts.UserRow)
		out = append(out, passwdFields{u, fields[u.Name]})
	}
	return out, err
}

func list[T any](rows []T) []any {
	out := make([]any, len(rows))
	for i, r := range rows {
		out[i] = r
	}
	return out
}

func plain(parse func([]byte) ([]facts.Row, error)) func(string, []byte) ([]any, error) {
	return func(_ string, b []byte) ([]any, error) {
		rows, err := parse(b)
		return list(rows), err
	}
}

func named(parse func(string, []byte) ([]facts.Row, error)) func(string, []byte) ([]any, error) {
	return func(name string, b []byte) ([]any, error) {
		rows, err := parse(name, b)
		return list(rows), err
	}
}

// each applies the parser of one file to several and joins what they give.
func each(parse func(name string, data []byte) ([]any, error)) func([]probe.Input) (any, error) {
	return func(files []probe.Input) (any, error) {
		out := []any{}
		var problems error
		for _, f := range files {
			got, err := parse(f.Name, f.Data)
			out = append(out, got...)
			problems = errors.Join(problems, err)
		}
		return out, problems
	}
}
