package collector

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"atalaya/collector/cmdb"
	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// fleetHosts is how many hosts the figures of the state file are made with:
//
//	go test ./collector -run FleetFigures -v -args -fleet 10000 -days 30
var (
	fleetHosts = flag.Int("fleet", 0, "hosts of TestFleetFigures, 0: it is skipped")
	fleetGrain = flag.Duration("grain", time.Second, "precision of the moments of installation in TestFleetFigures")
	fleetCMDB  = flag.Bool("cmdb", true, "keep the CMDB in TestFleetFigures")
	fleetDays  = flag.Int("days", 30, "days of changes of TestFleetFigures")
)

// The fleet of the figures: roles that share a base, each host on one of several patch
// levels, with a few packages that only it has, installed at its own moments.
const (
	fleetRoles    = 30
	fleetLevels   = 8
	basePackages  = 700
	rolePackages  = 840
	ownPackages   = 10
	catalogueSize = 40_000
)

type fleet struct {
	t     *testing.T
	s     *store.Store
	views []func(context.Context) error
	start time.Time
	told  []map[facts.ID][]facts.Item
	seqs  []uint64
}

func hashOf(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...) // a hash never fails
	return h.Sum64()
}

// moves reports whether a package has another version at a patch level than at the one
// before: about fifteen of a host's do.
func moves(n, level int) bool { return level > 0 && hashOf("level", n, level)%100 == 0 }

// pkg is a package of the catalogue at a patch level.
func pkg(n, level int, at facts.Time) facts.Row {
	h := hashOf("pkg", n)
	patch := uint64(0)
	for ; level > 0 && !moves(n, level); level-- {
	}
	if level > 0 {
		patch = uint64(level) + 4
	} else if h%4 == 0 {
		patch = h >> 8 % 4
	}
	kind := []string{"lib%s-perl%d", "python3-%s%d", "lib%s%d", "%s-data%d", "golang-%s%d-dev"}[h%5]
	name := fmt.Sprintf(kind, []string{"net", "xml", "crypt", "gtk", "time", "parse", "image"}[h>>16%7], n)
	return &facts.PackageRow{Name: name, Version: fmt.Sprintf("%d.%d.%d-%d+deb12u%d", h%9, h>>4%40, h>>9%20, h>>13%5, patch),
		Arch: "amd64", Source: "dpkg", SourcePackage: name[:len(name)-1], Vendor: fmt.Sprintf("Debian Team %d <team%d@lists.debian.example>", h%300, h%300),
		SizeBytes: int64(h >> 20 % 50_000_000), InstalledAt: at, Category: []string{"libs", "perl", "python", "admin", "doc"}[h%5], Auto: h%3 != 0}
}

// packages of a host at a patch level.
func (f *fleet) packages(host, level int) []facts.Row {
	role := host % fleetRoles
	rng := rand.New(rand.NewPCG(uint64(host), 1))
	installed := f.start.Add(-time.Duration(rng.IntN(400*24)) * time.Hour)
	at := installed
	var rows []facts.Row
	add := func(n int) {
		at = at.Add(time.Duration(rng.IntN(900)) * time.Millisecond)
		when := at
		for l := level; l > 0; l-- {
			if moves(n, l) { // it came with a later level
				when = f.start.Add(time.Duration(l)*96*time.Hour + time.Duration(host%3600)*time.Second)
				break
			}
		}
		when = when.Truncate(*fleetGrain)
		rows = append(rows, pkg(n, level, facts.TimeOf(when)))
	}
	for n := range basePackages {
		add(n)
	}
	for n := range rolePackages {
		add(basePackages + int(hashOf("role", role, n)%(catalogueSize-basePackages)))
	}
	for range ownPackages {
		add(basePackages + rng.IntN(catalogueSize-basePackages))
	}
	return rows
}

// rest are all other sections of a host.
func (f *fleet) rest(host int) map[facts.ID][]facts.Row {
	role, name := host%fleetRoles, fmt.Sprintf("host%05d", host)
	ip := fmt.Sprintf("10.%d.%d.%d", host>>16, host>>8&255, host&255)
	id := fmt.Sprintf("%016x", hashOf("id", host))
	out := map[facts.ID][]facts.Row{
		facts.OS: {&facts.OSRow{ID: "debian", Name: "Debian GNU/Linux 12 (bookworm)", Version: "12.5", Family: "linux", Arch: "x86_64", Hostname: name, MachineID: id}},
		facts.Kernel: {&facts.KernelRow{Release: fmt.Sprintf("6.1.0-%d-amd64", 10+host%8), Running: true, Version: "#1 SMP PREEMPT_DYNAMIC Debian", Arch: "x86_64",
			Cmdline: "BOOT_IMAGE=/boot/vmlinuz root=UUID=" + id}, &facts.KernelRow{Release: "6.1.0-9-amd64"}},
		facts.System: {&facts.SystemRow{Manufacturer: "Dell Inc.", Product: fmt.Sprintf("PowerEdge R%d40", role%9), Serial: id[:7], UUID: id + id}},
		facts.BIOS:   {&facts.BIOSRow{Vendor: "Dell Inc.", Version: fmt.Sprintf("2.%d.1", host%6), UEFI: true}},
		facts.CPUs:   {&facts.CPURow{Model: fmt.Sprintf("Intel Xeon Silver 42%02d", role), Vendor: "GenuineIntel", Cores: 16, Threads: 32, Flags: "fpu vme de pse tsc msr pae"}},
		facts.Addresses: {&facts.AddressRow{Interface: "lo", Address: "127.0.0.1", Prefix: 8, Family: "inet", Scope: "host"},
			&facts.AddressRow{Interface: "eth0", Address: ip, Prefix: 16, Family: "inet", Scope: "global"}, &facts.AddressRow{Interface: "eth0", Address: "fe80::" + id[:4], Prefix: 64, Family: "inet6", Scope: "link"}},
		facts.Interfaces: {&facts.InterfaceRow{Name: "lo", Type: "loopback", MTU: 65536}, &facts.InterfaceRow{Name: "eth0", MAC: "52:54:00:" + id[:2] + ":" + id[2:4] + ":" + id[4:6], MTU: 1500, State: "up", Type: "ethernet", SpeedBits: 1e10}},
		facts.Routes:     {&facts.RouteRow{Destination: "default", Gateway: "10.0.0.1", Interface: "eth0", Family: "inet"}, &facts.RouteRow{Destination: "10.0.0.0/16", Interface: "eth0", Family: "inet"}},
		facts.PatchState: {&facts.PatchStateRow{Verdict: "pending", Pending: 4, Security: 1, IndexTime: facts.TimeOf(f.start.Add(-time.Duration(host) * time.Second)), IndexMaxAgeSeconds: 86400}},
	}
	for i := range 4 {
		out[facts.MemoryModules] = append(out[facts.MemoryModules], &facts.MemoryModuleRow{Locator: fmt.Sprintf("DIMM_A%d", i), SizeBytes: 16 << 30, Type: "DDR4", SpeedMT: 3200, Manufacturer: "Samsung", Serial: id[i : i+8]})
		out[facts.Filesystems] = append(out[facts.Filesystems], &facts.FilesystemRow{Mount: []string{"/", "/boot", "/var", "/home"}[i], Device: fmt.Sprintf("/dev/mapper/vg-%d", i), Type: "ext4", Options: "rw,relatime", SizeBytes: int64(hashOf(host, i) % 1e12)})
		out[facts.BlockDevices] = append(out[facts.BlockDevices], &facts.BlockDeviceRow{Name: fmt.Sprintf("sda%d", i), Type: "part", SizeBytes: int64(hashOf(host, i) % 1e12), UUID: id + id[i:], MajorMinor: fmt.Sprintf("8:%d", i)})
		out[facts.Patches] = append(out[facts.Patches], &facts.PatchRow{Name: fmt.Sprintf("patch%d", (host+i)%40), Arch: "amd64", Installed: "1.0", Candidate: "1.1", Origin: "Debian:12/stable-security", State: "pending", Source: "dpkg"})
	}
	for i := range 150 {
		n := i
		if i > 90 {
			n = role*60 + i
		}
		out[facts.Services] = append(out[facts.Services], &facts.ServiceRow{Name: fmt.Sprintf("service-%d", n), Description: fmt.Sprintf("The service number %d", n), Enabled: []string{"enabled", "static", "disabled"}[i%3],
			State: []string{"running", "stopped"}[(i/3+host%2*(i%40/39))%2], Exec: fmt.Sprintf("/usr/sbin/service-%d", n), Path: fmt.Sprintf("/lib/systemd/system/service-%d.service", n), Manager: "systemd"})
	}
	for i := range 50 {
		out[facts.Groups] = append(out[facts.Groups], &facts.GroupRow{Name: fmt.Sprintf("group%d", i), GID: int64(i)})
		if i < 30 {
			out[facts.Users] = append(out[facts.Users], &facts.UserRow{Name: fmt.Sprintf("user%d", i), UID: int64(i), GID: int64(i), Home: fmt.Sprintf("/home/user%d", i), Shell: "/bin/bash"})
		}
		if i < 20 {
			out[facts.ListeningSockets] = append(out[facts.ListeningSockets], &facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: 20 + role%3*100 + i, Process: fmt.Sprintf("service-%d", i), PID: int(hashOf(host, i) % 30000), Exe: fmt.Sprintf("/usr/sbin/service-%d", i)})
		}
	}
	return out
}

// tell makes the batch that tells sections of a host, those told before as differences.
func (f *fleet) tell(host int, at time.Time, sections map[facts.ID][]facts.Row) store.Delivery {
	b := wire.Batch{Epoch: 1, Seq: f.seqs[host] + 1, Kind: wire.KindInventory, Checksum: uint32(hashOf(host, f.seqs[host])) | 1}
	f.seqs[host]++
	for _, sec := range facts.Sections() {
		rows, ok := sections[sec.ID]
		if !ok {
			continue
		}
		items, err := wire.Items(facts.Sort(rows))
		if err != nil {
			f.t.Fatal(err)
		}
		u := wire.SectionUpdate{Section: sec.ID, Status: facts.StatusOK, At: at.UnixMilli(), Digest: facts.DigestOf(items)}
		base, told := f.told[host][sec.ID]
		u.Full = !told
		d := facts.Diff(base, items)
		for _, it := range d.Put {
			u.Put = append(u.Put, it.Data)
		}
		u.Removed = d.Removed
		if sec.ID == facts.Packages {
			f.told[host][sec.ID] = items
		}
		b.Updates = append(b.Updates, u)
	}
	return store.Delivery{Host: f.id(host), Batch: b, Received: at}
}

func (f *fleet) id(host int) identity.HostID {
	return identity.HostID{byte(host * 37), byte(host >> 16), byte(host >> 8), byte(host)}
}

func (f *fleet) apply(ds []store.Delivery) {
	out, err := f.s.Apply(ds)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range out {
		if o.Err != nil || o.Failed != nil || len(o.Resync) > 0 {
			f.t.Fatalf("%+v", o)
		}
	}
}

func (f *fleet) catchUp() {
	for _, v := range f.views {
		if err := v(context.Background()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// cpu returns the processor time of the process so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func (f *fleet) sizes(what string, hosts int) {
	f.t.Helper()
	tables, err := f.s.Tables()
	if err != nil {
		f.t.Fatal(err)
	}
	total := uint64(0)
	for _, t := range tables {
		total += t.Pages
		f.t.Logf("  %-20s %9d records %12d bytes, %7.0f a host, %3.0f %% of the pages", t.Name, t.Records, t.Pages, float64(t.Pages)/float64(hosts), 100*float64(t.Bytes)/float64(t.Pages+1))
	}
	bySection := map[facts.ID]int{}
	err = f.s.View(func(tx *store.Tx) error {
		return tx.Table("store.held").Scan(nil, func(k, v []byte) error {
			bySection[facts.ID(binary.BigEndian.Uint16(k[4:]))] += len(k) + len(v) + 20
			return nil
		})
	})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, sec := range facts.Sections() {
		if n := bySection[sec.ID]; n > 0 {
			f.t.Logf("  of store.held: %-20s %6d a host", sec.Name, n/hosts)
		}
	}
	f.t.Logf("%s: %.0f bytes a host in pages in use", what, float64(total)/float64(hosts))
}

// quantiles runs q n times.
func (f *fleet) quantiles(what string, n int, q func(i int)) {
	f.t.Helper()
	var took []time.Duration
	for i := range n {
		begin := time.Now()
		q(i)
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	f.t.Logf("%s: p50 %v, p99 %v, of %d", what, took[n/2], took[n*99/100], n)
}

func TestFleetFigures(t *testing.T) {
	n := *fleetHosts
	if n == 0 {
		t.Skip("give a number of hosts: -args -fleet 1000")
	}
	path := filepath.Join(t.TempDir(), store.FileName)
	s, err := store.Open(store.Config{Path: path, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, s: s, start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), told: make([]map[facts.ID][]facts.Item, n), seqs: make([]uint64, n)}
	inv, ci := inventory.New(s), cmdb.New(s)
	f.views = append(f.views, inv.CatchUp)
	if *fleetCMDB {
		f.views = append(f.views, ci.CatchUp)
	}
	var store1, views1 time.Duration
	for h := 0; h < n; h += 50 {
		var ds []store.Delivery
		for i := h; i < min(n, h+50); i++ {
			f.told[i] = map[facts.ID][]facts.Item{}
			if err := s.Update(func(tx *store.Tx) error {
				return tx.PutHost(store.Host{ID: f.id(i), Name: fmt.Sprintf("host%05d", i), OS: "linux", Arch: "amd64", EnrolledAt: f.start})
			}); err != nil {
				t.Fatal(err)
			}
			sections := f.rest(i)
			sections[facts.Packages] = f.packages(i, 0)
			ds = append(ds, f.tell(i, f.start, sections))
		}
		begin := cpu()
		f.apply(ds)
		store1 += cpu() - begin
		begin = cpu()
		f.catchUp()
		views1 += cpu() - begin
	}
	t.Logf("first inventory: %v CPU a host in the store, %v in the views", store1/time.Duration(n), views1/time.Duration(n))
	f.sizes("after first inventories", n)
	f.changes(n)
	f.questions(inv, n)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	s, err = store.Open(store.Config{Path: path, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("open: %v", time.Since(begin))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// changes lets days go by: each host goes a patch level up every fourth day.
func (f *fleet) changes(n int) {
	var took time.Duration
	batches, rows := 0, 0
	for day := 1; day <= *fleetDays; day++ {
		var ds []store.Delivery
		for host := range n {
			if (host+day)%4 != 0 || day/4 >= fleetLevels {
				continue
			}
			at := f.start.Add(time.Duration(day)*24*time.Hour + time.Duration(host)*time.Second)
			d := f.tell(host, at, map[facts.ID][]facts.Row{facts.Packages: f.packages(host, day/4)})
			rows += len(d.Batch.Updates[0].Put) + len(d.Batch.Updates[0].Removed)
			if ds = append(ds, d); len(ds) == 50 {
				begin := cpu()
				f.apply(ds)
				took += cpu() - begin
				batches += len(ds)
				ds = ds[:0]
			}
		}
		begin := cpu()
		f.apply(ds)
		took += cpu() - begin
		batches += len(ds)
		f.catchUp()
	}
	if batches > 0 {
		f.t.Logf("%d deltas of %d rows: %v CPU each", batches, rows/batches, took/time.Duration(batches))
	}
	f.sizes(fmt.Sprintf("after %d days", *fleetDays), n)
}

func (f *fleet) questions(inv *inventory.View, n int) {
	row := pkg(0, 5, 0).(*facts.PackageRow)
	ask := func(at time.Time, i int) int {
		name := pkg(i%basePackages, 0, 0).(*facts.PackageRow).Name
		res, err := inv.FindPackage(inventory.PackageQuery{Name: name, Below: row.Version, Limit: 100, At: at})
		if err != nil {
			f.t.Fatal(err)
		}
		return res.Total
	}
	f.quantiles("package below a version", 2000, func(i int) { ask(time.Time{}, i) })
	for _, days := range []int{1, *fleetDays} {
		at := f.start.Add(time.Duration(*fleetDays-days+1) * 24 * time.Hour)
		f.quantiles(fmt.Sprintf("the same as of %d days ago", days), 10, func(i int) { ask(at, i) })
		f.quantiles(fmt.Sprintf("packages of one host as of %d days ago", days), 50, func(i int) {
			err := f.s.View(func(tx *store.Tx) error {
				state, err := tx.AsOf(at)
				if err != nil {
					return err
				}
				return state.Rows(uint32(i%n+1), facts.Packages, func(string, []byte) error { return nil })
			})
			if err != nil {
				f.t.Fatal(err)
			}
		})
	}
}
