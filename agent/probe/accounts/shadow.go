package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Entry is what is told of a line of shadow(5): the state of the password and the days
// that count, never the hash.
type Entry struct {
	Name     string     `json:"name"`
	Password string     `json:"password"` // set, locked, none, expired
	Changed  facts.Time `json:"changed,omitempty,omitzero"`
	MinDays  int        `json:"min_days,omitempty"`
	MaxDays  int        `json:"max_days,omitempty"`
	WarnDays int        `json:"warn_days,omitempty"`
	Inactive int        `json:"inactive_days,omitempty"` // after the password expired it can still be changed
	Expires  facts.Time `json:"account_expires,omitempty,omitzero"`
}

// The states of passwords.
const (
	passwordSet     = "set"
	passwordLocked  = "locked"
	passwordNone    = "none"
	passwordExpired = "expired"
)

// maxDays is from when on shadow-utils takes an age for none; 99999 is what it writes.
const maxDays = 99999

const day = 24 * time.Hour

// ParseShadow reads shadow(5), with the states that passwords have at a moment.
func ParseShadow(data []byte, now time.Time) ([]Entry, error) {
	var out []Entry
	err := eachLine(data, 9, func(f []string) error {
		e := Entry{Name: f[0], Password: passwordState(f[1])}
		var n [6]int // of fields 3 to 8; -1 is empty
		for i := range n {
			n[i] = -1
			if f[i+2] == "" || f[i+2] == "-1" {
				continue
			}
			v, err := strconv.Atoi(f[i+2])
			if err != nil || v < 0 || v > 10_000_000 {
				return fmt.Errorf("field %d is no number of days", i+3)
			}
			n[i] = v
		}
		e.Changed, e.Expires = dayTime(n[0]), dayTime(n[5])
		e.MinDays, e.WarnDays, e.Inactive = max(n[1], 0), max(n[3], 0), max(n[4], 0)
		if n[2] >= 0 && n[2] < maxDays {
			e.MaxDays = n[2]
		}
		today := int(now.Unix() / int64(day/time.Second))
		if e.Password == passwordSet && (n[0] == 0 || n[0] > 0 && e.MaxDays > 0 && n[0]+e.MaxDays < today) {
			e.Password = passwordExpired
		}
		out = append(out, e)
		return nil
	})
	return out, err
}

// passwordState judges the field of the hash (shadow(5), crypt(5)): what is not made by
// crypt fits no password.
func passwordState(hash string) string {
	switch {
	case hash == "":
		return passwordNone
	case hash[0] == '!' || hash[0] == '*' || len(hash) < 13: // the shortest hash, of DES, has 13 letters
		return passwordLocked
	}
	return passwordSet
}

// dayTime is a day that is counted from 1970; zero and less are not days.
func dayTime(n int) facts.Time {
	if n <= 0 {
		return 0
	}
	return facts.TimeOf(time.Unix(int64(n)*int64(day/time.Second), 0))
}

// addShadow completes users by shadow(5). Where it cannot be read they stand without; a
// service unit may hide it from the agent.
func addShadow(h *probe.Host, users []facts.Row) error {
	data, err := readUnhidden(h, shadowFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("states of passwords are not known: %s is hidden from the agent: %w", shadowFile, fs.ErrPermission)
	case err != nil:
		return err
	}
	entries, err := ParseShadow(data, h.Now())
	byName := make(map[string]*Entry, len(entries))
	for i := range entries {
		if e := &entries[i]; byName[e.Name] == nil {
			byName[e.Name] = e
		}
	}
	for _, row := range users {
		u := row.(*facts.UserRow)
		e := byName[u.Name]
		if e == nil || u.Password != "" { // the hash is in passwd(5)
			continue
		}
		u.Password, u.PasswordChanged, u.PasswordMaxDays, u.AccountExpires = e.Password, e.Changed, e.MaxDays, e.Expires
		if e.Expires != 0 && !h.Now().Before(e.Expires.Time()) {
			u.Login = false
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", shadowFile, err)
	}
	return err
}

// readUnhidden reads a file, unless systemd hides it (InaccessiblePaths=): there is an
// empty file without any permission in its place, which the agent may read all the same.
func readUnhidden(h *probe.Host, name string) ([]byte, error) {
	info, err := h.Stat(name)
	if err != nil {
		return nil, err
	}
	if h.Live() && hidden(info) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return h.ReadFile(name)
}

func hidden(info fs.FileInfo) bool {
	return info.Mode().Perm() == 0 && (info.IsDir() || info.Size() == 0)
}

// limits are the numbers of accounts of people (login.defs(5)).
type limits struct{ uidMin, uidMax, gidMin, gidMax int64 }

// defaultLimits are those of shadow-utils.
var defaultLimits = limits{1000, 60000, 1000, 60000}

// readLimits has the defaults where the file says nothing.
func readLimits(h *probe.Host) limits {
	l := defaultLimits
	data, _ := h.ReadFile("/etc/login.defs") // not every system has one
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, err := strconv.ParseInt(f[1], 0, 64)
		if err != nil {
			continue
		}
		switch f[0] {
		case "UID_MIN":
			l.uidMin = n
		case "UID_MAX":
			l.uidMax = n
		case "GID_MIN":
			l.gidMin = n
		case "GID_MAX":
			l.gidMax = n
		}
	}
	return l
}

// mayLogin judges a shell. An empty one is /bin/sh (passwd(5)).
func mayLogin(shell string) bool {
	switch shell[strings.LastIndexByte(shell, '/')+1:] {
	case "nologin", "false", "sync", "shutdown", "halt", "true":
		return false
	}
	return true
}

// foreign names the services of nsswitch.conf(5) whose accounts are not in the files.
func foreign(h *probe.Host, database string) string {
	data, _ := h.ReadFile("/etc/nsswitch.conf") // not every system has one
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		name, services, ok := strings.Cut(line, ":")
		if !ok || strings.TrimSpace(name) != database {
			continue
		}
		var out []string
		for _, s := range strings.Fields(services) {
			switch s {
			case "files", "compat", "systemd", "db", "altfiles":
			default:
				if s[0] != '[' && !strings.HasSuffix(s, "]") {
					out = append(out, s)
				}
			}
		}
		return strings.Join(out, " and ")
	}
	return ""
}
