package accounts

import (
	"bytes"
	"errors"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the account files that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "passwd", Help: "/etc/passwd: users", Form: probe.Form{Want: "lines NAME:PASSWORD:UID:GID:GECOS:HOME:SHELL"}, Parse: probe.OfBytes(parsePasswdFields)},
		{Kind: "group", Help: "/etc/group: groups", Form: probe.Form{Want: "lines NAME:PASSWORD:GID:MEMBERS"}, Parse: probe.OfBytes(ParseGroup)},
		{Kind: "shadow", Help: "/etc/shadow: states of passwords, no hash", Form: probe.Form{Want: "lines NAME:PASSWORD:CHANGED:MIN:MAX:WARN:INACTIVE:EXPIRES:"},
			Parse: probe.OfBytes(parseShadowFields)},
		{Kind: "gshadow", Help: "/etc/gshadow: administrators and members of groups, no hash", Form: probe.Form{Want: "lines NAME:PASSWORD:ADMINISTRATORS:MEMBERS"}, Parse: probe.OfBytes(parseGshadow)},
		{Kind: "utmp", MaxBytes: 64 << 20, Help: "/run/utmp, /var/log/wtmp, /var/log/btmp: records of logins", Form: probe.Form{Want: "records of utmp(5)", Binary: true, Empty: true}, Parse: probe.OfBytes(shownUtmp)},
		{Kind: "lastlog", MaxBytes: maxLastlog, ParseFile: parseLastlogFile, Help: "/var/log/lastlog: last login of each user", Form: probe.Form{Want: "records of lastlog(8)", Binary: true, Empty: true}, Parse: probe.OfBytes(ParseLastlog)},
		{Kind: "sudoers", Help: "/etc/sudoers: rules, aliases expanded", Form: probe.Form{Want: "rules of sudoers(5)", Empty: true, Some: `^\s*([\w.%+@"\\!-][^=<>]*=\s*(\([^)]*\)\s*)?([A-Z_]+[:=]\S*\s*)*!?(/|[A-Z]|sudoedit)|\w+_Alias\s|Defaults|#|@include)`}, Parse: named(ParseSudoers)},
		{Kind: "doas", Help: "/etc/doas.conf: rules", Form: probe.Form{Want: "rules of doas.conf(5)", Empty: true}, Parse: named(ParseDoas)},
		{Kind: "authorized_keys", Help: "~/.ssh/authorized_keys: fingerprints", Form: probe.Form{Want: "lines [OPTIONS] TYPE KEY [COMMENT]", Empty: true}, Parse: probe.OfBytes(ParseAuthorizedKeys)},
	}
}

// passwdFields is a user with what stands in the field of the password, unless it is a hash.
type passwdFields struct {
	*facts.UserRow
	Field string `json:"password_field"`
}

func parsePasswdFields(data []byte) ([]any, error) {
	rows, err := ParsePasswd(data)
	fields := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 {
			if _, ok := fields[f[0]]; !ok {
				fields[f[0]] = passwordField(f[1])
			}
		}
	}
	out := make([]any, 0, len(rows))
	for _, row := range rows {
		u := row.(*facts.UserRow)
		out = append(out, passwdFields{u, fields[u.Name]})
	}
	return out, err
}

// passwordField shows what says that there is no password, and no hash.
func passwordField(s string) string {
	if len(s) > 2 {
		return probe.Masked
	}
	return s
}

// shadowFields is a line of shadow(5) with the days as they stand there.
type shadowFields struct {
	Entry
	Field      string `json:"password_field"`
	ChangedDay string `json:"changed_day,omitempty"`
	Min        string `json:"min,omitempty"`
	Max        string `json:"max,omitempty"`
}

func parseShadowFields(data []byte) ([]shadowFields, error) {
	rows, err := ParseShadow(data, time.Now())
	fields := make(map[string][]string)
	for line := range strings.Lines(string(data)) {
		if f := strings.Split(line, ":"); len(f) == 9 {
			fields[f[0]] = f
		}
	}
	out := make([]shadowFields, 0, len(rows))
	for _, e := range rows {
		f := fields[e.Name]
		out = append(out, shadowFields{e, passwordField(f[1]), f[2], f[3], f[4]})
	}
	return out, err
}

// gshadowEntry is a line of gshadow(5) without the hash.
type gshadowEntry struct {
	Name           string   `json:"name"`
	Password       string   `json:"password"` // as in Entry
	Field          string   `json:"password_field"`
	Administrators []string `json:"administrators"`
	Members        []string `json:"members"`
}

func parseGshadow(data []byte) ([]gshadowEntry, error) {
	var out []gshadowEntry
	err := eachLine(data, 4, func(f []string) error {
		out = append(out, gshadowEntry{f[0], passwordState(f[1]), passwordField(f[1]), names(f[2]), names(f[3])})
		return nil
	})
	return out, err
}

// shownUtmp refuses zeros, which are records that nothing uses.
func shownUtmp(data []byte) ([]Session, error) {
	if len(data) > 0 && len(bytes.Trim(data, "\x00")) == 0 {
		return nil, errors.New("nothing but zeros")
	}
	return ParseUtmp(data)
}

func named(parse func(string, []byte) ([]facts.Row, error)) func(probe.Input) (any, error) {
	return func(in probe.Input) (any, error) { return parse(in.Name, in.Data) }
}
