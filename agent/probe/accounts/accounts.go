// Package accounts lists the local users and groups of passwd(5) and group(5), who logged
// in last, who may act as whom by sudo or doas, and the keys that log in by ssh.
//
// Secrets stay where they are: of a password its state is told, of a key its fingerprint.
// Accounts of a directory service (LDAP, SSSD) are not local and not listed; the section
// says that there are such. All sections may hold personal data.
package accounts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	passwdFile  = "/etc/passwd"
	groupFile   = "/etc/group"
	shadowFile  = "/etc/shadow"
	sudoersFile = "/etc/sudoers"
)

// New returns the probe of local accounts.
func New() probe.Probe { return new(accounts) }

type accounts struct{ logins loginCache }

// maxBytes bounds a file: 100,000 accounts have 6 MB in passwd.
const maxBytes = 16 << 20

// Info implements probe.Probe.
func (*accounts) Info() probe.Info {
	return probe.Info{
		Name:     "accounts",
		Sections: []facts.ID{facts.Users, facts.Groups, facts.Logins, facts.SudoRules, facts.AuthorizedKeys},
		MaxBytes: maxBytes,
		Watch:    []string{passwdFile, groupFile, shadowFile, sudoersFile, "/etc/sudoers.d", "/root/.ssh/authorized_keys"},
	}
}

// Collect implements probe.Probe.
func (a *accounts) Collect(ctx context.Context, h *probe.Host, r *probe.Report) error {
	if h.Live() && !filesAreTheAccounts {
		return errors.ErrUnsupported
	}
	l := readLimits(h)
	var users, groups []facts.Row
	unread := errors.New("not read")
	unreadGroups := unread
	r.Guard(facts.Users, func() error {
		users, unread = read(h, r, facts.Users, passwdFile, l.parsePasswd)
		return collectShadow(h, r, users)
	})
	r.Guard(facts.Groups, func() error {
		groups, unreadGroups = read(h, r, facts.Groups, groupFile, l.parseGroup)
		if remark := elsewhere(h, "group", "groups"); remark != "" {
			r.Remark(facts.Groups, remark)
		}
		return nil
	})
	r.Guard(facts.Logins, func() error {
		a.logins.collect(h, r, users, unread)
		return nil
	})
	r.Guard(facts.SudoRules, func() error {
		collectSudo(h, r)
		return nil
	})
	if unread != nil {
		r.Problem(facts.AuthorizedKeys, fmt.Errorf("accounts: %w", unread)) // whose homes to look at
	}
	r.Guard(facts.AuthorizedKeys, func() error { return collectKeys(ctx, h, r, users, groupsByUser(groups, unreadGroups)) })
	return nil
}

// collectShadow adds the states of passwords, and says which users are not listed.
func collectShadow(h *probe.Host, r *probe.Report, users []facts.Row) error {
	if remark := elsewhere(h, "passwd", "users"); remark != "" {
		r.Remark(facts.Users, remark)
	}
	err := addShadow(h, users)
	if errors.Is(err, fs.ErrPermission) {
		r.Veiled(facts.Users, err)
		return nil
	}
	return err
}

func elsewhere(h *probe.Host, database, what string) string {
	if s := foreign(h, database); s != "" {
		return what + " of " + s + " are not listed"
	}
	return ""
}

func read(h *probe.Host, r *probe.Report, section facts.ID, file string, parse func([]byte) ([]facts.Row, error)) ([]facts.Row, error) {
	data, err := h.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no %s: %w", file, errors.ErrUnsupported)
	}
	var rows []facts.Row
	if err == nil {
		rows, err = parse(data)
		var hidden []string
		if rows, hidden = firstOfEach(rows); len(hidden) > 0 {
			r.Remark(section, fmt.Sprintf("%d lines of %s repeat a name, as that of %s: the first of each counts", len(hidden), file, hidden[0]))
		}
		r.Add(section, rows...)
		if err != nil {
			err = fmt.Errorf("%s: %w", file, err)
		}
	}
	if err != nil {
		r.Problem(section, err)
	}
	return rows, err
}

// ParsePasswd reads passwd(5). The rows of good lines stand beside an error that names
// the first bad ones. Lines that begin with '+' or '-' import accounts from NIS
// (nsswitch.conf(5), compat) and are not local. Accounts of people are those that
// shadow-utils takes for such without a configuration.
func ParsePasswd(data []byte) ([]facts.Row, error) {
	rows, err := defaultLimits.parsePasswd(data)
	rows, _ = firstOfEach(rows)
	return rows, err
}

func (l limits) parsePasswd(data []byte) ([]facts.Row, error) {
	var rows []facts.Row
	err := eachLine(data, 7, func(f []string) error {
		uid, err := parseID(f[2])
		if err != nil {
			return err
		}
		gid, err := parseID(f[3])
		if err != nil {
			return err
		}
		row := &facts.UserRow{Name: f[0], UID: uid, GID: gid, Gecos: f[4], Home: f[5], Shell: f[6]}
		row.Login, row.System = mayLogin(f[6]), uid < l.uidMin || uid > l.uidMax
		if f[1] != "x" { // "x" is in shadow(5)
			row.Password = passwordState(f[1])
		}
		rows = append(rows, row)
		return nil
	})
	return rows, err
}

// ParseGroup reads group(5), like ParsePasswd.
func ParseGroup(data []byte) ([]facts.Row, error) {
	rows, err := defaultLimits.parseGroup(data)
	rows, _ = firstOfEach(rows)
	return rows, err
}

func (l limits) parseGroup(data []byte) ([]facts.Row, error) {
	var rows []facts.Row
	err := eachLine(data, 4, func(f []string) error {
		gid, err := parseID(f[2])
		if err != nil {
			return err
		}
		rows = append(rows, &facts.GroupRow{Name: f[0], GID: gid, Members: names(f[3]), System: gid < l.gidMin || gid > l.gidMax})
		return nil
	})
	return rows, err
}

// names is a list with commas, sorted, each name once.
func names(list string) []string {
	out := strings.FieldsFunc(list, func(c rune) bool { return c == ',' })
	slices.Sort(out)
	return slices.Compact(out)
}

// firstOfEach drops later rows of the same name, and gives their names: getpwnam(3) finds the first.
func firstOfEach(rows []facts.Row) (first []facts.Row, hidden []string) {
	seen := make(map[string]bool, len(rows))
	first = slices.DeleteFunc(rows, func(r facts.Row) bool {
		name := r.Key()
		double := seen[name]
		if seen[name] = true; double {
			hidden = append(hidden, name)
		}
		return double
	})
	return first, hidden
}

// maxBadLines bounds how many bad lines an error names.
const maxBadLines = 3

// eachLine calls fn with the fields of each line that has the right number of them. A
// file that does not end with a line break is cut: tools that write it always end
// lines, and a cut shell path could not be told from a short one.
func eachLine(data []byte, fields int, fn func([]string) error) error {
	if len(data) == 0 {
		return errors.New("is empty")
	}
	var bad []error
	number, more := 0, 0
	for len(data) > 0 {
		number++
		line, rest, ended := bytes.Cut(data, []byte{'\n'})
		data = rest
		if ended && (len(bytes.TrimSpace(line)) == 0 || strings.IndexByte("#+-", line[0]) >= 0) {
			continue
		}
		f := strings.Split(string(line), ":")
		var err error
		switch {
		case !ended:
			err = errors.New("cut off")
		case bytes.IndexByte(line, 0) >= 0:
			err = errors.New("has NUL bytes")
		case len(f) != fields || f[0] == "":
			err = fmt.Errorf("has %d fields instead of %d", len(f), fields)
		default:
			err = fn(f)
		}
		switch {
		case err == nil:
		case len(bad) < maxBadLines:
			bad = append(bad, fmt.Errorf("line %d: %w", number, err))
		default:
			more++
		}
	}
	if more > 0 {
		bad = append(bad, fmt.Errorf("and %d more lines", more))
	}
	return errors.Join(bad...)
}

// parseID reads a user or group id: 32 bits without sign on every Unix, but macOS writes
// that of nobody as -2.
func parseID(s string) (int64, error) {
	if s == "-2" {
		return strconv.ParseInt(s, 10, 64)
	}
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("id %q is no number up to 4294967295", s)
	}
	return int64(id), nil
}
