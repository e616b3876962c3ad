package services

import (
	"bytes"
	"errors"
	"slices"
	"strings"

	"atalaya/agent/probe"
)

// unit holds the settings of a unit file that are reported.
type unit struct {
	description     string
	exec            []string // ExecStart lines
	user            string
	kind            string // Type=
	bus             bool   // BusName= makes it Type=dbus
	restart         string
	aliases         []string // Alias= in [Install]
	installable     bool     // [Install] says how to enable it
	also            bool     // [Install] names other units only
	defaultInstance string
	empty           bool // an empty file masks the unit

	schedule    []string // of a timer, as written
	starts      string   // Unit= of a timer, Service= of a socket
	persistent  bool
	randomDelay string

	listen                 []listen // of a socket
	accept                 bool
	owner, group, fileMode string
}

// listen is an address of a socket unit.
type listen struct{ kind, address string }

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
	for text := string(bytes.TrimPrefix(data, []byte("\uFEFF"))); text != ""; {
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
	switch section {
	case "Unit":
		if key == "Description" {
			u.description = probe.Mask(value)
		}
	case "Service":
		u.setService(key, value)
	case "Timer":
		u.setTimer(key, value)
	case "Socket":
		u.setSocket(key, value)
	case "Install":
		u.setInstall(key, value)
	}
}

func (u *unit) setService(key, value string) {
	switch key {
	case "ExecStart":
		if value == "" { // an empty value takes back what was set
			u.exec = nil
		} else {
			u.exec = append(u.exec, value)
		}
	case "User":
		u.user = value
	case "Type":
		u.kind = value
	case "BusName":
		u.bus = value != ""
	case "Restart":
		u.restart = value
	}
}

func (u *unit) setInstall(key, value string) {
	switch key {
	case "Alias":
		u.aliases = append(u.aliases, strings.Fields(value)...)
		u.installable = u.installable || value != ""
	case "WantedBy", "RequiredBy", "UpheldBy":
		u.installable = u.installable || value != ""
	case "Also":
		u.also = u.also || value != ""
	case "DefaultInstance":
		u.defaultInstance = value
	}
}

// setTimer follows systemd.timer(5). An empty moment takes back all of them.
func (u *unit) setTimer(key, value string) {
	switch key {
	case "OnCalendar", "OnActiveSec", "OnBootSec", "OnStartupSec", "OnUnitActiveSec", "OnUnitInactiveSec":
		if value == "" {
			u.schedule = nil
		} else {
			u.schedule = append(u.schedule, key+"="+value)
		}
	case "OnClockChange", "OnTimezoneChange":
		u.schedule = slices.DeleteFunc(u.schedule, func(s string) bool { return s == key })
		if truth(value) {
			u.schedule = append(u.schedule, key)
		}
	case "Unit":
		u.starts = value
	case "Persistent":
		u.persistent = truth(value)
	case "RandomizedDelaySec":
		u.randomDelay = value
	}
}

// listenKinds are the settings of systemd.socket(5) that name an address.
var listenKinds = map[string]string{
	"ListenStream": "stream", "ListenDatagram": "datagram", "ListenSequentialPacket": "sequential_packet", "ListenFIFO": "fifo",
	"ListenSpecial": "special", "ListenNetlink": "netlink", "ListenMessageQueue": "message_queue", "ListenUSBFunction": "usb_function",
}

func (u *unit) setSocket(key, value string) {
	if kind := listenKinds[key]; kind != "" {
		if value == "" {
			u.listen = nil
		} else {
			u.listen = append(u.listen, listen{kind, strings.ReplaceAll(value, "%t", "/run")})
		}
		return
	}
	switch key {
	case "Accept":
		u.accept = truth(value)
	case "Service":
		u.starts = value
	case "SocketUser":
		u.owner = value
	case "SocketGroup":
		u.group = value
	case "SocketMode":
		u.fileMode = value
	}
}

// truth reads a boolean of systemd.syntax(7).
func truth(s string) bool {
	switch strings.ToLower(s) {
	case "1", "yes", "y", "true", "t", "on":
		return true
	}
	return false
}

// serviceType is Type=, or what it is where nothing is said (systemd.service(5)).
func (u *unit) serviceType() string {
	switch {
	case u.kind != "":
		return u.kind
	case u.bus:
		return "dbus"
	case len(u.exec) == 0:
		return "oneshot"
	}
	return "simple"
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
