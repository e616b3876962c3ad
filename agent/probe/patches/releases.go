package patches

import (
	"slices"
	"strconv"
	"strings"
)

// supportEnds are, by os-release's ID at the begin of a line, the releases in the order of
// their versions, each with the last day on which it gets security updates for
// everybody; those of Debian and Ubuntu also with the codename by which their
// derivatives name them. All versions of one distribution have as many parts as tell its
// releases apart. Devuan ends with Debian; 2018.03 was the last of the first Amazon
// Linux. It is one text, as a map takes 2 kB more. Sources, as of
// February 2026: the tables of distro-info-data, https://wiki.debian.org/LTS,
// https://wiki.ubuntu.com/Releases, https://access.redhat.com/support/policy/updates/errata,
// https://www.centos.org/centos-linux-eol/, https://wiki.almalinux.org/release-notes/,
// https://rockylinux.org/download, https://alpinelinux.org/releases/,
// https://docs.fedoraproject.org/en-US/releases/eol/, https://en.opensuse.org/Lifetime,
// https://www.suse.com/lifecycle, https://aws.amazon.com/amazon-linux-2/faqs/,
// https://www.oracle.com/a/ocom/docs/elsp-lifetime-069338.pdf, https://endoflife.date/.
const supportEnds = "\n" +
	"debian 6 squeeze 2016-02-29 7 wheezy 2018-05-31 8 jessie 2020-06-30 9 stretch 2022-06-30 10 buster 2024-06-30 " +
	"11 bullseye 2026-08-31 12 bookworm 2028-06-30 13 trixie 2030-06-30\n" +
	"ubuntu 12.04 precise 2017-04-28 12.10 quantal 2014-05-16 13.04 raring 2014-01-27 13.10 saucy 2014-07-17 " +
	"14.04 trusty 2019-04-25 14.10 utopic 2015-07-23 15.04 vivid 2016-02-04 15.10 wily 2016-07-28 " +
	"16.04 xenial 2021-04-30 16.10 yakkety 2017-07-20 17.04 zesty 2018-01-13 17.10 artful 2018-07-19 " +
	"18.04 bionic 2023-05-31 18.10 cosmic 2019-07-18 19.04 disco 2020-01-23 19.10 eoan 2020-07-17 " +
	"20.04 focal 2025-05-29 20.10 groovy 2021-07-22 21.04 hirsute 2022-01-20 21.10 impish 2022-07-14 " +
	"22.04 jammy 2027-06-01 22.10 kinetic 2023-07-20 23.04 lunar 2024-01-25 23.10 mantic 2024-07-11 " +
	"24.04 noble 2029-05-31 24.10 oracular 2025-07-10 25.04 plucky 2026-01-15 25.10 questing 2026-07-09 " +
	"26.04 resolute 2031-05-29\n" +
	"devuan 1 2020-06-30 2 2022-06-30 3 2024-06-30 4 2026-08-31 5 2028-06-30 6 2030-06-30\n" +
	"linuxmint 17 2019-04-30 18 2021-04-30 19 2023-04-30 20 2025-04-30 21 2027-04-30 22 2029-04-30\n" +
	"rhel 5 2017-03-31 6 2020-11-30 7 2024-06-30 8 2029-05-31 9 2032-05-31 10 2035-05-31\n" +
	"centos 5 2017-03-31 6 2020-11-30 7 2024-06-30 8 2024-05-31 9 2027-05-31 10 2030-01-01\n" +
	"scientific 6 2020-11-30 7 2024-06-30\n" +
	"ol 5 2017-06-30 6 2021-03-31 7 2024-12-31 8 2029-07-31 9 2032-06-30 10 2035-06-30\n" +
	"almalinux 8 2029-03-01 9 2032-05-31 10 2035-05-31\n" +
	"rocky 8 2029-05-31 9 2032-05-31 10 2035-05-31\n" +
	"fedora 29 2019-11-26 30 2020-05-26 31 2020-11-24 32 2021-05-25 33 2021-11-30 34 2022-06-07 35 2022-12-13 " +
	"36 2023-05-16 37 2023-12-05 38 2024-05-21 39 2024-11-26 40 2025-05-13 41 2025-12-15 42 2026-05-13 43 2026-12-09\n" +
	"alpine 3.8 2020-05-01 3.9 2020-11-01 3.10 2021-05-01 3.11 2021-11-01 3.12 2022-05-01 3.13 2022-11-01 " +
	"3.14 2023-05-01 3.15 2023-11-01 3.16 2024-05-23 3.17 2024-11-22 3.18 2025-05-09 3.19 2025-11-01 3.20 2026-04-01 " +
	"3.21 2026-11-01 3.22 2027-05-01 3.23 2027-11-01\n" +
	"opensuse 13.1 2016-02-03 13.2 2017-01-17 42.1 2017-05-17 42.2 2018-01-26 42.3 2019-07-01\n" +
	"opensuse-leap 15.0 2019-12-03 15.1 2021-02-02 15.2 2022-01-04 15.3 2022-12-31 15.4 2023-12-07 15.5 2024-12-31 " +
	"15.6 2026-04-30 16.0 2027-10-31\n" +
	"sles 11.4 2019-03-31 12.0 2016-06-30 12.1 2017-05-31 12.2 2018-03-31 12.3 2019-06-30 12.4 2020-06-30 " +
	"12.5 2024-10-31 15.0 2019-12-31 15.1 2021-01-31 15.2 2021-12-31 15.3 2022-12-31 15.4 2023-12-31 15.5 2024-12-31 " +
	"15.6 2025-12-31 15.7 2031-07-31 16.0 2027-11-30\n" +
	"amzn 2 2026-06-30 2018 2023-12-31 2023 2029-06-30\n"

// supportTable unpacks supportEnds: versions, codenames if any, and days, each that many
// words after the one before; none for a distribution that it does not have.
func supportTable(distribution string) (words []string, step int) {
	if strings.ContainsAny(distribution, " \n") {
		return nil, 2 // would be found within a line
	}
	_, text, _ := strings.Cut(supportEnds, "\n"+distribution+" ")
	text, _, _ = strings.Cut(text, "\n")
	if words = strings.Fields(text); len(words) > 0 && words[1][0] > '9' {
		return words, 3
	}
	return words, 2
}

// judgeRelease says what speaks against a release's support, "" if nothing does. A
// release that is not listed has ended if a later one has. It goes on if it is later
// than all and their ends follow one another, as long as the last of them does: not
// where releases of long and short support alternate. Of all others it is not known.
func judgeRelease(distribution, version string, ended func(day string) bool) string {
	const notKnown = "it is not known how long this release is supported"
	table, step := supportTable(distribution)
	if len(table) == 0 {
		return notKnown
	}
	parts := strings.Count(table[0], ".") + 1
	wanted := versionParts(version, parts)
	if wanted == nil {
		return notKnown
	}
	inTurn, last := true, ""
	for ; len(table) > 0; table = table[step:] {
		end := table[step-1]
		order := slices.Compare(wanted, versionParts(table[0], parts))
		switch over := ended(end); {
		case order == 0 && over:
			return supportEndedOn(end)
		case order == 0:
			return ""
		case order < 0 && over:
			return "this release is older than " + table[0] + ", whose support ended on " + end
		case order < 0:
			return notKnown
		}
		inTurn, last = inTurn && end > last, end
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
	words := strings.Split(version, ".")
	out := make([]int, n)
	for i := range min(n, len(words)) {
		var err error
		if out[i], err = strconv.Atoi(words[i]); err != nil {
			return nil
		}
	}
	return out
}

// lineage is the distribution and version by whose support a system lives: of a
// derivative of Debian or Ubuntu that names its base by codename the base's, of one of
// Red Hat's those of its platform, else its own.
func lineage(system map[string]string) (distribution, version string) {
	for _, base := range []string{"ubuntu", "debian"} {
		if v := byCodename(base, system[strings.ToUpper(base)+"_CODENAME"]); v != "" {
			return base, v
		}
	}
	id, version := system["ID"], system["VERSION_ID"]
	like := strings.Fields(system["ID_LIKE"])
	known, _ := supportTable(id)
	platform, el := strings.CutPrefix(system["PLATFORM_ID"], "platform:el")
	switch {
	case id == "opensuse-leap" && strings.HasPrefix(version, "42."): // older than 15.0
		return "opensuse", version
	case id == "raspbian" && version != "":
		return "debian", version
	case id == "sled", id == "sles_sap":
		return "sles", version
	case len(known) > 0:
	case el:
		return "rhel", platform
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
	table, _ := supportTable(distribution)
	if i := slices.Index(table, codename); i > 0 && codename[0] > '9' {
		return table[i-1]
	}
	return ""
}

// rolling are distributions without releases, and those that derivatives of them name.
const rolling = " arch archarm gentoo kali manjaro opensuse-microos opensuse-slowroll opensuse-tumbleweed void "

// rolls reports whether a system has no releases whose support could end: also Debian's
// testing and unstable, which have no version, and Alpine's edge.
func rolls(system map[string]string) bool {
	id, version := system["ID"], system["VERSION_ID"]
	return system["BUILD_ID"] == "rolling" || version == "" && (id == "debian" || id == "devuan") ||
		id == "alpine" && strings.Contains(version, "_alpha") ||
		slices.ContainsFunc(strings.Fields(id+" "+system["ID_LIKE"]), func(name string) bool { return strings.Contains(rolling, " "+name+" ") })
}
