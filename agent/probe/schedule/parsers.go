package schedule

import (
	"strings"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "crontab", Help: "/etc/crontab, a user's crontab: jobs and variables", Parse: probe.OfText(func(text string) (crontab, error) {
			return parseCrontab(text, hasUsers(text))
		}), Form: probe.Form{Want: "lines MINUTE HOUR DAY MONTH WEEKDAY [USER] COMMAND", Empty: true, Line: `^\s*([\w"' ]+=|-?([*~]|\d{1,2}\b)|@[a-z])`, Some: `^\s*(-?[*~0-9]\S*\s+\S+\s|@[a-z]|#)`}},
		{Kind: "anacrontab", Help: "/etc/anacrontab: jobs", Parse: probe.OfText(parseAnacrontab), Form: probe.Form{
			Want: "lines PERIOD DELAY NAME COMMAND", Empty: true, Line: `^\s*([A-Za-z_]\w*\s*=|(\d{1,3}|@\w+)\s+\d{1,4}\s+[A-Za-z]\S*\s+\S)`, Some: `^\s*([0-9@]|#)`}},
		{Kind: "desktop", Help: "/etc/xdg/autostart/NAME.desktop: what starts", Parse: probe.OfText(func(text string) (*facts.AutostartRow, error) {
			return parseDesktop(text), nil
		}), Form: probe.Form{Want: "[Desktop Entry] with lines NAME=VALUE", Line: `^\s*\[|^\s*[\w@.-]+(\[[^\]]*\])?\s*=`, Some: `^\s*\[Desktop Entry\]`}},
	}
}

// hasUsers tells a crontab of the system from that of a user, whose name does not say
// which it is: in each line a name stands before the command.
func hasUsers(text string) bool {
	tab, _ := parseCrontab(text, true)
	for _, j := range tab.Schedule {
		if strings.Trim(j.User, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			return false
		}
	}
	other, _ := parseCrontab(text, false)
	return len(tab.Schedule) > 0 && len(other.Schedule) == len(tab.Schedule)
}
