package patches

import (
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// supportDoubt is why nothing new can be expected of this release, or why that is not
// known. Told by, in this order: os-release(5)'s SUPPORT_END, the table of the package
// distro-info-data, and supportEnds.
func supportDoubt(h *probe.Host, found []*finding) string {
	system := osRelease(h)
	if rolls(system) {
		return ""
	}
	ended := func(day string) bool {
		last, err := time.Parse(time.DateOnly, day)
		return err == nil && !h.Now().Before(last.Add(24*time.Hour)) && !paidSupport(found)
	}
	distribution, version := lineage(system)
	told := first(system["SUPPORT_END"], distroInfoEnd(h, distribution, version))
	if _, err := time.Parse(time.DateOnly, told); err != nil {
		return judgeRelease(distribution, version, ended)
	}
	if ended(told) {
		return supportEndedOn(told)
	}
	return ""
}

// osRelease reads os-release(5).
func osRelease(h *probe.Host) map[string]string {
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		if data, err := h.ReadFile(name); err == nil {
			return parseOSRelease(string(data))
		}
	}
	return nil
}

func parseOSRelease(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	return fields
}

// distroInfoEnd reads the tables that Debian and Ubuntu ship and keep up to date. A
// table that is older than the release does not know it.
func distroInfoEnd(h *probe.Host, id, version string) string {
	if id != "debian" && id != "ubuntu" || version == "" {
		return ""
	}
	data, err := h.ReadFile("/usr/share/distro-info/" + id + ".csv")
	if err != nil {
		return ""
	}
	header, rest, _ := strings.Cut(string(data), "\n")
	columns := strings.Split(strings.TrimSpace(header), ",")
	for line := range strings.Lines(rest) {
		row := make(map[string]string)
		for i, value := range strings.Split(strings.TrimSpace(line), ",") {
			if i < len(columns) {
				row[columns[i]] = value
			}
		}
		if number, _, _ := strings.Cut(row["version"], " "); number != version { // "22.04 LTS"
			continue
		}
		if id == "ubuntu" {
			return row["eol"]
		}
		return first(row["eol-lts"], row["eol"])
	}
	return ""
}

// paidSupport recognises repositories that go on after the end for those who pay.
func paidSupport(found []*finding) bool {
	for _, f := range found {
		for _, r := range f.repositories {
			row := r.(*facts.RepositoryRow)
			for _, site := range []string{"//esm.ubuntu.com/", "freexian.com/", "tuxcare.com/", "@esm.ubuntu.com/", "LTSS", "/els/"} {
				if row.Enabled && strings.Contains(row.URI, site) {
					return true
				}
			}
		}
	}
	return false
}
