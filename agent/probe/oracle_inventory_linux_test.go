package probe_test

import (
	"fmt"
	"maps"
	stdnet "net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/host"
	"github.com/shirou/gopsutil/v3/net"

	"atalaya/agent/probe"
	"atalaya/agent/probe/accounts"
	"atalaya/agent/probe/hardware"
	"atalaya/agent/probe/netinfo"
	"atalaya/agent/probe/osinfo"
	"atalaya/agent/probe/sockets"
	"atalaya/agent/probe/storage"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

// sameSet compares two lists as sets, each line once.
func sameSet(t *testing.T, what string, ours, theirs []string) {
	t.Helper()
	for _, list := range []*[]string{&ours, &theirs} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if !slices.Equal(ours, theirs) {
		t.Errorf("%s: ours\n  %s\ngopsutil's\n  %s", what, strings.Join(ours, "\n  "), strings.Join(theirs, "\n  "))
	}
}

func rowsOf[T any](sections map[string]probetest.Section, id facts.ID) (out []T) {
	for _, r := range sections[id.String()].Rows {
		out = append(out, r.(T))
	}
	return out
}

// TestInventoryAgreesWithGopsutil holds the sections that gopsutil knows something of
// to it, on this machine.
func TestInventoryAgreesWithGopsutil(t *testing.T) {
	l, err := stdnet.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	found := probetest.Sections(probe.LiveHost(), osinfo.New(), hardware.New(), netinfo.New(), storage.New(), accounts.New(), sockets.New(0))
	t.Run("host", func(t *testing.T) { sameHost(t, rowsOf[*facts.OSRow](found, facts.OS)) })
	t.Run("processors", func(t *testing.T) { sameProcessors(t, rowsOf[*facts.CPURow](found, facts.CPUs)) })
	t.Run("interfaces", func(t *testing.T) { sameInterfaces(t, found) })
	t.Run("mounts", func(t *testing.T) { sameMounts(t, rowsOf[*facts.MountRow](found, facts.Mounts)) })
	t.Run("users", func(t *testing.T) { sameUsers(t, rowsOf[*facts.LoginRow](found, facts.Logins)) })
	t.Run("listening", func(t *testing.T) {
		sameListening(t, rowsOf[*facts.ListeningSocketRow](found, facts.ListeningSockets), l.Addr().(*stdnet.TCPAddr).Port)
	})
}

func sameHost(t *testing.T, rows []*facts.OSRow) {
	info, err := host.InfoWithContext(t.Context())
	if err != nil || len(rows) != 1 {
		t.Fatal(err, rows)
	}
	got := []string{rows[0].ID, rows[0].Hostname, rows[0].Family, rows[0].Arch, rows[0].Version}
	if want := []string{info.Platform, info.Hostname, info.OS, info.KernelArch, info.PlatformVersion}; !slices.Equal(got, want) {
		t.Errorf("%q, gopsutil has %q", got, want)
	}
}

func sameProcessors(t *testing.T, rows []*facts.CPURow) {
	logical, errLogical := cpu.CountsWithContext(t.Context(), true)
	cores, errCores := cpu.CountsWithContext(t.Context(), false)
	info, err := cpu.InfoWithContext(t.Context())
	if err != nil || errLogical != nil || errCores != nil || len(rows) == 0 || len(info) == 0 {
		t.Fatal(err, errLogical, errCores, rows)
	}
	got, want := [2]int{}, [2]int{cores, logical}
	for _, r := range rows {
		got[0], got[1] = got[0]+r.Cores, got[1]+r.Threads
	}
	if got != want {
		t.Errorf("%v cores and threads, gopsutil has %v", got, want)
	}
	if r, i := rows[0], info[0]; r.Vendor != i.VendorID || r.Model != i.ModelName || r.Family != i.Family || r.ModelID != i.Model || r.Microcode != i.Microcode {
		t.Errorf("%+v, gopsutil has %+v", r, i)
	}
	flags := strings.Fields(rows[0].Flags)
	sameSet(t, "flags", flags, slices.Clone(info[0].Flags))
}

func sameInterfaces(t *testing.T, found map[string]probetest.Section) {
	nics, err := net.InterfacesWithContext(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var ours, theirs []string
	for _, r := range rowsOf[*facts.InterfaceRow](found, facts.Interfaces) {
		mac := strings.ReplaceAll(r.MAC, "00:00:00:00:00:00", "") // Go's library leaves that of lo out
		ours = append(ours, fmt.Sprint(r.Name, " ", r.Index, " ", r.MTU, " ", mac))
	}
	for _, r := range rowsOf[*facts.AddressRow](found, facts.Addresses) {
		ours = append(ours, fmt.Sprintf("%s %s/%d", r.Interface, r.Address, r.Prefix))
	}
	for _, n := range nics {
		theirs = append(theirs, fmt.Sprint(n.Name, " ", n.Index, " ", n.MTU, " ", n.HardwareAddr))
		for _, a := range n.Addrs {
			theirs = append(theirs, n.Name+" "+a.Addr)
		}
	}
	sameSet(t, "interfaces and addresses", ours, theirs)
}

func sameMounts(t *testing.T, rows []*facts.MountRow) {
	parts, err := disk.PartitionsWithContext(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	ours := make(map[string]bool)
	for _, r := range rows {
		if r.Mounted != nil && *r.Mounted {
			ours[r.Target+" "+r.Type] = true
		}
	}
	for _, p := range parts {
		if !ours[p.Mountpoint+" "+p.Fstype] {
			t.Errorf("no mount %s %s; ours are %q", p.Mountpoint, p.Fstype, slices.Sorted(maps.Keys(ours)))
		}
	}
}

func sameUsers(t *testing.T, rows []*facts.LoginRow) {
	users, err := host.UsersWithContext(t.Context())
	if err != nil {
		t.Skipf("no utmp here: %v", err)
	}
	var ours, theirs []string
	for _, r := range rows {
		if r.Session {
			ours = append(ours, r.User+" "+r.Line)
		}
	}
	for _, u := range users {
		theirs = append(theirs, u.User+" "+u.Terminal)
	}
	sameSet(t, "sessions", ours, theirs)
}

// sameListening looks for a socket of this program in both lists; others come and go.
func sameListening(t *testing.T, rows []*facts.ListeningSocketRow, port int) {
	connections, err := net.ConnectionsPidWithContext(t.Context(), "tcp4", int32(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(connections, func(c net.ConnectionStat) bool { return c.Status == "LISTEN" && c.Laddr.Port == uint32(port) })
	if i < 0 {
		t.Fatalf("gopsutil does not know port %d: %v", port, connections)
	}
	want := connections[i]
	for _, r := range rows {
		if r.Protocol == "tcp" && r.Port == port && r.Address == want.Laddr.IP && r.PID == int(want.Pid) && r.UID == int(want.Uids[0]) {
			return
		}
	}
	t.Errorf("gopsutil has %v, ours are %d others", want, len(rows))
}
