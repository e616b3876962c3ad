// Package timesync reads what keeps the clock of a host right: the section time_sync.
//
// The servers come from the configurations of the programs, whether they run from the
// control groups of their services, and whether the clock is synchronised from the
// kernel (adjtimex(2)). The offset is a metric, not a fact.
package timesync

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// New returns the probe of the section time_sync.
func New() probe.Probe { return timeProbe{} }

type timeProbe struct{}

// Info implements probe.Probe.
func (timeProbe) Info() probe.Info {
	return probe.Info{
		Name:     "timesync",
		Sections: []facts.ID{facts.TimeSync},
		Timeout:  5 * time.Second,
		MaxItems: 20,
		MaxBytes: 1 << 20,
		Watch:    []string{"/etc/chrony/chrony.conf", "/etc/chrony.conf", "/etc/systemd/timesyncd.conf", "/etc/ntp.conf", "/etc/ntpsec/ntp.conf"},
	}
}

// programs that set the clock: the first configuration that is there is theirs, further
// ones add to it.
var programs = []struct {
	name    string
	units   []string
	configs []string
	more    []string
	parse   func([]byte) []string
}{
	{"chrony", []string{"chrony", "chronyd"}, []string{"/etc/chrony/chrony.conf", "/etc/chrony.conf"},
		[]string{"/etc/chrony/conf.d/*.conf", "/etc/chrony.d/*.conf", "/etc/chrony/sources.d/*.sources", "/run/chrony-dhcp/*.sources", "/run/chrony.d/*.sources"}, ParseChrony},
	{"systemd-timesyncd", []string{"systemd-timesyncd"}, []string{"/etc/systemd/timesyncd.conf", "/usr/lib/systemd/timesyncd.conf"},
		[]string{"/etc/systemd/timesyncd.conf.d/*.conf", "/run/systemd/timesyncd.conf.d/*.conf", "/usr/lib/systemd/timesyncd.conf.d/*.conf"}, ParseTimesyncd},
	{"ntpsec", []string{"ntpsec"}, []string{"/etc/ntpsec/ntp.conf"}, []string{"/etc/ntpsec/ntp.d/*.conf"}, ParseNTP},
	{"ntp", []string{"ntp", "ntpd"}, []string{"/etc/ntp.conf"}, nil, ParseNTP},
	{"openntpd", []string{"openntpd", "ntpd"}, []string{"/etc/openntpd/ntpd.conf", "/etc/ntpd.conf"}, nil, ParseNTP},
	{"ptp4l", []string{"ptp4l", "linuxptp"}, []string{"/etc/linuxptp/ptp4l.conf", "/etc/ptp4l.conf"}, nil, func([]byte) []string { return nil }},
}

// Collect implements probe.Probe.
func (timeProbe) Collect(_ context.Context, h *probe.Host, r *probe.Report) error {
	if err := h.Holds("/etc"); err != nil {
		return err
	}
	var problems error
	for _, p := range programs {
		row, err := look(h, p.configs, p.more, p.parse)
		problems = errors.Join(problems, err)
		if row == nil {
			continue
		}
		row.Name, row.Running = p.name, running(h, p.units)
		if p.name == "systemd-timesyncd" && !installed(h) {
			continue // its configuration stays when another program takes its place
		}
		r.Add(facts.TimeSync, row)
	}
	if h.Live() {
		if ok, err := synchronised(); err == nil {
			r.Add(facts.TimeSync, &facts.TimeSyncRow{Name: "kernel", Synchronised: &ok})
		} else if !errors.Is(err, errors.ErrUnsupported) {
			problems = errors.Join(problems, err)
		}
	}
	return problems
}

func look(h *probe.Host, configs, more []string, parse func([]byte) []string) (*facts.TimeSyncRow, error) {
	i := slices.IndexFunc(configs, func(name string) bool { _, err := h.Stat(name); return !probe.Absent(err) })
	if i < 0 {
		return nil, nil
	}
	row := &facts.TimeSyncRow{Path: configs[i]}
	files := configs[i : i+1]
	for _, pattern := range more {
		found, err := h.Glob(pattern)
		if err == nil { // the patterns are well formed
			files = append(slices.Clip(files), found[:min(len(found), 100)]...)
		}
	}
	var problems probe.Problems
	for _, name := range files {
		b, err := h.ReadFile(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems.Add(err)
		}
		row.Servers = append(row.Servers, parse(b)...)
	}
	slices.Sort(row.Servers)
	row.Servers = slices.Compact(row.Servers)
	row.Servers = row.Servers[:min(len(row.Servers), 100)]
	return row, problems.Err()
}

// running tells by the control groups of its services whether a program runs; nil where
// there are none to look at.
func running(h *probe.Host, units []string) *bool {
	found := false
	for _, top := range []string{"/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd/system.slice", "/sys/fs/cgroup/unified/system.slice"} {
		if _, err := h.Stat(top); err != nil {
			continue
		}
		found = true
		for _, u := range units {
			if _, err := h.Stat(path.Join(top, u+".service")); err == nil {
				yes := true
				return &yes
			}
		}
	}
	if !found {
		return nil
	}
	no := false
	return &no
}

func installed(h *probe.Host) bool {
	for _, name := range []string{"/usr/lib/systemd/systemd-timesyncd", "/lib/systemd/systemd-timesyncd"} {
		if _, err := h.Stat(name); err == nil {
			return true
		}
	}
	return false
}

// ParseChrony reads the sources of chrony.conf(5): server, pool, peer and refclock.
func ParseChrony(b []byte) []string {
	return sources(b, "#!;%", map[string]string{"server": "", "pool": "", "peer": "", "refclock": "refclock "})
}

// ParseNTP reads the sources of ntp.conf(5) and of OpenNTPD's ntpd.conf(5).
func ParseNTP(b []byte) []string {
	return sources(b, "#", map[string]string{"server": "", "servers": "", "pool": "", "peer": "", "sensor": "sensor "})
}

// sources are the second words of lines that begin with a directive, whichever its case;
// options of addresses ("-4") stand before them.
func sources(b []byte, comments string, directives map[string]string) []string {
	var out []string
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "\uFFFD")) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.ContainsAny(f[0][:1], comments) {
			continue
		}
		prefix, ok := directives[strings.ToLower(f[0])]
		for len(f) > 2 && strings.HasPrefix(f[1], "-") {
			f = f[1:]
		}
		if !ok {
			continue
		}
		if prefix == "refclock " && len(f) > 2 {
			f[1] += " " + f[2] // driver and its parameter: "PHC /dev/ptp0"
		}
		out = append(out, prefix+f[1])
	}
	return out
}

// ParseTimesyncd reads timesyncd.conf(5): NTP= of the section [Time], and FallbackNTP=
// where there are no others.
func ParseTimesyncd(b []byte) []string {
	var servers, fallback []string
	section := ""
	for line := range strings.Lines(strings.ToValidUTF8(string(b), "\uFFFD")) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		name, v, ok := strings.Cut(line, "=")
		if !ok || section != "[Time]" {
			continue
		}
		switch strings.TrimSpace(name) { // an empty value forgets those before
		case "NTP":
			if servers = append(servers, strings.Fields(v)...); strings.TrimSpace(v) == "" {
				servers = nil
			}
		case "FallbackNTP":
			if fallback = append(fallback, strings.Fields(v)...); strings.TrimSpace(v) == "" {
				fallback = nil
			}
		}
	}
	if len(servers) > 0 {
		return servers
	}
	return fallback
}

// Parsers returns the formats that this package reads.
func Parsers() []probe.Parser {
	list := func(parse func([]byte) []string) func(probe.Input) (any, error) {
		return func(in probe.Input) (any, error) {
			return &facts.TimeSyncRow{Path: in.Name, Servers: parse(in.Data)}, nil
		}
	}
	return []probe.Parser{
		{Kind: "chrony-conf", Help: "chrony.conf: servers", Parse: list(ParseChrony), Form: probe.Form{
			Want: "lines DIRECTIVE VALUE: server, pool, driftfile ...", Comment: "#!;%", Line: `^\s*[A-Za-z][a-z]*\d?(\s|$)`,
			Some: `(?i)^\s*(server|pool|peer|refclock|driftfile|makestep|rtcsync|keyfile|logdir|confdir|sourcedir|include|allow|local|leapsectz)\b`}},
		{Kind: "ntp-conf", Help: "ntp.conf: servers", Parse: list(ParseNTP), Form: probe.Form{
			Want: "lines DIRECTIVE VALUE: server, pool, restrict ...", Line: `^\s*[A-Za-z][a-z]*(\s|$)`,
			Some: `(?i)^\s*(servers?|pool|peer|driftfile|restrict|listen|sensor|constraint|interface|tos|includefile|statsdir)\b`}},
		{Kind: "timesyncd-conf", Help: "timesyncd.conf: servers", Parse: list(ParseTimesyncd), Form: probe.Form{
			Want: "[Time] with lines NAME=VALUE", Comment: "#;", Line: `^\s*\[|^\s*\w+\s*=`, Some: `^\s*\[Time\]`}},
	}
}
