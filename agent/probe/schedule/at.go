package schedule

import (
	"path"
	"strconv"
	"strings"
	"time"

	"atalaya/shared/facts"
)

// atDirs are atd's spools: Debian, Red Hat, SUSE.
var atDirs = []string{"/var/spool/cron/atjobs", "/var/spool/at", "/var/spool/atjobs"}

// at lists the jobs that wait. Their scripts hold the environment of who made them, and are
// read no further than their head.
func (c *collector) at() {
	for _, dir := range atDirs {
		for _, name := range c.names(dir) {
			when, ok := parseAtName(name)
			if !ok {
				continue // its lock, or the number of the last job
			}
			file := path.Join(dir, name)
			text, ok := c.read(file)
			if !ok {
				continue
			}
			c.r.Add(facts.CronJobs, &facts.CronJobRow{Source: "at", User: atUser(text), Schedule: when.Format(time.RFC3339), Command: file, File: file, Name: name[:1]})
		}
	}
}

// parseAtName reads the name of a job: its queue, five hexadecimal digits of its number,
// eight of the minutes since 1970. "=" is the queue of jobs that run.
func parseAtName(name string) (time.Time, bool) {
	if len(name) != 14 || !(name[0] >= 'a' && name[0] <= 'z' || name[0] >= 'A' && name[0] <= 'Z') {
		return time.Time{}, false
	}
	if _, err := strconv.ParseUint(name[1:6], 16, 32); err != nil {
		return time.Time{}, false
	}
	minutes, err := strconv.ParseUint(name[6:], 16, 32)
	return time.Unix(int64(minutes)*60, 0).UTC(), err == nil
}

// atUser is the user in the second line: "# mail alice 0". Without it there is the number
// in the first: "# atrun uid=1000 gid=1000".
func atUser(text string) string {
	uid := ""
	for range 4 {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		f := strings.Fields(line)
		switch {
		case len(f) >= 3 && f[0] == "#" && f[1] == "mail":
			return f[2]
		case len(f) >= 3 && f[0] == "#" && f[1] == "atrun":
			uid = strings.TrimPrefix(f[2], "uid=")
		}
	}
	return uid
}
