package store

import (
	"fmt"
	"testing"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// packages is a section as a Debian server has it; hosts differ by install times.
func packages(t testing.TB, n, host int) []facts.Item {
	t.Helper()
	var rows []facts.Row
	for i := range n {
		name := fmt.Sprintf("lib%s-%s%d", []string{"perl", "python3", "gtk", "boost", "ssl"}[i%5], []string{"dev", "core", "data", "bin"}[i/5%4], i)
		rows = append(rows, &facts.PackageRow{Name: name, Version: fmt.Sprintf("%d.%d.%d-%d+deb12u%d", i%7, i%31, i%11, i%4, i%3), Arch: "amd64",
			Source: "dpkg", SourcePackage: name[:len(name)-2], Vendor: "Debian Maintainers <team@lists.debian.example>", SizeBytes: int64(i) * 7919,
			InstalledAt: facts.Time(1_700_000_000_000 + int64(host)*86_400_000 + int64(i/50)*1000), Category: []string{"libs", "perl", "python", "admin"}[i%4], Auto: i%3 != 0})
	}
	items, err := wire.Items(facts.Sort(rows))
	if err != nil {
		t.Fatal(err)
	}
	return items
}

func BenchmarkApplyFirstInventoryOf1500Rows(b *testing.B) {
	s, err := Open(Config{Path: b.TempDir() + "/" + FileName})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	items := packages(b, 1500, 0)
	u := update(facts.Packages, nil, items)
	n := 0
	for b.Loop() {
		n++
		id := identity.HostID{byte(n >> 16), byte(n >> 8), byte(n)}
		addHost(b, s, id)
		apply(b, s, Delivery{id, batch(1, u), t0})
	}
	if size, err := s.Size(); err == nil && n > 50 {
		b.ReportMetric(float64(size)/float64(n), "B/host")
	}
}

func BenchmarkApply100HostsDeltaOf5Rows(b *testing.B) {
	s, err := Open(Config{Path: b.TempDir() + "/" + FileName})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var base [100][]facts.Item
	ds := make([]Delivery, len(base))
	for h := range base {
		base[h] = packages(b, 1500, h)
		id := identity.HostID{byte(h + 1)}
		addHost(b, s, id)
		ds[h] = Delivery{id, batch(1, update(facts.Packages, nil, base[h])), t0}
	}
	for i := range ds {
		apply(b, s, ds[i])
	}
	if size, err := s.Size(); err == nil {
		b.Logf("%d bytes a host with 1,500 packages", size/int64(len(base)))
	}
	seq := uint64(1)
	for b.Loop() {
		b.StopTimer()
		seq++
		for h := range base {
			now := append([]facts.Item{}, base[h]...)
			for i := range 5 {
				at := (int(seq)*37 + i*211) % len(now)
				row, err := wire.DecodeRow(facts.Packages, now[at].Data)
				if err != nil {
					b.Fatal(err)
				}
				row.(*facts.PackageRow).Version = fmt.Sprintf("9.%d-1", seq)
				data, err := wire.EncodeRow(row)
				if err != nil {
					b.Fatal(err)
				}
				now[at].Data = data
			}
			ds[h].Batch = batch(seq, update(facts.Packages, base[h], now))
			base[h] = now
		}
		b.StartTimer()
		for _, o := range apply(b, s, ds...) {
			if o.Err != nil || len(o.Resync) > 0 {
				b.Fatalf("%+v", o)
			}
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	s, err := Open(Config{Path: b.TempDir() + "/" + FileName, NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	for h := range 50 {
		id := identity.HostID{byte(h + 1)}
		addHost(b, s, id)
		apply(b, s, Delivery{id, batch(1, update(facts.Packages, nil, packages(b, 1500, h))), t0})
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		report, err := Check(s.path)
		if err != nil || report.Err() != nil {
			b.Fatal(err, report.Err())
		}
		b.SetBytes(int64(report.Pages) * 4096)
	}
}
