package patches

import (
	"strings"
	"time"

	"atalaya/agent/probe"
	"atalaya/shared/facts"
)

// supportEnds are the last days on which a release gets security updates for everybody,
// by os-release's ID and VERSION_ID, for systems that do not tell themselves. A version
// stands for all below it: "8" for 8.10. Sources, as of November 2026:
// https://www.debian.org/releases/ and https://wiki.debian.org/LTS (end of LTS),
// https://wiki.ubuntu.com/Releases, https://access.redhat.com/support/policy/updates/errata,
// https://www.centos.org/centos-linux-eol/, https://wiki.almalinux.org/release-notes/,
// https://rockylinux.org/download, https://alpinelinux.org/releases/,
// https://en.opensuse.org/Lifetime, https://aws.amazon.com/amazon-linux-2/faqs/.
var supportEnds = map[string]string{
	"debian 7": "2018-05-31", "debian 8": "2020-06-30", "debian 9": "2022-06-30", "debian 10": "2024-06-30",
	"debian 11": "2026-08-31", "debian 12": "2028-06-30", "debian 13": "2030-06-30",
	"ubuntu 14.04": "2019-04-30", "ubuntu 16.04": "2021-04-30", "ubuntu 18.04": "2023-05-31", "ubuntu 20.04": "2025-05-31",
	"ubuntu 22.04": "2027-04-30", "ubuntu 24.04": "2029-04-30",
	"ubuntu 23.04": "2024-01-25", "ubuntu 23.10": "2024-07-11", "ubuntu 24.10": "2025-07-10", "ubuntu 25.04": "2026-01-15",
	"rhel 6": "2020-11-30", "rhel 7": "2024-06-30", "rhel 8": "2029-05-31", "rhel 9": "2032-05-31", "rhel 10": "2035-05-31",
	"centos 6": "2020-11-30", "centos 7": "2024-06-30", "centos 8": "2024-05-31", "centos 9": "2027-05-31",
	"almalinux 8": "2029-03-01", "almalinux 9": "2032-05-31", "almalinux 10": "2035-05-31",
	"rocky 8": "2029-05-31", "rocky 9": "2032-05-31", "rocky 10": "2035-05-31",
	"alpine 3.16": "2024-05-23", "alpine 3.17": "2024-11-22", "alpine 3.18": "2025-05-09", "alpine 3.19": "2025-11-01",
	"alpine 3.20": "2026-04-01", "alpine 3.21": "2026-11-01", "alpine 3.22": "2027-05-01",
	"opensuse-leap 15.4": "2023-12-07", "opensuse-leap 15.5": "2024-12-31", "opensuse-leap 15.6": "2026-04-30",
	"amzn 2": "2026-06-30", "amzn 2018": "2023-12-31",
}

// supportEnd is why nothing new can be expected of this release. Told by, in this
// order: os-release(5)'s SUPPORT_END, the table of the package distro-info-data, and
// the table above.
func supportEnd(h *probe.Host, found []*finding) string {
	release := osRelease(h)
	end := release["SUPPORT_END"]
	if end == "" {
		end = distroInfoEnd(h, release["ID"], release["VERSION_ID"])
	}
	if end == "" {
		end = supportEnds[release["ID"]+" "+release["VERSION_ID"]]
	}
	if major, _, ok := strings.Cut(release["VERSION_ID"], "."); end == "" && ok {
		end = supportEnds[release["ID"]+" "+major]
	}
	last, err := time.Parse(time.DateOnly, end)
	if err != nil || h.Now().Before(last.Add(24*time.Hour)) || paidSupport(found) {
		return ""
	}
	return "support of this release ended on " + end
}

// osRelease reads os-release(5).
func osRelease(h *probe.Host) map[string]string {
	for _, name := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		data, err := h.ReadFile(name)
		if err != nil {
			continue
		}
		fields := make(map[string]string)
		for line := range strings.Lines(string(data)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				fields[key] = strings.Trim(value, `"'`)
			}
		}
		return fields
	}
	return nil
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
			for _, site := range []string{"//esm.ubuntu.com/", "freexian.com/", "tuxcare.com/", "@esm.ubuntu.com/"} {
				if row.Enabled && strings.Contains(row.URI, site) {
					return true
				}
			}
		}
	}
	return false
}
