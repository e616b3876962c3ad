package cmdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var t0 = time.UnixMilli(1_790_000_000_000).UTC()

// fleet is a store with hosts that report whole sections, and the view of it.
type fleet struct {
	*storetest.Fleet
	t     testing.TB
	view  *View
	hosts map[string]identity.HostID
}

func newFleet(t testing.TB) *fleet {
	t.Helper()
	f := storetest.New(t, t0)
	f.Step = time.Minute
	return &fleet{Fleet: f, t: t, view: New(f.Store), hosts: map[string]identity.HostID{}}
}

// host returns the host of that name, which it enrols at first.
func (f *fleet) host(name string) identity.HostID {
	f.t.Helper()
	id, ok := f.hosts[name]
	if !ok {
		id = f.Host(byte(len(f.hosts)+1), name)
		f.hosts[name] = id
	}
	return id
}

func (f *fleet) catchUp() {
	f.t.Helper()
	if err := f.view.CatchUp(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

// short writes ids with host names instead of host ids.
func (f *fleet) short(s string) string {
	for name, id := range f.hosts {
		s = strings.ReplaceAll(s, id.String(), name)
	}
	return s
}

// TestScripts runs testdata/rules/cmdb: facts in, relations and impact out. A script
// is a list of commands, each with indented lines that belong to it:
//
//	report HOST SECTION    one JSON row a line: the whole section from now on
//	relations              all relations of items that are present
//	gone                   items that are no longer there
//	impact REF             depth, item and way of everything that is hit
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("../../testdata/rules/cmdb/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runScript(t, string(data))
		})
	}
}

func runScript(t *testing.T, script string) {
	f := newFleet(t)
	lines := strings.Split(script, "\n")
	for i := 0; i < len(lines); {
		command, at := strings.Fields(lines[i]), i+1
		var body []string
		for i++; i < len(lines) && strings.HasPrefix(lines[i], "\t"); i++ {
			body = append(body, strings.TrimSpace(lines[i]))
		}
		if len(command) == 0 || command[0] == "#" {
			continue
		}
		var got []string
		switch {
		case command[0] == "report" && len(command) == 3:
			f.reportJSON(at, command[1], command[2], body)
			f.catchUp()
			continue
		case command[0] == "relations":
			got = f.relations()
		case command[0] == "gone":
			got = f.gone()
		case command[0] == "impact" && len(command) == 2:
			got = f.impact(command[1])
		default:
			t.Fatalf("line %d: unknown command %q", at, lines[at-1])
		}
		if d := cmp.Diff(body, got); d != "" {
			t.Errorf("line %d: %s (-want +got):\n%s", at, strings.Join(command, " "), d)
		}
	}
}

func (f *fleet) reportJSON(line int, host, section string, body []string) {
	f.t.Helper()
	sec, ok := facts.ByName(section)
	if !ok {
		f.t.Fatalf("line %d: no section %q", line, section)
	}
	var rows []facts.Row
	for i, b := range body {
		row := sec.New()
		d := json.NewDecoder(strings.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(row); err != nil {
			f.t.Fatalf("line %d: %v", line+i+1, err)
		}
		rows = append(rows, row)
	}
	f.Report(f.host(host), sec.ID, rows...)
}

func (f *fleet) list(q ListQuery) []Item {
	f.t.Helper()
	items, _, err := f.view.List(q)
	if err != nil {
		f.t.Fatal(err)
	}
	return items
}

func (f *fleet) relations() []string {
	f.t.Helper()
	var out []string
	for _, it := range f.list(ListQuery{}) {
		d, err := f.view.Show(it.ID)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, r := range d.Relations {
			if !r.source {
				continue
			}
			line := fmt.Sprintf("%s %s %s", it.ID, r.Relation, r.Item.ID)
			if v := r.Attributes["version"]; v != "" {
				line += " version=" + v
			}
			out = append(out, f.short(line))
		}
	}
	slices.Sort(out)
	return out
}

func (f *fleet) gone() []string {
	f.t.Helper()
	var out []string
	for _, it := range f.list(ListQuery{Gone: true}) {
		if !it.Present {
			out = append(out, f.short(it.ID)+" since "+strconv.Itoa(int(it.LastSeen.Sub(t0).Minutes()))+"m")
		}
	}
	return out
}

func (f *fleet) impact(ref string) []string {
	f.t.Helper()
	res, err := f.view.Impact(ref, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	var out []string
	for _, h := range res.Hits {
		line := fmt.Sprintf("%d %s:", h.Depth, h.Item.ID)
		for _, s := range h.Why {
			line += fmt.Sprintf(" %s -%s->", s.From, s.Relation)
		}
		out = append(out, f.short(line+" "+h.Item.ID))
	}
	return out
}

func (f *fleet) dump() map[string]string { return f.Dump(follower().Tables...) }

func TestViewKeptUpToDateEqualsTheRebuiltOne(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFleet(t)
		defer f.Close()
		f.host("a")
		f.host("b")
		present := map[string]bool{}
		for range rapid.IntRange(1, 15).Draw(r, "steps") {
			host := []string{"a", "b"}[rapid.IntRange(0, 1).Draw(r, "host")]
			names := rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 0, 4, rapid.ID[int]).Draw(r, "names")
			var rows []facts.Row
			section := facts.Packages
			if rapid.Bool().Draw(r, "services") {
				section = facts.Services
			}
			for id := range present {
				if strings.HasPrefix(id, fmt.Sprint(host, section)) {
					delete(present, id)
				}
			}
			for _, n := range names {
				name := fmt.Sprint("n", n)
				if section == facts.Packages {
					for _, arch := range []string{"amd64", "i386"}[:1+n%2] {
						rows = append(rows, &facts.PackageRow{Name: name, Version: fmt.Sprint(rapid.IntRange(1, 2).Draw(r, "version")), Arch: arch, Source: "dpkg"})
					}
				} else {
					rows = append(rows, &facts.ServiceRow{Name: name, Enabled: "enabled", Manager: "systemd"})
				}
				present[fmt.Sprint(host, section, name)] = true
			}
			f.Report(f.hosts[host], section, rows...)
			if rapid.Bool().Draw(r, "catch up") {
				f.catchUp()
			}
		}
		f.catchUp()
		kept := f.dump()
		distinct := map[string]bool{} // a package of two architectures says it twice
		for _, line := range f.relations() {
			line, _, _ = strings.Cut(line, " version=")
			distinct[line] = true
		}
		relations := len(distinct)
		if relations != len(present) {
			r.Fatalf("%d relations, want %d: %v", relations, len(present), present)
		}
		if err := f.view.Rebuild(context.Background()); err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(kept, f.dump()); d != "" {
			r.Fatalf("(-kept +rebuilt):\n%s", d)
		}
	})
}

func TestItemsAreFoundByWhatPeopleWrite(t *testing.T) {
	f := newFleet(t)
	a, b := f.host("web1"), f.host("web2")
	for _, id := range []identity.HostID{a, b} {
		f.Report(id, facts.OS, &facts.OSRow{ID: "debian", Name: "Debian 12", Family: "linux"})
		f.Report(id, facts.Packages, &facts.PackageRow{Name: "openssl", Version: "3", Source: "dpkg"})
		f.Report(id, facts.Services, &facts.ServiceRow{Name: "nginx", State: "running", Manager: "systemd"}, &facts.ServiceRow{Name: "idle", Enabled: "static", Manager: "systemd"})
	}
	f.Report(a, facts.Addresses, &facts.AddressRow{Interface: "eth0", Address: "10.0.0.1", Prefix: 24, Family: "inet", Scope: "global"},
		&facts.AddressRow{Interface: "lo", Address: "127.0.0.1", Prefix: 8, Family: "inet", Scope: "host"})
	f.catchUp()
	find := func(ref, want string) {
		t.Helper()
		d, err := f.view.Show(ref)
		if got := f.short(d.ID); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", ref, got, err, want)
		}
	}
	find("web1", "host/web1")
	find("host:web2", "host/web2")
	find("host/"+a.String(), "host/web1")
	find("operating_system:web1", "operating_system/web1")
	find("software:openssl", "software/dpkg/openssl")
	find("software/dpkg/openssl", "software/dpkg/openssl")
	find("service:web2/nginx", "service/web2/nginx")
	find("network_address:10.0.0.1", "network_address/web1/10.0.0.1")
	var ambiguous *AmbiguousError
	if _, err := f.view.Show("service:nginx"); !errors.As(err, &ambiguous) || len(ambiguous.IDs) != 2 {
		t.Errorf("service:nginx: got %v, want both hosts", err)
	}
	for _, ref := range []string{"db", "host:db", "printer:x", "service:web1/idle", "network_address:127.0.0.1", ""} {
		if d, err := f.view.Show(ref); err == nil {
			t.Errorf("%q found %q", ref, d.ID)
		}
	}
	list := func(q ListQuery, want string) {
		t.Helper()
		items, more, err := f.view.List(q)
		var got []string
		for _, it := range items {
			got = append(got, f.short(it.ID))
		}
		if g := fmt.Sprint(strings.Join(got, " "), " ", more); g != want || err != nil {
			t.Errorf("%+v: got %q, %v; want %q", q, g, err, want)
		}
	}
	list(ListQuery{Class: Service}, "service/web1/nginx service/web2/nginx false")
	list(ListQuery{Host: "web2", Class: Service}, "service/web2/nginx false")
	list(ListQuery{Name: "open*"}, "software/dpkg/openssl false")
	list(ListQuery{Limit: 3}, "host/web1 host/web2 operating_system/web1 true")
	var pages []string
	for after := ""; ; {
		items, more, err := f.view.List(ListQuery{Limit: 2, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range items {
			pages = append(pages, it.ID)
			after = it.ID
		}
		if !more {
			break
		}
	}
	var all []string
	for _, it := range f.list(ListQuery{}) {
		all = append(all, it.ID)
	}
	if d := cmp.Diff(all, pages); d != "" {
		t.Errorf("pages against the whole list:\n%s", d)
	}
	if d, _ := f.view.Show("software:openssl"); len(d.Relations) != 2 || d.Relations[0].Attributes["version"] != "3" {
		t.Errorf("openssl: %+v", d.Relations)
	}
	if res, err := f.view.Impact("software:openssl", 1); err != nil || len(res.Hits) != 2 {
		t.Errorf("impact one deep: %+v, %v", res, err)
	}
}

// TestAHostIsSeenFromItsFirstFactOn: what its spool tells of the time before it enrolled counts.
func TestAHostIsSeenFromItsFirstFactOn(t *testing.T) {
	f := newFleet(t)
	a := f.host("web1")
	early := t0.Add(-24 * time.Hour)
	f.Send(a, wire.SectionUpdate{Section: facts.Services, Status: facts.StatusEmpty, Full: true, At: early.UnixMilli()})
	if d, err := f.view.Show("host:web1"); err != nil || !d.FirstSeen.Equal(early) {
		t.Errorf("first seen %s, %v; want %s", d.FirstSeen, err, early)
	}
}

func TestFirstAndLastSeenSurviveAComeback(t *testing.T) {
	f := newFleet(t)
	a := f.host("web1")
	nginx := &facts.ServiceRow{Name: "nginx", State: "running", Manager: "systemd"}
	f.Report(a, facts.Services, nginx)
	f.Report(a, facts.Services)
	f.catchUp()
	d, err := f.view.Show("service:nginx")
	if err != nil || d.Present || !d.FirstSeen.Equal(t0) || !d.LastSeen.Equal(t0.Add(time.Minute)) || len(d.Relations) != 0 {
		t.Errorf("gone: %+v, %v", d, err)
	}
	f.Report(a, facts.Services, nginx)
	f.catchUp()
	d, err = f.view.Show("service:nginx")
	if err != nil || !d.Present || !d.FirstSeen.Equal(t0) || len(d.Relations) != 1 || !d.Relations[0].FirstSeen.Equal(t0.Add(2*time.Minute)) {
		t.Errorf("back: %+v, %v", d, err)
	}
}

func TestRelationsTableIsSound(t *testing.T) {
	ids := map[RelationID]bool{}
	for _, r := range Relations() {
		if ids[r.ID] {
			t.Errorf("relation %d twice", r.ID)
		}
		ids[r.ID] = true
		if r.Name == "" || r.Inverse == "" || r.Cardinality == "" || r.Impact == 0 || r.From.String() == "unknown" || r.To.String() == "unknown" {
			t.Errorf("relation %+v is not complete", r)
		}
	}
}
