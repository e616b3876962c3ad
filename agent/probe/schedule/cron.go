package schedule

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// job is a line of a crontab.
type job struct {
	Line       int      `json:"-"`
	Minute     []string `json:"minute,omitempty"`
	Hour       []string `json:"hour,omitempty"`
	DayOfMonth []string `json:"day_of_month,omitempty"`
	Month      []string `json:"month,omitempty"`
	DayOfWeek  []string `json:"day_of_week,omitempty"`
	Occurrence string   `json:"occurrence,omitempty"` // "daily" of @daily
	User       string   `json:"user,omitempty"`
	Command    string   `json:"command"` // secrets masked
	when       string
}

// variable is a setting of a crontab for the jobs behind it.
type variable struct {
	Name  string `json:"name"`
	Value string `json:"value"` // secrets masked
}

// crontab is what one file says.
type crontab struct {
	Schedule  []job      `json:"schedule"`
	Variables []variable `json:"variables"`
}

const (
	// maxBadLines bounds how many bad lines an error names.
	maxBadLines = 3
	// maxCommand bounds a command in a row.
	maxCommand = 2000
)

// parseCrontab reads crontab(5). Those of the system have the user between time and
// command. Good lines stand beside an error that names the first bad ones.
func parseCrontab(text string, withUser bool) (crontab, error) {
	c := crontab{Schedule: []job{}, Variables: []variable{}}
	var problem error
	bad, number := 0, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, value, ok := setting(line); ok {
			c.Variables = append(c.Variables, variable{name, maskValue(name, value)})
			continue
		}
		j, ok := parseJob(line, withUser)
		if !ok {
			if bad++; bad <= maxBadLines {
				problem = errors.Join(problem, fmt.Errorf("line %d not understood", number))
			}
			continue
		}
		j.Line = number
		c.Schedule = append(c.Schedule, j)
	}
	return c, problem
}

// setting reads "NAME = value"; both may be quoted.
func setting(line string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(line, "=")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	name = strings.Trim(name, `"'`)
	if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
		value = value[1 : n-1]
	}
	for i, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			return "", "", false
		}
	}
	return name, value, ok && name != ""
}

// maskValue hides the value of a variable whose name tells of a secret, and secrets in others.
func maskValue(name, value string) string {
	if probe.Mask(name+"=x") != name+"=x" {
		return probe.Masked
	}
	return shorten(probe.Mask(value))
}

// nicknames are the words that may stand for five fields (crontab(5), "EXTENSIONS").
func nickname(word string) bool {
	switch word {
	case "reboot", "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly":
		return true
	}
	_, every := strings.CutPrefix(word, "every_") // FreeBSD, and fields of systemd-cron
	return every
}

func parseJob(line string, withUser bool) (job, bool) {
	var j job
	rest := line
	if line[0] == '@' {
		var word string
		word, rest = field(line)
		j.when, j.Occurrence = word, word[1:]
		if !nickname(j.Occurrence) {
			return j, false
		}
	} else {
		rest = strings.TrimPrefix(rest, "-") // cronie: do not log
		var when []string
		for _, to := range []*[]string{&j.Minute, &j.Hour, &j.DayOfMonth, &j.Month, &j.DayOfWeek} {
			var f string
			f, rest = field(rest)
			if !timeField(f) {
				return j, false
			}
			*to = strings.Split(f, ",")
			when = append(when, f)
		}
		j.when = strings.Join(when, " ")
	}
	if withUser {
		j.User, rest = field(rest)
		j.User, _, _ = strings.Cut(j.User, ":") // BSD: user:group/class
	}
	j.Command = jobCommand(rest)
	return j, j.Command != "" && (!withUser || j.User != "")
}

// jobCommand is the command of a job without its secrets. What follows a % is the standard
// input of the command (crontab(5)), which may be a password; \% is a percent sign.
func jobCommand(line string) string {
	line = strings.TrimSpace(line)
	for i := 0; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '%':
			if i+1 < len(line) {
				return shorten(probe.Mask(line[:i]) + "%" + probe.Masked)
			}
		}
	}
	return shorten(probe.Mask(line))
}

// field takes the first word.
func field(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimLeft(s[i:], " \t")
	}
	return s, ""
}

// timeField is made of numbers, names of days and months, and *,-/~ (cronie: random).
func timeField(f string) bool {
	for _, c := range []byte(f) {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("*,-/~?#", c) >= 0) {
			return false
		}
	}
	return f != "" && (f[0] == '*' || f[0] == '?' || f[0] == '~' || f[0] >= '0' && f[0] <= '9' || len(f) >= 3)
}

func shorten(s string) string {
	if len(s) > maxCommand {
		s = s[:maxCommand-3] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// cron reads the crontabs of the system and of the users.
func (c *collector) cron() {
	c.crontab("/etc/crontab", "", true)
	_, debianErr := c.h.Stat("/etc/debian_version")
	for _, name := range c.names("/etc/cron.d") {
		if debianErr == nil && strings.Trim(name, runParts) != "" {
			continue // Debian's cron passes over other names
		}
		c.crontab(path.Join("/etc/cron.d", name), "", true)
	}
	// Debian, SUSE, Alpine; Red Hat has the files in the folder that holds those of others.
	for _, dir := range []string{"/var/spool/cron/crontabs", "/var/spool/cron/tabs", "/etc/crontabs", "/var/spool/cron"} {
		for _, name := range c.names(dir) {
			if !strings.HasPrefix(name, "tmp.") && name != "cron.update" {
				c.crontab(path.Join(dir, name), name, false)
			}
		}
	}
}

// runParts are the characters of names that run-parts(8) and Debian's cron take.
const runParts = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

func (c *collector) crontab(file, user string, withUser bool) {
	text, ok := c.read(file)
	if !ok {
		return
	}
	tab, err := parseCrontab(text, withUser)
	c.failed(file, err)
	source := "crontab"
	if user != "" {
		source = "spool"
	}
	for _, j := range tab.Schedule {
		row := &facts.CronJobRow{Source: source, User: user, Schedule: j.when, Command: j.Command, File: file, Line: j.Line}
		if withUser {
			row.User = j.User
		}
		c.r.Add(facts.CronJobs, row)
	}
}

// anacron reads anacrontab(5): "period delay name command".
func (c *collector) anacron() {
	const file = "/etc/anacrontab"
	text, ok := c.read(file)
	if !ok {
		return
	}
	rows, err := parseAnacrontab(text)
	c.failed(file, err)
	for _, row := range rows {
		row.File = file
		c.r.Add(facts.CronJobs, row)
	}
}

func parseAnacrontab(text string) ([]*facts.CronJobRow, error) {
	var out []*facts.CronJobRow
	var problems probe.Problems
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if _, _, ok := setting(line); ok {
			continue
		}
		period, rest := field(line)
		_, rest = field(rest) // the delay in minutes
		name, command := field(rest)
		if days, err := strconv.Atoi(period); err == nil && days > 0 {
			period = fmt.Sprintf("every %d days", days)
		} else if period[0] != '@' {
			command = ""
		}
		if command == "" {
			problems.Add(fmt.Errorf("line %d not understood", number))
			continue
		}
		out = append(out, &facts.CronJobRow{Source: "anacron", User: "root", Schedule: period, Command: shorten(probe.Mask(command)), Name: name, Line: number})
	}
	return out, problems.Err()
}

// periodicDirs hold scripts that run in a rhythm: Debian and Red Hat, Alpine.
var periodicDirs = [...][2]string{
	{"/etc/cron.hourly", "@hourly"}, {"/etc/cron.daily", "@daily"}, {"/etc/cron.weekly", "@weekly"}, {"/etc/cron.monthly", "@monthly"}, {"/etc/cron.yearly", "@yearly"},
	{"/etc/periodic/15min", "every 15 minutes"}, {"/etc/periodic/hourly", "@hourly"}, {"/etc/periodic/daily", "@daily"},
	{"/etc/periodic/weekly", "@weekly"}, {"/etc/periodic/monthly", "@monthly"},
}

func (c *collector) periodic() {
	for _, d := range periodicDirs {
		for _, name := range c.names(d[0]) {
			file := path.Join(d[0], name)
			if strings.Trim(name, runParts) != "" && strings.HasPrefix(d[0], "/etc/cron.") || !c.executable(file) {
				continue // run-parts(8) passes over it
			}
			c.r.Add(facts.CronJobs, &facts.CronJobRow{Source: "periodic", User: "root", Schedule: d[1], Command: file, File: file})
		}
	}
}
