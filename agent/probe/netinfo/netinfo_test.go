package netinfo

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/probe"
	"atalaya/agent/probetest"
	"atalaya/shared/facts"
)

func TestRecordedHost(t *testing.T) {
	probetest.Golden(t, "debian-12-netinfo", New())
}

// TestWhatLiesOnAnInterfaceIsNoVeth: a macvlan leads to the one below it, a veth to its peer.
func TestWhatLiesOnAnInterfaceIsNoVeth(t *testing.T) {
	files := map[string]string{
		"sys/class/net/mv0/lower_eth0": "-> ../eth0", "sys/class/net/mt0/lower_eth0": "-> ../eth0", "sys/class/net/iv0/lower_eth0": "-> ../eth0",
		"sys/class/net/mt0/macvtap/tap5/dev": "240:1\n",
	}
	for i, name := range []string{"eth0", "mv0", "mt0", "iv0", "ve0", "dummy0"} {
		dir, address, link := "sys/class/net/"+name+"/", "02:00:00:00:00:0"+strconv.Itoa(i), "1"
		switch name {
		case "iv0":
			address = "02:00:00:00:00:00"
		case "ve0":
			link = "9"
		case "dummy0":
			link = "6"
		}
		for file, text := range map[string]string{"ifindex": strconv.Itoa(i + 1), "iflink": link, "type": "1", "addr_len": "6", "address": address, "uevent": "INTERFACE=" + name} {
			files[dir+file] = text + "\n"
		}
	}
	files["sys/class/net/eth0/device/vendor"] = "0x8086\n"
	var got []string
	for _, row := range probetest.Sections(probe.RootHost(probetest.Tree(t, files)), New())["interfaces"].Rows {
		i := row.(*facts.InterfaceRow)
		got = append(got, i.Name+" "+i.Type)
	}
	if diff := cmp.Diff("dummy0 virtual, eth0 ethernet, iv0 virtual, mt0 macvtap, mv0 macvlan, ve0 veth", strings.Join(got, ", ")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSameAsIP compares with iproute2 on the machine of the test.
func TestSameAsIP(t *testing.T) {
	ip, err := exec.LookPath("ip")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("ip(8) is not installed")
	}
	out, err := exec.Command(ip, "-j", "addr").Output()
	if err != nil {
		t.Skipf("ip -j addr: %v", err)
	}
	var links []struct {
		Link      string `json:"link"`
		IfName    string `json:"ifname"`
		IfIndex   int    `json:"ifindex"`
		MTU       int    `json:"mtu"`
		OperState string `json:"operstate"`
		LinkType  string `json:"link_type"`
		Address   string `json:"address"`
		Master    string `json:"master"`
		AddrInfo  []struct {
			Family, Local, Scope, Broadcast, Address string
			PrefixLen                                int
			Dynamic                                  bool
		} `json:"addr_info"`
	}
	if err := json.Unmarshal(out, &links); err != nil {
		t.Fatalf("ip -j addr: %v", err)
	}
	var want, got []string
	for _, l := range links {
		mac := l.Address
		if strings.Count(mac, ":") < 5 { // tunnels show an address of theirs
			mac = ""
		}
		want = append(want, strings.Join([]string{l.IfName, strconv.Itoa(l.IfIndex), strconv.Itoa(l.MTU), strings.ToLower(l.OperState), mac, l.Master}, " "))
		for _, a := range l.AddrInfo {
			want = append(want, strings.Join([]string{l.IfName, a.Family, a.Local, strconv.Itoa(a.PrefixLen), a.Scope, a.Broadcast, a.Address, strconv.FormatBool(a.Dynamic)}, " "))
		}
	}
	for _, r := range probe.RunOnce(context.Background(), probe.LiveHost(), New()).Readings {
		for _, row := range r.Rows {
			switch row := row.(type) {
			case *facts.InterfaceRow:
				got = append(got, strings.Join([]string{row.Name, strconv.Itoa(row.Index), strconv.Itoa(row.MTU), row.State, row.MAC, row.Master}, " "))
			case *facts.AddressRow:
				got = append(got, strings.Join([]string{row.Interface, row.Family, row.Address, strconv.Itoa(row.Prefix), row.Scope, row.Broadcast, row.Peer, strconv.FormatBool(row.Dynamic)}, " "))
			}
		}
	}
	if d := cmp.Diff(sorted(want), sorted(got)); d != "" {
		t.Errorf("ip -j addr (-) and we (+) differ:\n%s", d)
	}
}

// TestRoutesSameAsIP compares all routes but those of the table local.
func TestRoutesSameAsIP(t *testing.T) {
	ip, err := exec.LookPath("ip")
	if err != nil || runtime.GOOS != "linux" {
		t.Skip("ip(8) is not installed")
	}
	type hop struct{ Gateway, Dev string }
	type entry struct {
		Type, Dst, Protocol, Prefsrc, Table string
		Metric                              int
		hop
		Via      struct{ Host string }
		Nexthops []hop
	}
	var want, got []string
	for _, family := range []string{"inet", "inet6"} {
		out, err := exec.Command(ip, "-d", "-N", "-j", "-f", family, "route", "show", "table", "all").Output()
		if err != nil {
			t.Skipf("ip -j route: %v", err)
		}
		var list []entry
		if err := json.Unmarshal(out, &list); err != nil {
			t.Fatalf("ip -j route: %v", err)
		}
		for _, r := range list {
			if r.Table == "255" || r.Table == "local" || r.Type == "local" || r.Type == "anycast" || r.Type == "multicast" || r.Dev == "lo" && r.Metric > 1e9 {
				continue
			}
			if r.Gateway == "" {
				r.Gateway = r.Via.Host
			}
			if len(r.Nexthops) == 0 {
				r.Nexthops = []hop{r.hop}
			}
			if !strings.Contains(r.Dst, "/") && r.Dst != "default" {
				r.Dst += map[string]string{"inet": "/32", "inet6": "/128"}[family]
			}
			for _, n := range r.Nexthops {
				want = append(want, strings.Join([]string{family, r.Dst, n.Gateway, n.Dev, strconv.Itoa(r.Metric), r.Prefsrc}, " "))
			}
		}
	}
	for _, row := range probetest.Sections(probe.LiveHost(), New())["routes"].Rows {
		r := row.(*facts.RouteRow)
		if r.Type != "" && r.Family == "inet6" {
			r.Interface = "lo" // as ip writes them
		}
		got = append(got, strings.Join([]string{r.Family, r.Destination, r.Gateway, r.Interface, strconv.Itoa(r.Metric), r.Source}, " "))
	}
	if d := cmp.Diff(sorted(want), sorted(got)); d != "" {
		t.Errorf("ip -j route (-) and we (+) differ:\n%s", d)
	}
}

func TestNeighboursThatStay(t *testing.T) {
	files := map[string]string{
		"proc/net/route": "Iface\tDestination\tGateway\n" +
			"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n",
		"proc/net/arp": "IP address       HW type     Flags       HW address            Mask     Device\n" +
			"192.0.2.1        0x1         0x2         02:00:00:00:00:01     *        eth0\n" +
			"192.0.2.9        0x1         0x2         02:00:00:00:00:09     *        eth0\n" +
			"192.0.2.7        0x1         0x6         02:00:00:00:00:07     *        eth0\n" +
			"192.0.2.8        0x1         0x0         00:00:00:00:00:00     *        eth0\n",
	}
	root := probetest.Tree(t, files)
	p, h := New(), probe.RootHost(root)
	want := []facts.Row{
		&facts.NeighbourRow{Address: "192.0.2.1", Interface: "eth0", MAC: "02:00:00:00:00:01", Gateway: true},
		&facts.NeighbourRow{Address: "192.0.2.7", Interface: "eth0", MAC: "02:00:00:00:00:07", Permanent: true},
	}
	if d := cmp.Diff(want, probetest.Sections(h, p)["neighbours"].Rows); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	arp := strings.Replace(files["proc/net/arp"], "0x2         02:00:00:00:00:01", "0x0         00:00:00:00:00:00", 1)
	probetest.Write(t, root, "proc/net/arp", []byte(arp))
	if d := cmp.Diff(want, probetest.Sections(h, p)["neighbours"].Rows); d != "" {
		t.Errorf("while the gateway is looked for: -want +got:\n%s", d)
	}
}

func TestVLANs(t *testing.T) {
	got := parseVLANs("VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\neth0.5         | 5  | eth0\nmgmt | 4094 | bond0\nbad | x | y\n")
	if d := cmp.Diff(map[string]int{"eth0.5": 5, "mgmt": 4094}, got); d != "" {
		t.Error(d)
	}
}

func sorted(s []string) map[string]bool {
	m := make(map[string]bool)
	for _, x := range s {
		m[x] = true
	}
	return m
}

func TestNothingToReadIsUnsupported(t *testing.T) {
	for name, s := range probetest.Sections(probe.RootHost(t.TempDir()), New()) {
		if s.Status != facts.StatusUnsupported || len(s.Rows) > 0 {
			t.Errorf("%s: got %v %q, want unsupported", name, s.Status, s.Reason)
		}
	}
}

func TestMalformedLinesAreSkipped(t *testing.T) {
	for _, text := range []string{
		"", "\n", "eth0", "eth0 zz 00 0003 0 0 0 00 0 0 0", "eth0\t00000000\t010200C0\t0000\t0\t0\t0\t00000000",
	} {
		if got := parseRoutes4(text); len(got) != 0 {
			t.Errorf("parseRoutes4(%q) = %v, want none", text, got)
		}
	}
	for _, text := range []string{"", "0 1 2 3 4 5 6 7 8 9", strings.Repeat("f", 32) + " 99 " + strings.Repeat("0 ", 8)} {
		if got := parseRoutes6(text); len(got) != 0 {
			t.Errorf("parseRoutes6(%q) = %v, want none", text, got)
		}
	}
	for _, text := range []string{"", "0 1 2 3 4 5", strings.Repeat("f", 32) + " 04 99 20 80 eth0"} {
		if got := parseInet6(text); len(got) != 0 {
			t.Errorf("parseInet6(%q) = %v, want none", text, got)
		}
	}
}

func TestInterfaceThatVanishesIsLeftOut(t *testing.T) {
	h := probetest.Unpack(t, []byte("-- sys/class/net/bonding_masters --\nbond0\n-- sys/class/net/gone/ --\n"+
		"-- sys/class/net/eth0/ifindex --\n2\n-- sys/class/net/eth0/speed --\n4294967295\n"))
	s := probetest.Sections(h, New())["interfaces"]
	if len(s.Rows) != 1 || s.Status != facts.StatusOK {
		t.Fatalf("got %d rows, %v, want eth0 alone", len(s.Rows), s.Status)
	}
	if row := s.Rows[0].(*facts.InterfaceRow); row.SpeedBits != 0 || row.MAC != "" {
		t.Errorf("got %+v, want unknown speed and address to be absent", row)
	}
}

func TestAddressMessages(t *testing.T) {
	eth0 := []byte{2, 24, 0, 0, 7, 0, 0, 0, 8, 0, 1, 0, 192, 0, 2, 9, 8, 0, 2, 0, 192, 0, 2, 1}
	for _, c := range []struct {
		name string
		kind uint16
		in   []byte
		rows int
		fail bool
	}{
		{"one", 20, eth0, 1, false},
		{"other_message", 16, eth0, 0, false},
		{"other_family", 20, append([]byte{7}, eth0[1:]...), 0, false},
		{"nothing", 20, nil, 0, true},
		{"no_address", 20, eth0[:8], 0, true},
		{"flags_attribute", 20, append(eth0, 8, 0, 8, 0, 0, 1, 0, 0), 1, false},
		{"attribute_too_long", 20, []byte{2, 24, 0, 0, 7, 0, 0, 0, 99, 0, 1, 0}, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := addressList(map[int]string{7: "eth0"})
			err := l.visit(c.kind, c.in)
			if len(l.rows) != c.rows || (err != nil) != c.fail {
				t.Fatalf("got %d rows, error %v, want %d, %v", len(l.rows), err, c.rows, c.fail)
			}
			want := &facts.AddressRow{Interface: "eth0", Address: "192.0.2.1", Prefix: 24, Family: "inet", Scope: "global", Dynamic: true, Peer: "192.0.2.9"}
			if d := cmp.Diff(want, append(l.rows, want)[0]); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestListsAreBounded has a router with more routes than are read.
func TestListsAreBounded(t *testing.T) {
	l := routeList(map[int]string{7: "eth0"})
	var err error
	for n := 0; err == nil && n <= maxRows; n++ {
		err = l.visit(rtmNewRoute, []byte{2, 32, 0, 0, tableMain, 3, 0, 1, 0, 0, 0, 0, 8, 0, rtaDst, 0, 10, byte(n >> 16), byte(n >> 8), byte(n), 8, 0, rtaOif, 0, 7, 0, 0, 0})
	}
	if len(l.rows) != maxRows || err == nil || errors.Is(err, probe.ErrNetlinkRefused) {
		t.Errorf("%d rows, %v", len(l.rows), err)
	}
}

func TestLastAddress(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := lastAddress(netip.MustParsePrefix(in)).String(); got != want {
			t.Errorf("lastAddress(%s) = %s, want %s", in, got, want)
		}
	}
	f("192.0.2.2/24", "192.0.2.255")
	f("192.0.2.2/32", "192.0.2.2")
	f("10.1.2.3/0", "255.255.255.255")
}

func TestPortableReadingNamesLoopback(t *testing.T) {
	p := portableProbe{}
	res := probe.RunOnce(context.Background(), probe.LiveHost(), p)
	for _, r := range res.Readings {
		for _, row := range r.Rows {
			if i, ok := row.(*facts.InterfaceRow); ok && i.Type == "loopback" {
				return
			}
		}
	}
	t.Skip("no loopback interface here")
}

type portableProbe struct{}

func (portableProbe) Info() probe.Info {
	return probe.Info{Name: "portable", Sections: []facts.ID{facts.Interfaces, facts.Addresses}}
}

func (portableProbe) Collect(_ context.Context, _ *probe.Host, r *probe.Report) error {
	return collectPortable(r)
}

func FuzzAddressDump(f *testing.F) {
	f.Add([]byte{2, 24, 0, 0, 7, 0, 0, 0, 8, 0, 1, 0, 192, 0, 2, 9, 8, 0, 2, 0, 192, 0, 2, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		parseRouteMessage(b, nil)     // damage ends it
		parseNeighbourMessage(b, nil) // likewise
		rows, _ := parseAddressMessage(b, nil)
		for _, r := range rows {
			if _, err := netip.ParseAddr(r.Address); err != nil {
				t.Errorf("address %q: %v", r.Address, err)
			}
		}
	})
}

func FuzzNetTables(f *testing.F) {
	f.Add("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
	f.Add("Main:\n  |-- 192.0.2.2\n     /32 host LOCAL\n")
	f.Add("fe800000000000000000000000000001 04 40 20 80     eth0\n")
	f.Fuzz(func(t *testing.T, s string) {
		var connected []connectedRoute
		for _, rt := range parseRoutes4(s) {
			connected = append(connected, connectedRoute{rt.prefix, rt.device})
			rt.row("inet")
		}
		for _, rt := range parseRoutes6(s) {
			rt.row("inet6")
		}
		addressesOfTrie(s, connected)
		parseARP(s)
		parseVLANs(s)
		parseInet6(s)
	})
}

func BenchmarkCollect(b *testing.B) {
	probetest.Benchmark(b, probe.LiveHost(), New())
}
