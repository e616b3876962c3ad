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
	for _, line := range strings.Split(text, "\n") {
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
	lines := strings.Split(string(data), "\n")
	columns := strings.Split(strings.TrimSpace(lines[0]), ",")
	for _, line := range lines[1:] {
		row := strings.Split(strings.TrimSpace(line), ",")
		if number, _, _ := strings.Cut(row[0], " "); number != version { // "22.04 LTS"
			continue
		}
		end := ""
		for i, value := range row[:min(len(row), len(columns))] {
			if value != "" && (columns[i] == "eol" || columns[i] == "eol-lts" && id == "debian") {
				end = value
			}
		}
		return end
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
