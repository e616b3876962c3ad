package accounts

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

const (
	lastlogFile = "/var/log/lastlog"
	// maxWtmp bounds what is read of a log of logins: its last 20,000 records.
	maxWtmp = 8 << 20
	// utmpAligned is a multiple of the sizes of records, 384 and 400.
	utmpAligned = 9600
)

// utmpFiles has the open sessions; newer systems (Debian 13, SUSE) no longer keep it.
var utmpFiles = []string{"/run/utmp", "/var/run/utmp"}

// wtmpFiles are the log of logins, the older part first.
var wtmpFiles = []string{"/var/log/wtmp.1", "/var/log/wtmp"}

// databases hold logins where those files have been given up; they are SQLite's.
var databases = []string{"/var/lib/wtmpdb/wtmp.db", "/var/lib/lastlog/lastlog2.db"}

// loginCache keeps what was read of files that have not changed since.
type loginCache struct {
	stamps   []probe.Stamp
	accounts int
	rows     []facts.Row
	problem  error
	remark   string
}

// collect reports the logins; unread is what of the accounts could not be read.
func (c *loginCache) collect(h *probe.Host, r *probe.Report, users []facts.Row, unread error) {
	stamps := make([]probe.Stamp, 0, 8)
	for _, name := range slices.Concat(utmpFiles, wtmpFiles, databases, []string{lastlogFile, passwdFile}) {
		stamps = append(stamps, h.Stamp(name))
	}
	if !slices.Equal(stamps, c.stamps) || c.accounts != len(users) {
		fresh := loginCache{stamps: stamps, accounts: len(users)}
		fresh.read(h, users)
		*c = fresh // only now: a reading that panics leaves nothing that looks like one
	}
	r.Add(facts.Logins, c.rows...)
	if c.problem != nil {
		r.Problem(facts.Logins, c.problem)
	} else if c.remark != "" {
		r.Remark(facts.Logins, c.remark)
	}
	if _, err := h.Stat(lastlogFile); unread != nil && !probe.Absent(err) {
		r.Hidden(facts.Logins, fmt.Errorf("accounts: %w", unread), func(row facts.Row) bool { return row.(*facts.LoginRow).Source == "lastlog" })
	}
}

// read collects the last login of each user and line; an open session counts most, the
// summary of lastlog least, as it may be of the same login.
func (c *loginCache) read(h *probe.Host, users []facts.Row) {
	logins := make(map[[2]string]*facts.LoginRow)
	found := c.addLastlog(h, users, logins)
	for _, name := range wtmpFiles {
		data, _, err := h.ReadTail(name, maxWtmp, utmpAligned)
		found = c.add(name, data, err, "wtmp", logins) || found
	}
	for _, name := range utmpFiles {
		data, err := h.ReadFile(name)
		if c.add(name, data, err, "utmp", logins) {
			found = true
			break
		}
	}
	for _, name := range databases {
		if _, err := h.Stat(name); !probe.Absent(err) {
			c.remark = "logins in " + name + " are not read"
			found = true
		}
	}
	if !found {
		c.problem = errors.Join(c.problem, fmt.Errorf("no record of logins is kept: %w", errors.ErrUnsupported))
	}
	for _, row := range logins {
		c.rows = append(c.rows, row)
	}
}

// add takes the sessions of one file, whose later records are of later logins.
func (c *loginCache) add(name string, data []byte, err error, source string, logins map[[2]string]*facts.LoginRow) bool {
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	var sessions []Session
	if err == nil {
		sessions, err = ParseUtmp(data)
	}
	if err != nil {
		c.problem = errors.Join(c.problem, fmt.Errorf("%s: %w", name, err))
	}
	for _, s := range sessions {
		if s.Type != userProcess || s.User == "" {
			continue
		}
		logins[[2]string{s.User, s.Line}] = &facts.LoginRow{User: s.User, Line: s.Line, Host: s.Host, At: s.At,
			Session: source == "utmp", Source: source}
	}
	return true
}

// addLastlog reads the records of the accounts only: the file has a place for each number
// up to the largest, terabytes of holes.
func (c *loginCache) addLastlog(h *probe.Host, users []facts.Row, logins map[[2]string]*facts.LoginRow) bool {
	names := make(map[int64]string, len(users))
	var uids []int64
	for _, row := range users {
		if u := row.(*facts.UserRow); names[u.UID] == "" {
			names[u.UID] = u.Name
			uids = append(uids, u.UID)
		}
	}
	info, err := h.Stat(lastlogFile)
	if err == nil {
		slices.Sort(uids)
		err = h.ReadRecords(lastlogFile, lastlogRecord(info.Size()), uids, func(uid int64, rec []byte) {
			if s := parseLastlog(rec); s.At != 0 {
				logins[[2]string{names[uid], s.Line}] = &facts.LoginRow{User: names[uid], Line: s.Line, Host: s.Host, At: s.At, Source: "lastlog"}
			}
		})
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if err != nil {
		c.problem = errors.Join(c.problem, fmt.Errorf("%s: %w", lastlogFile, err))
	}
	return true
}
