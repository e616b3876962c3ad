package collector

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"atalaya/collector/asset"
	"atalaya/collector/search"
	"atalaya/collector/store"
)

// fleetOwner is nobody for each hundredth host.
func fleetOwner(host int) string {
	if host%100 == 99 {
		return ""
	}
	return fmt.Sprintf("Owner %d", host%700)
}

// assets imports an asset of each host.
func (f *fleet) assets(n int) {
	var b strings.Builder
	b.WriteString("asset_tag,host,owner,location,status,purchased,price\n")
	for i := range n {
		fmt.Fprintf(&b, "IT-%06d,host%05d,%s,Room %d,in_use,2025-06-%02d,%d.50 EUR\n", i, i, fleetOwner(i), i%90, i%28+1, 500+i%2000)
	}
	book := asset.New(f.s)
	for _, what := range []string{"preview", "import", "the same again"} {
		before, begin := cpu(), time.Now()
		plan, err := book.Import(asset.Import{Content: []byte(b.String()), Key: asset.FieldTag, Apply: what != "preview", By: "test"})
		if err != nil || plan.Refused > 0 {
			f.t.Fatalf("%d refused, %v", plan.Refused, err)
		}
		f.t.Logf("%s of %d assets: %v, %v CPU (%d added, %d unchanged)", what, n, time.Since(begin), cpu()-before, plan.Added, plan.Unchanged)
	}
}

// TestSearchFigures measures searches over a fleet with an asset for each host:
//
//	go test ./collector -run SearchFigures -v -args -fleet 10000
func TestSearchFigures(t *testing.T) {
	n := *fleetHosts
	if n == 0 {
		t.Skip("give a number of hosts: -args -fleet 1000")
	}
	s, err := store.Open(store.Config{Path: filepath.Join(t.TempDir(), store.FileName), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	f := newFigureFleet(t, s, n)
	f.inventories(n)
	f.assets(n)
	x := search.New(s)
	var m0, m1 runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m0)
	before, begin := cpu(), time.Now()
	if err := x.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	built, took := cpu()-before, time.Since(begin)
	runtime.GC()
	runtime.ReadMemStats(&m1)
	t.Logf("index: %v, %v CPU, %d KB of memory, %d bytes a host", took, built, (m1.HeapAlloc-m0.HeapAlloc)>>10, (m1.HeapAlloc-m0.HeapAlloc)/uint64(n))
	pkg := f.row(5, 0)
	for _, text := range []string{
		"host00042", "host", "10.0.0.17", "IT-000123", "owner 17", `"owner 17" room`, pkg.Name, pkg.Name + " " + pkg.Version, "lib", "root", "service", "nothing-like-it", "in",
	} {
		a, err := x.Find(t.Context(), search.Query{Text: text, Limit: 20})
		if err != nil {
			t.Fatal(err)
		}
		used := cpu()
		f.quantiles(fmt.Sprintf("%-40s %5d found, partial %v", text, a.Total, a.Partial != ""), 100, func(int) {
			if _, err := x.Find(t.Context(), search.Query{Text: text, Limit: 20}); err != nil {
				t.Fatal(err)
			}
		})
		t.Logf("    %v CPU each", (cpu()-used)/100)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
