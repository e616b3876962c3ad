package apitest

import (
	"time"

	"atalaya/collector/api/v1"
	"atalaya/shared/facts"
)

// Sample returns a fleet of three hosts: web1 is current, db1 needs security
// updates and a restart, and lab is silent with an index too old to judge.
func Sample() *Fleet {
	now, series := time.Date(2026, 3, 14, 9, 30, 0, 0, time.UTC), uint64(412)
	f := &Fleet{Now: now, Saved: []byte("state of the collector, as one file\n")}
	f.HostList = sampleHosts(now)
	f.sampleFacts(now)
	f.sampleItems(now)
	f.sampleAlerts(now)
	f.Found = v1.Scrub{Bytes: 6 << 20, Pages: 1536, Records: 40211, ElapsedSeconds: 0.018}
	f.State = v1.Status{
		Version: "0.1.0", StartedAt: now.Add(-49 * time.Hour), Sessions: 2, CIs: 1294,
		Hosts: v1.HostCounts{Total: 3, Online: 2, Silent: 1}, Series: &series,
		Alerts: v1.AlertCounts{Pending: 1, Firing: 1}, Changes: 5210, StoreBytes: 6 << 20, SeriesBytes: 37 << 20, LostBatches: 12,
		Warnings: []string{"1 host is silent: lab"},
	}
	return f
}

func sampleHosts(now time.Time) []v1.Host {
	yes, no := true, false
	count := func(n int) *int { return &n }
	return []v1.Host{
		{
			ID: "d0d0d0d0d0d0d0d0", Name: "db1", State: v1.HostOnline, OS: "Debian GNU/Linux 12 (bookworm)", OSID: "debian", Arch: "x86_64",
			Kernel: "6.1.0-18-amd64", AgentVersion: "0.1.0", EnrolledAt: now.Add(-90 * 24 * time.Hour), LastSeen: now.Add(-4 * time.Second),
			Machine: "Dell Inc. PowerEdge R650", CPUs: 32, MemoryBytes: 128 << 30, Addresses: []string{"10.0.0.20"}, Packages: count(612),
			Patch: v1.Verdict{Verdict: v1.VerdictPending, IndexTime: now.Add(-3 * time.Hour), Pending: 7, Security: 2, RebootRequired: &yes},
		},
		{
			ID: "1a1a1a1a1a1a1a1a", Name: "lab", State: v1.HostSilent, OS: "Ubuntu 24.04.1 LTS", OSID: "ubuntu", Arch: "aarch64",
			AgentVersion: "0.1.0", EnrolledAt: now.Add(-30 * 24 * time.Hour), LastSeen: now.Add(-26 * time.Hour), CPUs: 4, MemoryBytes: 8 << 30,
			Packages: count(1556), LostBatches: 12,
			Patch: v1.Verdict{Verdict: v1.VerdictUnknown, Reason: "the package index is 9 days old", IndexTime: now.Add(-9 * 24 * time.Hour)},
		},
		{
			ID: "3e3e3e3e3e3e3e3e", Name: "web1", State: v1.HostOnline, OS: "Debian GNU/Linux 12 (bookworm)", OSID: "debian", Arch: "x86_64",
			Kernel: "6.1.0-28-amd64", AgentVersion: "0.1.0", EnrolledAt: now.Add(-60 * 24 * time.Hour), LastSeen: now.Add(-9 * time.Second),
			Machine: "QEMU Standard PC", CPUs: 2, MemoryBytes: 4 << 30, Addresses: []string{"10.0.0.11", "2001:db8::11"}, Packages: count(431),
			Patch: v1.Verdict{Verdict: v1.VerdictCurrent, IndexTime: now.Add(-40 * time.Minute), RebootRequired: &no},
		},
	}
}

func (f *Fleet) sampleFacts(now time.Time) {
	section := func(status facts.Status, age time.Duration, rows ...any) v1.Section {
		return v1.Section{Status: status.String(), ObservedAt: now.Add(-age), KnownAt: now.Add(-age), RowCount: len(rows), Rows: Rows(rows...)}
	}
	openssl := facts.PackageRow{Name: "openssl", Version: "3.0.11-1~deb12u2", Arch: "amd64", Source: "dpkg", SizeBytes: 2293760}
	curl := facts.PackageRow{Name: "curl", Version: "7.88.1-10+deb12u12", Arch: "amd64", Source: "dpkg", SizeBytes: 501760}
	denied := section(facts.StatusDenied, time.Minute)
	denied.Reason = "cannot read /sys/firmware/dmi/tables/DMI: run the agent with CAP_DAC_READ_SEARCH"
	f.Facts = map[string]map[string]v1.Section{
		"3e3e3e3e3e3e3e3e": {
			"os":             section(facts.StatusOK, time.Minute, facts.OSRow{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Family: "linux", Arch: "x86_64"}),
			"packages":       section(facts.StatusOK, time.Minute, curl, openssl),
			"memory_modules": denied,
			"users":          section(facts.StatusOK, time.Minute, facts.UserRow{Name: "root", UID: 0, GID: 0, Home: "/root", Shell: "/bin/bash"}),
			"filesystems":    section(facts.StatusOK, time.Minute, facts.FilesystemRow{Mount: "/", Device: "/dev/vda1", Type: "ext4", SizeBytes: 41943040000}),
		},
	}
	f.Changes = map[string][]v1.Change{"3e3e3e3e3e3e3e3e": {
		{Seq: 17, At: now.Add(-50 * time.Hour), ObservedAt: now.Add(-50 * time.Hour), ReceivedAt: now.Add(-50 * time.Hour), Section: "memory_modules", Kind: v1.ChangeStatus,
			Text: "ok → denied"},
		{Seq: 4810, At: now.Add(-3 * time.Hour), ObservedAt: now.Add(-3 * time.Hour), ReceivedAt: now.Add(-3 * time.Hour), Section: "packages", Kind: v1.ChangeChanged, Item: "dpkg openssl amd64",
			Text: "version 3.0.11-1~deb12u2 → 3.0.15-1~deb12u1", Columns: []v1.ColumnChange{{Name: "version", Old: "3.0.11-1~deb12u2", New: "3.0.15-1~deb12u1"}}},
		{Seq: 5208, At: now.Add(-20 * time.Minute), ObservedAt: now.Add(-20 * time.Minute), ReceivedAt: now.Add(-20 * time.Minute), Section: "packages", Kind: v1.ChangeAdded, Item: "dpkg curl amd64",
			Text: "7.88.1-10+deb12u12", Columns: []v1.ColumnChange{{Name: "version", New: "7.88.1-10+deb12u12"}}},
	}}
	f.Installed = []v1.HostPackage{
		{HostID: "d0d0d0d0d0d0d0d0", Host: "db1", Name: "openssl", Version: "3.0.11-1~deb12u2", Arch: "amd64", Source: "dpkg", KnownAt: now.Add(-2 * time.Minute)},
		{HostID: "1a1a1a1a1a1a1a1a", Host: "lab", Name: "openssl", Version: "3.0.13-0ubuntu3.4", Arch: "arm64", Source: "dpkg", KnownAt: now.Add(-26 * time.Hour)},
		{HostID: "3e3e3e3e3e3e3e3e", Host: "web1", Name: "openssl", Version: "3.0.15-1~deb12u1", Arch: "amd64", Source: "dpkg", KnownAt: now.Add(-time.Minute)},
	}
	for _, h := range f.HostList {
		f.Patching = append(f.Patching, v1.PatchStatus{HostID: h.ID, Host: h.Name, Verdict: h.Patch})
	}
	held := 1
	f.Patching[0].Held = &held
	f.Patching[0].RebootReasons = []string{"linux-image-6.1.0-28-amd64 is installed, 6.1.0-18-amd64 runs"}
	f.Patching[0].Updates = []v1.Update{
		{Name: "libssl3", Arch: "amd64", Installed: "3.0.11-1~deb12u2", Candidate: "3.0.15-1~deb12u1", Origin: "Debian-Security:12/stable-security", Security: true, State: "pending", Source: "dpkg"},
		{Name: "postgresql-15", Arch: "amd64", Installed: "15.8-0", Candidate: "15.10-0", Origin: "Debian:12.9/stable", State: "held", Source: "dpkg", Reason: "held by an administrator"},
	}
}

func (f *Fleet) sampleItems(now time.Time) {
	first, last := now.Add(-60*24*time.Hour), now.Add(-time.Minute)
	item := func(id, class, name, host string, present bool) v1.CI {
		return v1.CI{ID: id, Class: class, Name: name, Host: host, Present: present, FirstSeen: first, LastSeen: last}
	}
	f.Items = []v1.CI{
		item("host/3e3e3e3e3e3e3e3e", "host", "web1", "", true),
		item("operating_system/3e3e3e3e3e3e3e3e", "operating_system", "Debian GNU/Linux 12 (bookworm)", "web1", true),
		item("service/3e3e3e3e3e3e3e3e/apache2", "service", "apache2", "web1", false),
		item("service/3e3e3e3e3e3e3e3e/nginx", "service", "nginx", "web1", true),
	}
	f.Items[0].Attributes = map[string]string{"arch": "x86_64", "machine": "QEMU Standard PC"}
	f.Relations = map[string][]v1.Relation{"host/3e3e3e3e3e3e3e3e": {
		{Relation: "runs", ID: "operating_system/3e3e3e3e3e3e3e3e", Class: "operating_system", Name: "Debian GNU/Linux 12 (bookworm)", Present: true, FirstSeen: first, LastSeen: last},
		{Relation: "runs", ID: "service/3e3e3e3e3e3e3e3e/nginx", Class: "service", Name: "nginx", Present: true, FirstSeen: first, LastSeen: last},
	}}
	f.Hit = map[string][]v1.Affected{"host/3e3e3e3e3e3e3e3e": {
		{ID: "operating_system/3e3e3e3e3e3e3e3e", Class: "operating_system", Name: "Debian GNU/Linux 12 (bookworm)", Distance: 1, Why: []v1.Step{{From: "host/3e3e3e3e3e3e3e3e", Relation: "runs", To: "operating_system/3e3e3e3e3e3e3e3e"}}},
		{ID: "service/3e3e3e3e3e3e3e3e/nginx", Class: "service", Name: "nginx", Distance: 2, Why: []v1.Step{
			{From: "host/3e3e3e3e3e3e3e3e", Relation: "runs", To: "operating_system/3e3e3e3e3e3e3e3e"},
			{From: "operating_system/3e3e3e3e3e3e3e3e", Relation: "runs", To: "service/3e3e3e3e3e3e3e3e/nginx"},
		}},
	}}
}

func (f *Fleet) sampleAlerts(now time.Time) {
	value, load := 0.0, 17.25
	f.RuleList = []v1.Rule{
		{Name: "HostSilent", Group: "hosts", Expr: "up == 0", ForSeconds: 120, Labels: map[string]string{"severity": "critical"}, State: v1.AlertFiring, Alerts: 1, EvaluatedAt: now.Add(-12 * time.Second)},
		{Name: "LoadHigh", Group: "hosts", Expr: "node_load1 > 16", ForSeconds: 600, Labels: map[string]string{"severity": "warning"}, State: v1.AlertPending, Alerts: 1, EvaluatedAt: now.Add(-12 * time.Second)},
	}
	f.AlertList = []v1.Alert{
		{ID: "a1", Name: "HostSilent", State: v1.AlertFiring, Severity: "critical", Host: "lab", Summary: "lab has not reported for 26 h", Labels: map[string]string{"host": "lab", "severity": "critical"},
			Value: &value, ActiveAt: now.Add(-26 * time.Hour), FiredAt: now.Add(-26*time.Hour + 2*time.Minute)},
		{ID: "a2", Name: "LoadHigh", State: v1.AlertPending, Severity: "warning", Host: "db1", Labels: map[string]string{"host": "db1", "severity": "warning"}, Value: &load, ActiveAt: now.Add(-3 * time.Minute)},
		{ID: "a3", Name: "HostSilent", State: v1.AlertResolved, Severity: "critical", Host: "web1", ActiveAt: now.Add(-50 * time.Hour), FiredAt: now.Add(-50 * time.Hour), ResolvedAt: now.Add(-49 * time.Hour)},
	}
	f.Events = map[string][]v1.AlertEvent{"a1": {
		{At: now.Add(-26 * time.Hour), State: v1.AlertPending},
		{At: now.Add(-26*time.Hour + 2*time.Minute), State: v1.AlertFiring, Note: "sent to webhook ops"},
	}}
	f.Samples = []v1.VectorSample{
		{Metric: map[string]string{"__name__": "node_load1", "host": "db1", "host_id": "d0d0d0d0d0d0d0d0"}, Value: v1.Point{Value: 17.25}},
		{Metric: map[string]string{"__name__": "node_load1", "host": "web1", "host_id": "3e3e3e3e3e3e3e3e"}, Value: v1.Point{Value: 0.42}},
	}
}
