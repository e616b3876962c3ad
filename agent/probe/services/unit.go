package services

import (
	"bytes"
	"errors"
	"strings"
)

// unit holds the settings of a service unit that are reported.
type unit struct {
	description     string
	exec            []string // ExecStart lines
	user            string
	oneshot         bool
	aliases         []string // Alias= in [Install]
	installable     bool     // [Install] says how to enable it
	also            bool     // [Install] names other units only
	defaultInstance string
}

func parseUnit(data []byte) (*unit, error) {
	u := new(unit)
	return u, u.parse(data)
}

// parse reads a unit file or a drop-in on top of what is known (systemd.syntax(7)). A
// file with NUL bytes is damaged.
func (u *unit) parse(data []byte) error {
	if bytes.IndexByte(data, 0) >= 0 {
		return errors.New("damaged: it has NUL bytes")
	}
	section := ""
	for text := string(data); text != ""; {
		var line string
		line, text = logicalLine(text)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' && line[len(line)-1] == ']' {
			section = line[1 : len(line)-1]
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			u.set(section, strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
	return nil
}

// logicalLine takes one line; a backslash at its end joins the next, comments between
// do not count.
func logicalLine(text string) (line, rest string) {
	var joined strings.Builder
	for {
		line, rest, _ = strings.Cut(text, "\n")
		line = strings.TrimSpace(line)
		comment := joined.Len() > 0 && line != "" && (line[0] == '#' || line[0] == ';')
		head, continued := strings.CutSuffix(line, `\`)
		if comment {
			continued = rest != ""
		} else {
			joined.WriteString(head)
		}
		if !continued || rest == "" {
			return strings.TrimSpace(joined.String()), rest
		}
		joined.WriteByte(' ')
		text = rest
	}
}

func (u *unit) set(section, key, value string) {
	switch section + "." + key {
	case "Unit.Description":
		u.description = value
	case "Service.ExecStart":
		if value == "" { // an empty value takes back what was set
			u.exec = nil
		} else {
			u.exec = append(u.exec, value)
		}
	case "Service.User":
		u.user = value
	case "Service.Type":
		u.oneshot = value == "oneshot"
	case "Install.Alias":
		u.aliases = append(u.aliases, strings.Fields(value)...)
		u.installable = u.installable || value != ""
	case "Install.WantedBy", "Install.RequiredBy", "Install.UpheldBy":
		u.installable = u.installable || value != ""
	case "Install.Also":
		u.also = u.also || value != ""
	case "Install.DefaultInstance":
		u.defaultInstance = value
	}
}

// program is the executable of an ExecStart line: the special prefixes of
// systemd.service(5) and the arguments, which may hold secrets, are left out.
func program(line string) string {
	line = strings.TrimLeft(line, "@-:+!")
	if quote := strings.IndexByte(`"'`, firstByte(line)); quote >= 0 {
		word, _, _ := strings.Cut(line[1:], line[:1])
		return word
	}
	word, _, _ := strings.Cut(line, " ")
	return word
}

func firstByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}
