package schedule

import (
	"errors"
	"strings"

	"atalaya/agent/probe"
)

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	return []probe.Parser{
		{Kind: "crontab", Help: "/etc/crontab, a user's crontab: jobs and variables", Parse: each(func(text string) (any, error) {
			return parseCrontab(text, hasUsers(text))
		})},
		{Kind: "anacrontab", Help: "/etc/anacrontab: jobs", Parse: each(func(text string) (any, error) { return parseAnacrontab(text) })},
		{Kind: "desktop", Help: "/etc/xdg/autostart/NAME.desktop: what starts", Parse: each(func(text string) (any, error) { return parseDesktop(text), nil })},
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

// each applies the parser of one file; several files give a list.
func each(parse func(text string) (any, error)) func([]probe.Input) (any, error) {
	return func(files []probe.Input) (any, error) {
		var out []any
		var problems error
		for _, f := range files {
			got, err := parse(string(f.Data))
			out = append(out, got)
			problems = errors.Join(problems, err)
		}
		if len(out) == 1 {
			return out[0], problems
		}
		return out, problems
	}
}
