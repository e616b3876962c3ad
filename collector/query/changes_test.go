package query

import (
	"slices"
	"testing"

	"atalaya/collector/store"
	"atalaya/shared/facts"
)

// TestVersionsAreOfItems: old_version and new_version are read without the hosts' own columns.
func TestVersionsAreOfItems(t *testing.T) {
	for _, s := range facts.Sections() {
		if slices.Contains(store.HostColumns(s.ID), "version") {
			t.Errorf("%s: hosts have a version of their own", s.Name)
		}
	}
}

// TestChangesAreCountedByKindAndSection: changes of other kinds are passed over before their
// rows are read, those that a condition leaves open are not.
func TestChangesAreCountedByKindAndSection(t *testing.T) {
	f := newSmallFleet(t)
	for where, want := range map[string]string{
		"section in ('users', 'groups')":                        "5",
		"section = 'users'":                                     "3",
		"section = 'users' and kind = 'added'":                  "2",
		"kind = 'changed'":                                      "1",
		"kind = 'CHANGED'":                                      "0",
		"kind = 'CHANGED' collate nocase":                       "1",
		"kind = 'changed' and kind = 'added'":                   "0",
		"kind = 'changed' or kind = 'status'":                   "7",
		"kind in ('changed', 'status')":                         "7",
		"kind <> 'added' and kind > 'b'":                        "7",
		"host = 'web2' and section in ('packages', 'services')": "4",
	} {
		if got := f.ask(Request{SQL: "select count(*) from changes where " + where}); got != want {
			t.Errorf("%s: %s, want %s", where, got, want)
		}
	}
}

// TestChangesOfOneItem: what a query keeps of an item does not pass from one change to another.
func TestChangesOfOneItem(t *testing.T) {
	f := newSmallFleet(t)
	f.Report(f.Host(4, "web3"), facts.Packages, deb("openssl", "3.0.9-1"))
	late := deb("openssl", "3.0.11-1")
	late.InstalledAt = facts.TimeOf(f.Now)
	f.Report(f.Host(4, "web3"), facts.Packages, late)
	f.Report(f.Host(1, "web1"), facts.Packages, deb("bash", "5.2-1"))
	got := f.ask(Request{SQL: "select host, kind, old_version, new_version, old ->> 'version', new ->> 'installed_at' from changes where item like '%openssl%' and kind <> 'added' order by seq"})
	want := "web2|changed|3.0.9-1|3.0.11-1|3.0.9-1|2026-11-20T08:00:00Z\n" +
		"web3|changed|3.0.9-1|3.0.11-1|3.0.9-1|2026-11-21T08:00:02Z\n" +
		"web1|removed|3.0.9-1|NULL|3.0.9-1|NULL"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	got = f.ask(Request{SQL: "select host, old_version, new_version from changes where item like '%openssl%' and kind <> 'added' order by seq"})
	if want := "web2|3.0.9-1|3.0.11-1\nweb3|3.0.9-1|3.0.11-1\nweb1|3.0.9-1|NULL"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
