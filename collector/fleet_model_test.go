package collector

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// The fleet of the figures: roles that share a base, each host on one of several patch
// levels, with a few packages that only it has. Packages are installed in the order of
// the installer, each host at its own moments, and one in ten at any time later.
const (
	fleetRoles    = 30
	fleetLevels   = 8
	basePackages  = 700
	rolePackages  = 840
	ownPackages   = 10
	catalogueSize = 40_000
)

// openssl is a package that every host has and every level moves: at the last level of
// thirty days, the seventh, it is 3.0.11. Every host has bash, too; chrony and nginx are
// the first packages of two roles.
const (
	openssl    = 0
	bash       = 1
	chronyRole = 0
	nginxRole  = 3
)

// roleCatalogue is which package of the catalogue is the nth of a role.
func roleCatalogue(role, n int) int {
	return basePackages + int(hashOf("role", role, n)%(catalogueSize-basePackages))
}

// installedColumn is the number of the column PackageRow.InstalledAt.
const installedColumn = 9

// distribution holds the packages that the fleet's hosts have, in their encoding.
type distribution struct {
	level    [catalogueSize][fleetLevels + 1]int8 // at which the version of a level came
	rank     [catalogueSize]int                   // in the order of the keys
	names    [catalogueSize]string
	versions map[[2]int]version // of package and level
	roles    [fleetRoles][]int  // packages of a role
	shared   map[int]map[facts.ID][]facts.Item
}

// version is a row without the moment of its installation.
type version struct {
	key string
	row []byte
}

func newDistribution() *distribution {
	c := &distribution{versions: map[[2]int]version{}, shared: map[int]map[facts.ID][]facts.Item{}}
	order := make([]int, catalogueSize)
	for n := range catalogueSize {
		order[n] = n
		kind := []string{"lib%s-perl%d", "python3-%s%d", "lib%s%d", "%s-data%d", "golang-%s%d-dev"}[hashOf("pkg", n)%5]
		c.names[n] = fmt.Sprintf(kind, []string{"net", "xml", "crypt", "gtk", "time", "parse", "image"}[hashOf("pkg", n)>>16%7], n)
		for l := 1; l <= fleetLevels; l++ {
			if c.level[n][l] = c.level[n][l-1]; hashOf("level", n, l)%100 == 0 {
				c.level[n][l] = int8(l) // about fifteen of a host's move with each level
			}
		}
	}
	c.names[openssl], c.names[bash] = "openssl", "bash"
	c.names[roleCatalogue(chronyRole, 0)], c.names[roleCatalogue(nginxRole, 0)] = "chrony", "nginx"
	for l := 1; l <= fleetLevels; l++ {
		c.level[openssl][l] = int8(l)
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(c.names[a], c.names[b]) })
	for i, n := range order {
		c.rank[n] = i
	}
	for role := range c.roles {
		for n := range rolePackages {
			c.roles[role] = append(c.roles[role], roleCatalogue(role, n))
		}
	}
	return c
}

func hashOf(parts ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, parts...) // a hash never fails
	return h.Sum64()
}

// row is a package of the catalogue at a patch level.
func (c *distribution) row(n, level int) *facts.PackageRow {
	h, patch := hashOf("pkg", n), uint64(0)
	if came := c.level[n][level]; came > 0 {
		patch = uint64(came) + 4
	} else if h%4 == 0 {
		patch = h >> 8 % 4
	}
	name, version := c.names[n], fmt.Sprintf("%d.%d.%d-%d+deb12u%d", h%9, h>>4%40, h>>9%20, h>>13%5, patch)
	if n == openssl {
		version = fmt.Sprintf("3.0.%d-1~deb12u1", 4+c.level[n][level])
	}
	return &facts.PackageRow{Name: name, Version: version,
		Arch: "amd64", Source: "dpkg", SourcePackage: name[:len(name)-1], Vendor: fmt.Sprintf("Debian Team %d <team%d@lists.debian.example>", h%300, h%300),
		SizeBytes: int64(h >> 20 % 50_000_000), Category: []string{"libs", "perl", "python", "admin", "doc"}[h%5], Auto: h%3 != 0}
}

func (c *distribution) version(n, level int) (version, error) {
	place := [2]int{n, int(c.level[n][level])}
	v, ok := c.versions[place]
	if !ok {
		row := c.row(n, level)
		data, err := wire.EncodeRow(row)
		if err != nil {
			return v, err
		}
		v = version{row.Key(), data}
		c.versions[place] = v
	}
	return v, nil
}

// install is a package on a host.
type install struct {
	n  int
	at time.Time
}

// installs are the packages of a host at a patch level, by key.
func (f *fleet) installs(host, level int) []install {
	rng := rand.New(rand.NewPCG(uint64(host), 1))
	at := f.start.Add(-time.Duration(30+rng.IntN(400)) * 24 * time.Hour)
	rows := make([]install, 0, basePackages+rolePackages+ownPackages)
	add := func(n int) {
		at = at.Add(time.Duration(rng.IntN(900)) * time.Millisecond)
		when := at
		if rng.IntN(10) == 0 {
			when = at.Add(time.Duration(rng.IntN(28*24*3600)) * time.Second)
		}
		if l := f.level[n][level]; l > 0 {
			when = f.start.Add(time.Duration(l)*96*time.Hour + time.Duration(host%3600)*time.Second + time.Duration(n%9)*time.Second)
		}
		rows = append(rows, install{n, when.Truncate(*fleetGrain)})
	}
	for n := range basePackages {
		add(n)
	}
	for _, n := range f.roles[host%fleetRoles] {
		add(n)
	}
	for range ownPackages {
		add(basePackages + rng.IntN(catalogueSize-basePackages))
	}
	order := make([]int, len(rows))
	for i, r := range rows {
		order[i] = f.rank[r.n]<<16 | i
	}
	slices.Sort(order)
	out := make([]install, 0, len(rows))
	for _, o := range order {
		if r := rows[o&0xffff]; len(out) == 0 || out[len(out)-1].n != r.n {
			out = append(out, r)
		}
	}
	return out
}

// item is a package on a host in its encoding.
func (f *fleet) item(in install, level int) facts.Item {
	v, err := f.version(in.n, level)
	if err != nil {
		f.t.Fatal(err)
	}
	data, err := wire.JoinRow(v.row, wire.AppendUint(nil, installedColumn, uint64(facts.TimeOf(in.at))))
	if err != nil {
		f.t.Fatal(err)
	}
	return facts.Item{Key: v.key, Data: data}
}

// first makes the batch of a host's first inventory.
func (f *fleet) first(host int) store.Delivery {
	b := wire.Batch{Epoch: 1, Seq: 1, Kind: wire.KindInventory, Checksum: uint32(host) | 1}
	sections := f.encoded(f.rest(host))
	for id, items := range f.sharedSections(host % fleetRoles) {
		sections[id] = items
	}
	for _, in := range f.installs(host, 0) {
		sections[facts.Packages] = append(sections[facts.Packages], f.item(in, 0))
	}
	for _, sec := range facts.Sections() {
		items, ok := sections[sec.ID]
		if !ok {
			continue
		}
		u := wire.SectionUpdate{Section: sec.ID, Status: facts.StatusOK, Full: true, At: f.start.UnixMilli(), Digest: facts.DigestOf(items)}
		for _, it := range items {
			u.Put = append(u.Put, it.Data)
		}
		if sec.ID == facts.Packages {
			f.digests[host] = u.Digest
		}
		b.Updates = append(b.Updates, u)
	}
	return store.Delivery{Host: f.id(host), Batch: b, Received: f.start}
}

func (f *fleet) encoded(rows map[facts.ID][]facts.Row) map[facts.ID][]facts.Item {
	out := map[facts.ID][]facts.Item{}
	for id, rows := range rows {
		items, err := wire.Items(facts.Sort(rows))
		if err != nil {
			f.t.Fatal(err)
		}
		out[id] = items
	}
	return out
}

// upgrade makes the batch of a host that goes to a patch level from the one below.
func (f *fleet) upgrade(host, level int, at time.Time) store.Delivery {
	u := wire.SectionUpdate{Section: facts.Packages, Status: facts.StatusOK, At: at.UnixMilli()}
	was, digest := f.installs(host, level-1), f.digests[host]
	for i, in := range f.installs(host, level) {
		if int(f.level[in.n][level]) != level {
			continue
		}
		it := f.item(in, level)
		digest = digest.Minus(f.item(was[i], level-1)).Plus(it)
		u.Put = append(u.Put, it.Data)
	}
	u.Digest, f.digests[host] = digest, digest
	b := wire.Batch{Epoch: 1, Seq: uint64(level) + 1, Kind: wire.KindInventory, Checksum: uint32(host) | 1, Updates: []wire.SectionUpdate{u}}
	return store.Delivery{Host: f.id(host), Batch: b, Received: at}
}

func (f *fleet) id(host int) identity.HostID {
	return identity.HostID{byte(host * 37), byte(host >> 16), byte(host >> 8), byte(host)}
}

// sharedSections are those that all hosts of a role have alike.
func (f *fleet) sharedSections(role int) map[facts.ID][]facts.Item {
	if f.shared[role] != nil {
		return f.shared[role]
	}
	out := map[facts.ID][]facts.Row{}
	for i := range 150 {
		n := i
		if i > 90 {
			n = role*60 + i
		}
		out[facts.Services] = append(out[facts.Services], &facts.ServiceRow{Name: fmt.Sprintf("service-%d", n), Description: fmt.Sprintf("The service number %d", n), Enabled: []string{"enabled", "static", "disabled"}[i%3],
			State: []string{"running", "stopped"}[(i/3+role%2*(i%40/39))%2], Exec: fmt.Sprintf("/usr/sbin/service-%d", n), Path: fmt.Sprintf("/lib/systemd/system/service-%d.service", n), Manager: "systemd"})
	}
	out[facts.Services][3*role].(*facts.ServiceRow).State = "failed"
	out[facts.SudoRules] = []facts.Row{&facts.SudoRuleRow{Who: fmt.Sprintf("team%d", role%4), WhoType: "group", Hosts: []string{"ALL"}, RunAs: []string{"root"}, Commands: []string{"ALL"}, File: "/etc/sudoers", Line: 20, Tool: "sudo"}}
	for i := range 50 {
		out[facts.Groups] = append(out[facts.Groups], &facts.GroupRow{Name: fmt.Sprintf("group%d", i), GID: int64(i)})
		if i < 30 {
			out[facts.Users] = append(out[facts.Users], &facts.UserRow{Name: fmt.Sprintf("user%d", i), UID: int64(i), GID: int64(i), Home: fmt.Sprintf("/home/user%d", i), Shell: "/bin/bash"})
		}
	}
	f.shared[role] = f.encoded(out)
	return f.shared[role]
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
	if host%4 == 0 {
		out[facts.Certificates] = []facts.Row{&facts.CertificateRow{Path: "/etc/ssl/" + name + ".pem", Role: "found", Subject: "CN=" + name, Issuer: "CN=Our CA", SHA256: strings.Repeat(id, 4),
			NotAfter: facts.TimeOf(f.start.Add(time.Duration(*fleetDays+1+host/4%90) * 24 * time.Hour)), KeyType: "rsa", KeyBits: 2048}}
		out[facts.RestartNeeded] = []facts.Row{&facts.RestartRow{Unit: "service-3.service", Process: "service-3", PID: int(hashOf(host) % 30000), Files: []string{"/usr/lib/libssl.so.3"}, Packages: []string{"openssl"}}}
	}
	if role == nginxRole {
		out[facts.ListeningSockets] = append(out[facts.ListeningSockets], &facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: 443, Process: "nginx", PID: int(hashOf(host) % 30000), Exe: "/usr/sbin/nginx"})
	}
	for i := range 20 {
		out[facts.ListeningSockets] = append(out[facts.ListeningSockets], &facts.ListeningSocketRow{Protocol: "tcp", Address: "0.0.0.0", Port: 20 + role%3*100 + i, Process: fmt.Sprintf("service-%d", i), PID: int(hashOf(host, i) % 30000), Exe: fmt.Sprintf("/usr/sbin/service-%d", i)})
	}
	return out
}
