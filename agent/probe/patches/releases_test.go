package patches

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSupportOfReleases judges the 22nd of November 2026. "ends" is what speaks against
// the release, "" that nothing does.
func TestSupportOfReleases(t *testing.T) {
	const notKnown = "not known how long"
	for system, ends := range map[string]string{
		"ID=ubuntu VERSION_ID=12.04": "ended on 2017-04-28",
		"ID=ubuntu VERSION_ID=10.04": "older than 12.04, whose support ended on 2017-04-28",
		"ID=ubuntu VERSION_ID=18.10": "2019-07-18",
		"ID=ubuntu VERSION_ID=19.10": "2020-07-17",
		"ID=ubuntu VERSION_ID=21.04": "2022-01-20",
		"ID=ubuntu VERSION_ID=22.10": "2023-07-20",
		"ID=ubuntu VERSION_ID=24.04": "",
		"ID=ubuntu VERSION_ID=24.06": "older than 24.10",
		"ID=ubuntu VERSION_ID=26.02": notKnown,
		"ID=ubuntu VERSION_ID=26.10": notKnown, // half a year after one of five years: may end before it
		"ID=ubuntu VERSION_ID=x":     notKnown,

		"ID=debian VERSION_ID=6":                             "2016-02-29",
		"ID=debian VERSION_ID=5":                             "older than 6",
		"ID=debian VERSION_ID=11":                            "2026-08-31",
		"ID=debian VERSION_ID=13":                            "",
		"ID=debian VERSION_ID=14":                            "", // as long as 13
		"ID=debian":                                          "", // testing
		"ID=raspbian VERSION_ID=9":                           "2022-06-30",
		"ID=raspbian VERSION_ID=12":                          "",
		"ID=devuan VERSION_ID=3":                             "2024-06-30",
		"ID=devuan VERSION_ID=5":                             "",
		"ID=linuxmint VERSION_ID=19":                         "2023-04-30",
		"ID=linuxmint VERSION_ID=19.3":                       "2023-04-30",
		"ID=kali VERSION_ID=2020.1":                          "", // ADR 39 asks for its sources
		"ID=pop UBUNTU_CODENAME=impish":                      "2022-07-14",
		"ID=linuxmint VERSION_ID=6 DEBIAN_CODENAME=bookworm": "",
		"ID=linuxmint VERSION_ID=4 DEBIAN_CODENAME=buster":   "2024-06-30",
		"ID=zorin ID_LIKE=ubuntu,debian UBUNTU_CODENAME=focal VERSION_ID=16":   "2025-05-29",
		"ID=astra ID_LIKE=debian VERSION_CODENAME=stretch VERSION_ID=2":        "2022-06-30",
		"ID=elementary ID_LIKE=ubuntu UBUNTU_CODENAME=unheard VERSION_ID=20.1": notKnown,

		"ID=fedora VERSION_ID=30":                               "2020-05-26",
		"ID=fedora VERSION_ID=35":                               "2022-12-13",
		"ID=fedora VERSION_ID=20":                               "older than 29",
		"ID=fedora VERSION_ID=43":                               "",
		"ID=rhel VERSION_ID=5.11":                               "2017-03-31",
		"ID=rhel VERSION_ID=4":                                  "older than 5",
		"ID=rhel VERSION_ID=8.10":                               "",
		"ID=centos VERSION_ID=8":                                "2024-05-31",
		"ID=centos VERSION_ID=9":                                "",
		"ID=ol VERSION_ID=6.10":                                 "2021-03-31",
		"ID=ol VERSION_ID=7.9":                                  "2024-12-31",
		"ID=rocky VERSION_ID=9.4":                               "",
		"ID=almalinux VERSION_ID=10.0":                          "",
		"ID=scientific VERSION_ID=7.9":                          "2024-06-30",
		"ID=scientific VERSION_ID=8":                            notKnown,
		"ID=cloudlinux VERSION_ID=8.9 PLATFORM_ID=platform:el8": "",
		"ID=eurolinux ID_LIKE=rhel VERSION_ID=7 REDHAT_SUPPORT_PRODUCT_VERSION=7": "2024-06-30",
		"ID=amzn VERSION_ID=2018.03": "2023-12-31",
		"ID=amzn VERSION_ID=2017.09": "older than 2018",
		"ID=amzn VERSION_ID=2":       "2026-06-30",
		"ID=amzn VERSION_ID=2023":    "",

		"ID=opensuse VERSION_ID=13.2":         "2017-01-17",
		"ID=opensuse VERSION_ID=42.3":         "2019-07-01",
		"ID=opensuse-leap VERSION_ID=42.3":    "2019-07-01",
		"ID=opensuse-leap VERSION_ID=15.3":    "2022-12-31",
		"ID=opensuse-leap VERSION_ID=16.0":    "",
		"ID=opensuse-tumbleweed":              "",
		"ID=sles VERSION_ID=12.3":             "2019-06-30",
		"ID=sles VERSION_ID=12":               "2016-06-30",
		"ID=sles VERSION_ID=15":               "2019-12-31",
		"ID=sled VERSION_ID=15.6":             "2025-12-31",
		"ID=sles VERSION_ID=15.7":             "",
		"ID=sles VERSION_ID=15.8":             notKnown,
		"ID=alpine VERSION_ID=3.16.2":         "2024-05-23",
		"ID=alpine VERSION_ID=3.4.6":          "older than 3.8",
		"ID=alpine VERSION_ID=3.22.1":         "",
		"ID=alpine VERSION_ID=3.24.0":         "",
		"ID=alpine VERSION_ID=3.24_alpha2026": "",

		"ID=arch BUILD_ID=rolling":    "",
		"ID=endeavouros ID_LIKE=arch": "",
		"ID=gentoo VERSION_ID=2.17":   "",
		"ID=kylin VERSION_ID=V10":     notKnown,
		"":                            notKnown,

		"ID=amzn,2 VERSION_ID=1":                       notKnown, // an ID that goes on like a line of the table
		"ID=scientific,6,2020-11-30,7 VERSION_ID=2017": notKnown,
	} {
		fields := parseOSRelease(strings.NewReplacer(" ", "\n", ",", " ").Replace(system))
		distribution, version := lineage(fields)
		got := judgeRelease(distribution, version, func(day string) bool { return day < "2026-11-22" })
		if rolls(fields) {
			got = ""
		}
		if !strings.Contains(got, ends) || ends == "" && got != "" {
			t.Errorf("%s: %q, want %q", system, got, ends)
		}
	}
}

// TestSupportTableIsInOrder holds the form that judgeRelease relies on.
func TestSupportTableIsInOrder(t *testing.T) {
	distributions := regexp.MustCompile(`(?m)^[a-z-]+`).FindAllString(supportEnds, -1)
	if len(distributions) < 15 {
		t.Error(distributions)
	}
	for _, distribution := range distributions {
		table, step := supportTable(distribution)
		if len(table) < 2*step || len(table)%step != 0 {
			t.Fatalf("%s: %v", distribution, table)
		}
		for i := 0; i < len(table); i += step {
			if _, err := time.Parse(time.DateOnly, table[i+step-1]); err != nil || strings.Count(table[i], ".") != strings.Count(table[0], ".") {
				t.Errorf("%s: %s", distribution, table[i:i+step])
			}
			if i > 0 && !newerRelease(table[i], table[i-step]) {
				t.Errorf("%s: %s stands after %s", distribution, table[i], table[i-step])
			}
		}
	}
}

func newerRelease(a, b string) bool {
	x, y := versionParts(a, 2), versionParts(b, 2)
	return x != nil && y != nil && (x[0] > y[0] || x[0] == y[0] && x[1] > y[1])
}

func FuzzRelease(f *testing.F) {
	for _, seed := range []string{"ID=debian\nVERSION_ID=\"12\"\n", "ID=x\nID_LIKE=\"rhel fedora\"\nPLATFORM_ID=platform:el\n", "ID=ubuntu\nVERSION_ID=22.04.1.2", "UBUNTU_CODENAME=jammy\nVERSION_ID=99999999999999999999"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		system := parseOSRelease(text)
		distribution, version := lineage(system)
		rolls(system)
		judgeRelease(distribution, version, func(day string) bool { return day < "2026-11-22" })
	})
}
