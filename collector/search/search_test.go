package search

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"atalaya/collector/asset"
	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// field is a fleet that tests make and search.
type field struct {
	*storetest.Fleet
	t    testing.TB
	x    *Index
	book *asset.Book
}

func newField(t testing.TB) *field {
	t.Helper()
	f := storetest.New(t, time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC))
	return &field{Fleet: f, t: t, x: New(f.Store), book: asset.New(f.Store)}
}

// host enrols a host and waits until the index looks for it.
func (f *field) host(n byte, name string, tags ...string) identity.HostID {
	f.t.Helper()
	id := f.Host(n, name, tags...)
	f.Now = f.Now.Add(2 * sweepEvery)
	return id
}

func (f *field) find(q Query) Answer {
	f.t.Helper()
	a, err := f.x.Find(f.t.Context(), q)
	if err != nil {
		f.t.Fatalf("%q: %v", q.Text, err)
	}
	return a
}

// lines writes an answer, a line for each group: name, rank, matches.
func lines(a Answer) (out []string) {
	for _, g := range a.Groups {
		line := g.Name + " " + g.Rank + ":"
		for _, m := range g.Matches {
			line += fmt.Sprintf(" %s.%s=%s", m.Section, m.Column, m.Text)
		}
		if g.More > 0 {
			line += fmt.Sprintf(" +%d", g.More)
		}
		out = append(out, line)
	}
	return out
}

func pkg(name, version string) *facts.PackageRow {
	return &facts.PackageRow{Name: name, Version: version, Arch: "amd64", Source: "dpkg"}
}

func TestSearchFindsEverythingAndRanksIt(t *testing.T) {
	f := newField(t)
	web, db, lab := f.host(1, "web1", "prod"), f.host(2, "db1"), f.host(3, "nginx-lab")
	f.Report(web, facts.Packages, pkg("nginx", "1.22.1-9"), pkg("nginx-common", "1.22.1-9"), pkg("libssl3", "3.0.11"))
	f.Report(db, facts.Packages, pkg("libnginx-mod", "1.22"), pkg("libssl3", "3.0.11"))
	f.Report(web, facts.System, &facts.SystemRow{Manufacturer: "Dell Inc.", Product: "PowerEdge R640", Serial: "5CG1234XYZ"})
	f.Report(web, facts.Interfaces, &facts.InterfaceRow{Name: "eth0", MAC: "52:54:00:AB:cd:01"})
	f.Report(web, facts.Addresses, &facts.AddressRow{Interface: "eth0", Address: "10.0.0.11", Prefix: 24, Family: "inet", Scope: "global"})
	f.Report(lab, facts.Users, &facts.UserRow{Name: "Ána", UID: 1000, GID: 1000, Home: "/home/ana", Shell: "/bin/bash"})
	f.Report(db, facts.Certificates, &facts.CertificateRow{Path: "/etc/ssl/db.pem", Subject: "CN=db.example.org", SHA256: "ab12"})
	if _, err := f.book.Add(asset.Edit{By: "ana", Set: map[string]string{"host": "db1", "owner": "Cleo Web", "location": "Madrid"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.book.Add(asset.Edit{By: "ana", Set: map[string]string{"asset_tag": "PRN-7", "kind": "printer", "location": "Madrid"}}); err != nil {
		t.Fatal(err)
	}
	check := func(text string, want ...string) {
		t.Helper()
		a := f.find(Query{Text: text, Limit: 10})
		if diff := cmp.Diff(want, lines(a)); diff != "" || a.Total != len(want) || a.Partial != "" {
			t.Errorf("%q: total %d, %q\n%s", text, a.Total, a.Partial, diff)
		}
	}
	check("nginx", "web1 exact: packages.name=nginx packages.name=nginx-common", "nginx-lab prefix: host.name=nginx-lab", "db1 part: packages.name=libnginx-mod")
	check("NGINX prod", "web1 exact: host.tag=prod packages.name=nginx packages.name=nginx-common")
	check("5cg1234xyz", "web1 exact: system.serial=5CG1234XYZ")
	check("52:54:00:ab", "web1 prefix: interfaces.mac=52:54:00:AB:cd:01")
	check("10.0.0.11", "web1 exact: addresses.address=10.0.0.11")
	check("ána", "nginx-lab exact: users.name=Ána")
	check("db.example.org", "db1 part: certificates.subject=CN=db.example.org")
	check(`"poweredge r640"`, "web1 exact: system.product=PowerEdge R640")
	check("madrid", "A2 (PRN-7) exact: asset.location=Madrid", "db1 exact: asset.location=Madrid")
	check("prn-7", "A2 (PRN-7) exact: asset.asset_tag=PRN-7")
	check("web", "web1 prefix: host.name=web1", "db1 part: asset.owner=Cleo Web")
	check("nothing like it")
	check("libssl3 madrid", "db1 exact: asset.location=Madrid packages.name=libssl3")
}

func TestSearchFollowsWhatChanges(t *testing.T) {
	f := newField(t)
	web := f.host(1, "web1")
	names := func(text string) (out []string) {
		for _, g := range f.find(Query{Text: text, Limit: 100}).Groups {
			out = append(out, g.Name)
		}
		return out
	}
	expect := func(text string, want ...string) {
		t.Helper()
		if got := names(text); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f.Report(web, facts.Packages, pkg("nginx", "1"))
	f.Report(web, facts.System, &facts.SystemRow{Serial: "SN-1"})
	expect("nginx", "web1")
	expect("sn-1", "web1")
	f.Report(web, facts.Packages, pkg("apache2", "1"))
	f.Report(web, facts.System, &facts.SystemRow{Serial: "SN-2"})
	expect("nginx")
	expect("apache2", "web1")
	expect("sn-1")
	expect("sn-2", "web1")
	a, err := f.book.Add(asset.Edit{By: "ana", Set: map[string]string{"name": "box", "location": "Lisbon"}})
	if err != nil {
		t.Fatal(err)
	}
	expect("lisbon", "A1 (box)")
	if _, _, err := f.book.Change("A1", asset.Edit{By: "ana", Set: map[string]string{"host": "web1"}}); err != nil {
		t.Fatal(err)
	}
	expect("lisbon", "web1")
	if err := f.Store.Update(func(tx *store.Tx) error { return tx.RemoveHost(web, f.Now, "sold") }); err != nil {
		t.Fatal(err)
	}
	f.Now = f.Now.Add(2 * sweepEvery)
	expect("lisbon", "A1 (box)")
	expect("apache2")
	if _, err := f.book.Remove(a.Record.ID.String(), "ana", ""); err != nil {
		t.Fatal(err)
	}
	expect("lisbon")
	f.host(2, "web2")
	expect("web2", "web2")
}

func TestSearchPagesJoinToTheWhole(t *testing.T) {
	f := newField(t)
	for i := range 30 {
		id := f.host(byte(i+1), fmt.Sprintf("host-%02d", i))
		f.Report(id, facts.Packages, pkg(fmt.Sprintf("tool%d", i%3), "1"), pkg("bash", "5"))
	}
	for _, text := range []string{"tool", "tool1", "bash", "host-0", "ost- bash"} {
		whole := lines(f.find(Query{Text: text, Limit: 1000}))
		var joined []string
		for offset := 0; ; offset += 7 {
			page := lines(f.find(Query{Text: text, Limit: 7, Offset: offset}))
			if len(page) == 0 {
				break
			}
			joined = append(joined, page...)
		}
		if diff := cmp.Diff(whole, joined); diff != "" || len(whole) == 0 {
			t.Errorf("%q: %d groups\n%s", text, len(whole), diff)
		}
	}
}

func TestSearchRefusesWhatItCannotLookFor(t *testing.T) {
	f := newField(t)
	for text, want := range map[string]string{
		"": "want 1 to 8 words", "   ": "want 1 to 8 words", "a": "too short", "ab c": "too short", strings.Repeat("x", 201): "200 at most", `"`: "want 1 to 8 words",
		strings.Repeat("ab ", 9): "want 1 to 8 words",
	} {
		if _, err := f.x.Find(t.Context(), Query{Text: text, Limit: 1}); err == nil || !IsText(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.x.Find(ctx, Query{Text: "nginx", Limit: 1}); err == nil {
		t.Error("a search that was given up has an answer")
	}
}

func TestWordInManyRowsSaysThatItIsPartial(t *testing.T) {
	f := newField(t)
	id, other := f.host(1, "web1"), f.host(2, "web2")
	var rows []facts.Row
	for i := range maxSets + 10 {
		rows = append(rows, pkg(fmt.Sprintf("lib-%05d", i), "1"))
	}
	f.Report(id, facts.Packages, rows...)
	f.Report(other, facts.Users, &facts.UserRow{Name: "root"})
	if a := f.find(Query{Text: "lib-", Limit: 5}); a.Total != 1 || !strings.Contains(a.Partial, "10 more rows") || a.Groups[0].More == 0 {
		t.Errorf("%+v", a)
	}
	if a := f.find(Query{Text: fmt.Sprintf("lib-%05d", maxSets+5), Limit: 5}); a.Total != 1 || a.Partial != "" {
		t.Errorf("%+v", a)
	}
}

// TestSearchFindsWhatAPlainScanFinds compares with looking at every value of every host.
func TestSearchFindsWhatAPlainScanFinds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		f := newField(t)
		word := rapid.StringMatching(`[ab\-]{2,3}`)
		texts := map[string][]string{}
		for i := range rapid.IntRange(1, 6).Draw(rt, "hosts") {
			name := fmt.Sprintf("h%d", i)
			id := f.host(byte(i+1), name)
			texts[name] = append(texts[name], name, id.String())
			seen := map[string]bool{}
			var rows []facts.Row
			for range rapid.IntRange(0, 5).Draw(rt, "packages") {
				if p := rapid.StringMatching(`[abc\-]{1,6}`).Draw(rt, "package"); !seen[p] {
					seen[p] = true
					rows = append(rows, pkg(p, "1"))
					texts[name] = append(texts[name], p)
				}
			}
			f.Report(id, facts.Packages, rows...)
		}
		for range 5 {
			w := word.Draw(rt, "word")
			var want, got []string
			for name, list := range texts {
				if slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, w) }) {
					want = append(want, name)
				}
			}
			a := f.find(Query{Text: w, Limit: 100})
			for _, g := range a.Groups {
				got = append(got, g.Name)
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("%q:\n%s", w, diff)
			}
		}
	})
}
