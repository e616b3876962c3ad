package patches

import (
	"slices"
	"strconv"
	"strings"
)

// supportEnds are, by os-release's ID, the releases in the order of their versions, each
// with the last day on which it gets security updates for everybody; those of Debian
// and Ubuntu also with the codename by which their derivatives name them. All versions
// of one distribution have as many parts as tell its releases apart. Sources, as of
// February 2026: the tables of distro-info-data, https://wiki.debian.org/LTS,
// https://wiki.ubuntu.com/Releases, https://access.redhat.com/support/policy/updates/errata,
// https://www.centos.org/centos-linux-eol/, https://wiki.almalinux.org/release-notes/,
// https://rockylinux.org/download, https://alpinelinux.org/releases/,
// https://docs.fedoraproject.org/en-US/releases/eol/, https://en.opensuse.org/Lifetime,
// https://www.suse.com/lifecycle, https://aws.amazon.com/amazon-linux-2/faqs/,
// https://www.oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf, https://endoflife.date/.
var supportEnds = map[string]string{
	"debian": `6 squeeze 2016-02-29 7 wheezy 2018-05-31 8 jessie 2020-06-30 9 stretch 2022-06-30 10 buster 2024-06-30
		11 bullseye 2026-08-31 12 bookworm 2028-06-30 13 trixie 2030-06-30`,
	"ubuntu": `12.04 precise 2017-04-28 12.10 quantal 2014-05-16 13.04 raring 2014-01-27 13.10 saucy 2014-07-17
		14.04 trusty 2019-04-25 14.10 utopic 2015-07-23 15.04 vivid 2016-02-04 15.10 wily 2016-07-28
		16.04 xenial 2021-04-30 16.10 yakkety 2017-07-20 17.04 zesty 2018-01-13 17.10 artful 2018-07-19
		18.04 bionic 2023-05-31 18.10 cosmic 2019-07-18 19.04 disco 2020-01-23 19.10 eoan 2020-07-17
		20.04 focal 2025-05-29 20.10 groovy 2021-07-22 21.04 hirsute 2022-01-20 21.10 impish 2022-07-14
		22.04 jammy 2027-06-01 22.10 kinetic 2023-07-20 23.04 lunar 2024-01-25 23.10 mantic 2024-07-11
		24.04 noble 2029-05-31 24.10 oracular 2025-07-10 25.04 plucky 2026-01-15 25.10 questing 2026-07-09
		26.04 resolute 2031-05-29`,
	"devuan":     "1 2020-06-30 2 2022-06-30 3 2024-06-30 4 2026-08-31 5 2028-06-30 6 2030-06-30", // those of Debian
	"linuxmint":  "17 2019-04-30 18 2021-04-30 19 2023-04-30 20 2025-04-30 21 2027-04-30 22 2029-04-30",
	"rhel":       "5 2017-03-31 6 2020-11-30 7 2024-06-30 8 2029-05-31 9 2032-05-31 10 2035-05-31",
	"centos":     "5 2017-03-31 6 2020-11-30 7 2024-06-30 8 2024-05-31 9 2027-05-31 10 2030-01-01",
	"scientific": "6 2020-11-30 7 2024-06-30",
	"ol":         "5 2017-06-30 6 2021-03-31 7 2024-12-31 8 2029-07-31 9 2032-06-30 10 2035-06-30",
	"almalinux":  "8 2029-03-01 9 2032-05-31 10 2035-05-31",
	"rocky":      "8 2029-05-31 9 2032-05-31 10 2035-05-31",
	"fedora": `29 2019-11-26 30 2020-05-26 31 2020-11-24 32 2021-05-25 33 2021-11-30 34 2022-06-07 35 2022-12-13
		36 2023-05-16 37 2023-12-05 38 2024-05-21 39 2024-11-26 40 2025-05-13 41 2025-12-15 42 2026-05-13 43 2026-12-09`,
	"alpine": `3.8 2020-05-01 3.9 2020-11-01 3.10 2021-05-01 3.11 2021-11-01 3.12 2022-05-01 3.13 2022-11-01
		3.14 2023-05-01 3.15 2023-11-01 3.16 2024-05-23 3.17 2024-11-22 3.18 2025-05-09 3.19 2025-11-01
		3.20 2026-04-01 3.21 2026-11-01 3.22 2027-05-01 3.23 2027-11-01`,
	"opensuse": "13.1 2016-02-03 13.2 2017-01-17 42.1 2017-05-17 42.2 2018-01-26 42.3 2019-07-01",
	"opensuse-leap": `15.0 2019-12-03 15.1 2021-02-02 15.2 2022-01-04 15.3 2022-12-31 15.4 2023-12-07 15.5 2024-12-31
		15.6 2026-04-30 16.0 2027-10-31`,
	"sles": `11.4 2019-03-31 12.0 2016-06-30 12.1 2017-05-31 12.2 2018-03-31 12.3 2019-06-30 12.4 2020-06-30
		12.5 2024-10-31 15.0 2019-12-31 15.1 2021-01-31 15.2 2021-12-31 15.3 2022-12-31 15.4 2023-12-31
		15.5 2024-12-31 15.6 2025-12-31 15.7 2031-07-31 16.0 2027-11-30`,
	"amzn": "2 2026-06-30 2018 2023-12-31 2023 2029-06-30", // 2018.03 was the last of the first Amazon Linux
}

// supportedRelease is one release of supportEnds.
type supportedRelease struct{ version, codename, end string }

// supportTable unpacks supportEnds; nil for a distribution that it does not have.
func supportTable(distribution string) (table []supportedRelease) {
	words := strings.Fields(supportEnds[distribution])
	for len(words) > 0 {
		r := supportedRelease{version: words[0]}
		if words[1][0] > '9' {
			r.codename, words = words[1], words[1:]
		}
		r.end, words = words[1], words[2:]
		table = append(table, r)
	}
	return table
}

// judgeRelease says what speaks against a release's support, "" if nothing does. A
// release that is not listed has ended if a later one has. It goes on if it is later
// than all and their ends follow one another, as long as the last of them does: not
// where releases of long and short support alternate. Of all others it is not known.
func judgeRelease(distribution, version string, ended func(day string) bool) string {
	const notKnown = "it is not known how long this release is supported"
	table := supportTable(distribution)
	if len(table) == 0 {
		return notKnown
	}
	parts := strings.Count(table[0].version, ".") + 1
	wanted := versionParts(version, parts)
	if wanted == nil {
		return notKnown
	}
	inTurn, last := true, ""
	for _, r := range table {
		switch order := slices.Compare(wanted, versionParts(r.version, parts)); {
		case order == 0 && ended(r.end):
			return supportEndedOn(r.end)
		case order == 0:
			return ""
		case order < 0 && ended(r.end):
			return "this release is older than " + r.version + ", whose support ended on " + r.end
		case order < 0:
			return notKnown
		}
		inTurn, last = inTurn && r.end > last, r.end
	}
	if inTurn && !ended(last) {
		return ""
	}
	return notKnown
}

func supportEndedOn(day string) string { return "support of this release ended on " + day }

// versionParts are the first numbers of a version, 0 for those it does not have; nil if
// it has others.
func versionParts(version string, n int) []int {
	out := make([]int, n)
	for i, word := range strings.SplitN(version, ".", n+1) {
		number, err := strconv.Atoi(word)
		switch {
		case i == n:
		case err != nil:
			return nil
		default:
			out[i] = number
		}
	}
	return out
}

// lineage is the distribution and version by whose support a system lives: of a
// derivative of Debian or Ubuntu that names its base by codename the base's, of one of
// Red Hat's those of its platform, else its own.
func lineage(system map[string]string) (distribution, version string) {
	for _, base := range []struct{ distribution, codename string }{
		{"ubuntu", system["UBUNTU_CODENAME"]}, {"debian", system["DEBIAN_CODENAME"]},
	} {
		if v := byCodename(base.distribution, base.codename); v != "" {
			return base.distribution, v
		}
	}
	id, version := system["ID"], system["VERSION_ID"]
	like := strings.Fields(system["ID_LIKE"])
	switch platform := strings.TrimPrefix(system["PLATFORM_ID"], "platform:"); {
	case id == "opensuse-leap" && strings.HasPrefix(version, "42."): // older than 15.0
		return "opensuse", version
	case id == "raspbian" && version != "":
		return "debian", version
	case id == "sled", id == "sles_sap":
		return "sles", version
	case supportEnds[id] != "":
	case strings.HasPrefix(platform, "el"):
		return "rhel", platform[2:]
	case slices.Contains(like, "rhel") && system["REDHAT_SUPPORT_PRODUCT_VERSION"] != "":
		return "rhel", system["REDHAT_SUPPORT_PRODUCT_VERSION"]
	default:
		for _, base := range like {
			if v := byCodename(base, system["VERSION_CODENAME"]); v != "" {
				return base, v
			}
		}
	}
	return id, version
}

func byCodename(distribution, codename string) string {
	for _, r := range supportTable(distribution) {
		if codename != "" && r.codename == codename {
			return r.version
		}
	}
	return ""
}

// rolling are distributions without releases, and those that derivatives of them name.
var rolling = []string{"arch", "archarm", "gentoo", "kali", "manjaro", "opensuse-microos", "opensuse-slowroll", "opensuse-tumbleweed", "void"}

// rolls reports whether a system has no releases whose support could end: also Debian's
// testing and unstable, which have no version, and Alpine's edge.
func rolls(system map[string]string) bool {
	id, version := system["ID"], system["VERSION_ID"]
	return system["BUILD_ID"] == "rolling" || version == "" && (id == "debian" || id == "devuan") ||
		id == "alpine" && strings.Contains(version, "_alpha") ||
		slices.ContainsFunc(append(strings.Fields(system["ID_LIKE"]), id), func(name string) bool { return slices.Contains(rolling, name) })
}
