package cmdb

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// edges are the relations of a moment, with since when they are where that is wanted.
func (f *fleet) edges(at time.Time, q EdgeQuery) []string {
	f.t.Helper()
	var out []string
	f.Do(func(tx *store.Tx) error {
		state, err := tx.Now(), error(nil)
		if !at.IsZero() {
			state, err = tx.AsOf(at)
		}
		if err != nil {
			return err
		}
		return Edges(tx, state, q, func(e Edge) error {
			line := fmt.Sprintf("%s %s %s", e.From, e.Relation, e.To)
			if q.FirstSeen {
				line += fmt.Sprintf(" %v", e.FirstSeen.Sub(t0))
			}
			out = append(out, f.short(line))
			return nil
		})
	})
	slices.Sort(out)
	return out
}

// shown are the same by the relations that each item shows.
func (f *fleet) shown() []string {
	f.t.Helper()
	first := map[string]string{}
	for _, it := range f.list(ListQuery{}) {
		d, err := f.view.Show(it.ID)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, r := range d.Relations {
			line := f.short(fmt.Sprintf("%s %s %s", it.ID, r.Relation, r.Item.ID))
			if _, ok := first[line]; !ok && r.source {
				first[line] = fmt.Sprint(" ", r.FirstSeen.Sub(t0))
			}
		}
	}
	var out []string
	for line, at := range first {
		out = append(out, line+at)
	}
	slices.Sort(out)
	return out
}

// step reports a random section of a host.
func (f *fleet) step(r *rapid.T) {
	host := f.hosts[rapid.SampledFrom([]string{"a", "b"}).Draw(r, "host")]
	names := rapid.SliceOfNDistinct(rapid.IntRange(0, 3), 0, 4, rapid.ID[int]).Draw(r, "names")
	section := rapid.SampledFrom([]facts.ID{facts.Packages, facts.Services, facts.Addresses}).Draw(r, "section")
	var rows []facts.Row
	for _, n := range names {
		name, version := fmt.Sprint("n", n), rapid.IntRange(1, 3).Draw(r, "version")
		switch section {
		case facts.Packages:
			for _, arch := range []string{"amd64", "i386"}[:1+n%2] {
				rows = append(rows, &facts.PackageRow{Name: name, Version: fmt.Sprint(version), Arch: arch, Source: "dpkg"})
			}
		case facts.Services:
			rows = append(rows, &facts.ServiceRow{Name: name, State: []string{"running", "stopped", "failed"}[version-1], Manager: "systemd"})
		default: // one address may be on two interfaces
			rows = append(rows, &facts.AddressRow{Interface: fmt.Sprint("eth", version), Address: fmt.Sprint("10.0.0.", n/2), Scope: "global"})
		}
	}
	f.Report(host, section, rows...)
}

// TestRelationsAndItemsInBulkAreThoseOfEachItem: over random histories what SQL reads in
// bulk is what the history of each item tells, now and as of each moment.
func TestRelationsAndItemsInBulkAreThoseOfEachItem(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		f := newFleet(t)
		defer f.Close()
		f.host("a")
		f.host("b")
		for i := range rapid.SampledFrom([]int{0, fewHosts}).Draw(r, "others") { // many are read in another way
			f.host(fmt.Sprint("other", i))
		}
		was := map[time.Time][]string{}
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			at := f.Now
			f.step(r)
			was[at] = f.edges(time.Time{}, EdgeQuery{FirstSeen: true})
		}
		f.catchUp()
		if d := cmp.Diff(f.shown(), f.edges(time.Time{}, EdgeQuery{FirstSeen: true})); d != "" {
			r.Fatalf("relations (-shown +in bulk):\n%s", d)
		}
		var alone []string
		for index := range uint32(len(f.hosts)) {
			set := store.HostSetOf(index + 1)
			alone = append(alone, f.edges(time.Time{}, EdgeQuery{FirstSeen: true, Hosts: &set})...)
		}
		if slices.Sort(alone); !slices.Equal(alone, f.edges(time.Time{}, EdgeQuery{FirstSeen: true})) {
			r.Fatalf("relations of each host alone: %q", alone)
		}
		for _, at := range slices.SortedFunc(maps.Keys(was), time.Time.Compare) {
			if d := cmp.Diff(was[at], f.edges(at, EdgeQuery{FirstSeen: true})); d != "" {
				r.Fatalf("as of %v (-then +now):\n%s", at.Sub(t0), d)
			}
		}
		f.Do(func(tx *store.Tx) error {
			for _, class := range []Class{Service, NetworkAddress} {
				if d := cmp.Diff(itemsBy(t, tx, class, true), itemsBy(t, tx, class, false)); d != "" {
					r.Fatalf("items of %s (-each +in bulk):\n%s", class, d)
				}
			}
			return nil
		})
	})
}

// itemsBy are the items of all hosts, by the history of each host or from one look at the log.
func itemsBy(t *testing.T, tx *store.Tx, class Class, each bool) (out []Item) {
	t.Helper()
	hosts, err := hostsOf(tx, tx.Now(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	take := func(it Item) error {
		out = append(out, it)
		return nil
	}
	if each {
		err = (&reader{tx: tx}).itemsOfHosts(class, hosts, take)
	} else {
		traces, err2 := readTraces(tx, class, hosts)
		for _, h := range hosts {
			if err = err2; err == nil {
				err = traces[h.ID].each(class, h, take)
			}
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRelationsAreFoundByTheirEnds(t *testing.T) {
	f := newFleet(t)
	a, b := f.host("a"), f.host("b")
	for _, id := range slices.Sorted(maps.Keys(f.hosts)) {
		f.Report(f.hosts[id], facts.Packages, &facts.PackageRow{Name: "openssl", Version: "3", Arch: "amd64", Source: "dpkg"}, &facts.PackageRow{Name: "bash", Version: "5", Arch: "amd64", Source: "dpkg"})
		f.Report(f.hosts[id], facts.Services, &facts.ServiceRow{Name: "nginx", State: "running", Manager: "systemd"})
	}
	set := store.HostSetOf(2)
	for name, c := range map[string]struct {
		q    EdgeQuery
		want int
	}{
		"all":             {EdgeQuery{}, 6},
		"from_shared":     {EdgeQuery{From: "software/dpkg/openssl"}, 2},
		"from_of_a_host":  {EdgeQuery{From: "service/" + a.String() + "/nginx"}, 1},
		"to":              {EdgeQuery{To: "operating_system/" + b.String()}, 3},
		"both":            {EdgeQuery{From: "software/dpkg/openssl", To: "operating_system/" + b.String()}, 1},
		"of_two_hosts":    {EdgeQuery{From: "service/" + a.String() + "/nginx", To: "operating_system/" + b.String()}, 0},
		"name":            {EdgeQuery{Relation: "runs_on"}, 2},
		"hosts":           {EdgeQuery{Hosts: &set}, 3},
		"hosts_and_other": {EdgeQuery{Hosts: &set, To: "operating_system/" + a.String()}, 0},
		"no_id":           {EdgeQuery{From: "nonsense"}, 0},
		"no_such_host":    {EdgeQuery{To: "operating_system/0000000000000000000000ffff"}, 0},
	} {
		for _, first := range []bool{false, true} {
			c.q.FirstSeen = first
			if got := f.edges(time.Time{}, c.q); len(got) != c.want {
				t.Errorf("%s: %d relations, want %d: %q", name, len(got), c.want, got)
			}
		}
	}
}
