package atalaya

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/agent"
	"atalaya/agent/probe"
	"atalaya/shared/identity"
)

// These tests play what happens to machines: each has a folder of hardware made up and
// a state folder, which are changed and copied under real agents and a real collector.

// machine is made up of files, with the state of its agent beside them.
type machine struct {
	s           *site
	root, state string
	cancel      context.CancelFunc
	ended       chan error
}

// Parts of machines.
const (
	fileUUID    = "sys/class/dmi/id/product_uuid"
	fileSystem  = "sys/class/dmi/id/product_serial"
	fileBoard   = "sys/class/dmi/id/board_serial"
	fileChassis = "sys/class/dmi/id/chassis_serial"
	fileMAC     = "sys/class/net/eth0/address"
	fileDisk    = "sys/block/sda/device/wwid"
	fileMachine = "etc/machine-id"
	fileName    = "etc/hostname"
	fileDpkg    = "var/lib/dpkg/status"
)

// newMachine makes a server whose hardware is like no other's.
func newMachine(s *site, name string) *machine {
	s.t.Helper()
	h := identity.NewHostID().String()[:8]
	m := &machine{s: s, root: filepath.Join(s.dir, h+".root"), state: filepath.Join(s.dir, h)}
	m.set(map[string]string{
		"etc/os-release": "ID=debian\nVERSION_ID=12\n", fileName: name, fileMachine: strings.Repeat(h, 4),
		fileUUID: "4c4c4544-0051-3610-8052-b4c0" + h, fileSystem: "S" + h, fileBoard: "CN72" + h, fileChassis: "C" + h,
		fileMAC: "3c:ec:ef:" + h[:2] + ":" + h[2:4] + ":" + h[4:6], "sys/class/net/eth0/device/vendor": "0x8086", fileDisk: "naa.5000c500" + h,
		fileDpkg: dpkg("1.0"),
	})
	s.t.Cleanup(func() {
		if m.cancel != nil {
			m.stop()
		}
	})
	return m
}

func dpkg(version string) string {
	return "Package: tool\nStatus: install ok installed\nArchitecture: amd64\nVersion: " + version + "\nMaintainer: A\nDescription: tool\n\n"
}

// set writes files of the machine; an empty one goes away.
func (m *machine) set(files map[string]string) {
	m.s.t.Helper()
	for name, text := range files {
		path := filepath.Join(m.root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if err == nil && text == "" {
			err = os.RemoveAll(path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text+"\n"), 0o600)
		}
		if err != nil {
			m.s.t.Fatal(err)
		}
	}
}

func (m *machine) enroll(replace bool) string {
	m.s.t.Helper()
	cfg := agent.DefaultConfig()
	cfg.StateDir = m.state
	got, err := agent.Enroll(context.Background(), cfg, agent.EnrollOptions{TokenFile: m.s.token(), Replace: replace, Host: probe.RootHost(m.root)})
	if err != nil {
		m.s.t.Fatal(err)
	}
	return got.ID
}

// start runs the agent until stop.
func (m *machine) start() {
	m.s.t.Helper()
	cfg := agent.DefaultConfig()
	cfg.StateDir, cfg.Interval, cfg.TextfileDir = m.state, time.Second, ""
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel, m.ended = cancel, make(chan error, 1)
	opt := agent.Options{Version: "test", Log: slog.New(slog.DiscardHandler), Host: probe.RootHost(m.root)}
	go func() { m.ended <- agent.Run(ctx, cfg, opt) }()
}

func (m *machine) stop() {
	m.s.t.Helper()
	m.cancel()
	m.cancel = nil
	if err := <-m.ended; err != nil {
		m.s.t.Error(err)
	}
}

// connected starts the agent and waits for its session.
func (m *machine) connected() {
	m.s.t.Helper()
	m.start()
	waitFor(m.s.t, 20*time.Second, "a session", func() error {
		st, err := agent.ReadStatus(m.state)
		if err == nil && st.Uplink.State != "connected" {
			err = errors.New(st.Uplink.LastError)
		}
		return err
	})
}

// delivered waits until all that the agent has gathered is with the collector.
func (m *machine) delivered() {
	m.s.t.Helper()
	m.connected()
	waitFor(m.s.t, 20*time.Second, "the packages", func() error {
		var doc hostDoc
		m.s.answer(&doc, "host", "show", m.id())
		if doc.Host.Packages == nil {
			return errors.New("not yet")
		}
		return nil
	})
}

// refused starts the agent and waits until it says so.
func (m *machine) refused(says string) {
	m.s.t.Helper()
	m.start()
	waitFor(m.s.t, 20*time.Second, "a refusal", func() error {
		st, err := agent.ReadStatus(m.state)
		if err == nil && !strings.Contains(st.Uplink.LastError, says) {
			err = fmt.Errorf("%s: %s", st.Uplink.State, st.Uplink.LastError)
		}
		return err
	})
	m.stop()
}

func (m *machine) id() string { return agent.HostID(m.state) }

// copyState gives the machine the state folder of another, as it is now.
func (m *machine) copyState(from *machine) {
	m.s.t.Helper()
	if err := os.RemoveAll(m.state); err != nil {
		m.s.t.Fatal(err)
	}
	entries, err := os.ReadDir(from.state)
	err = errors.Join(err, os.MkdirAll(m.state, 0o700))
	for _, e := range entries {
		if !e.Type().IsRegular() { // the socket of an agent that runs
			continue
		}
		b, readErr := os.ReadFile(filepath.Join(from.state, e.Name()))
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(m.state, e.Name()), b, 0o600))
	}
	if err != nil {
		m.s.t.Fatal(err)
	}
}

// identityDoc is what the tests read of `host why-same`.
type identityDoc struct {
	Host   string `json:"host"`
	Events []struct {
		Kind  string           `json:"kind"`
		Text  string           `json:"text"`
		Facts []map[string]any `json:"facts"`
	} `json:"events"`
	Copies []struct{ Kind, Hostname string } `json:"copies"`
	Merges []struct{ Kind, Other string }    `json:"merges"`
}

// happened holds the newest event of that kind of a host to its explanation.
func (s *site) happened(id, kind, says string) {
	s.t.Helper()
	var doc identityDoc
	s.answer(&doc, "host", "why-same", id)
	var all []string
	for _, e := range doc.Events {
		all = append(all, e.Kind+": "+e.Text)
		if e.Kind == kind {
			if !strings.Contains(e.Text, says) {
				s.t.Errorf("%s: %q does not say %q", kind, e.Text, says)
			}
			return
		}
	}
	s.t.Errorf("no event %s; there were %q", kind, all)
}

func (s *site) hosts() map[string]string {
	s.t.Helper()
	var doc struct {
		Hosts []struct{ ID, Name string } `json:"hosts"`
	}
	s.answer(&doc, "host", "list")
	out := map[string]string{}
	for _, h := range doc.Hosts {
		out[h.ID] = h.Name
	}
	return out
}

// same runs the agent and holds the host to the number it had.
func (m *machine) same(id, kind, says string) {
	m.s.t.Helper()
	m.connected()
	if got := m.id(); got != id {
		m.s.t.Errorf("it is host %s, was %s", got, id)
	}
	m.s.happened(id, kind, says)
	m.stop()
}

// TestTwelveThingsThatHappenToMachines: each has its one right outcome, with its reason.
func TestTwelveThingsThatHappenToMachines(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	bin(t, "atalaya")
	s := newSite(t)
	s.serve()
	fresh := func(t *testing.T, name string) (*machine, string) {
		t.Helper()
		s.t = t
		m := newMachine(s, name)
		id := m.enroll(false)
		m.connected()
		m.stop()
		return m, id
	}
	t.Run("rename", func(t *testing.T) {
		m, id := fresh(t, "old-name")
		m.set(map[string]string{fileName: "new-name"})
		m.same(id, "renamed", "old-name is now called new-name: same key; system uuid")
		if got := s.hosts()[id]; got != "new-name" {
			t.Errorf("it is listed as %q", got)
		}
	})
	t.Run("reimage", func(t *testing.T) { testReimage(t, s) })
	t.Run("agent-reinstalled", func(t *testing.T) {
		m, id := fresh(t, "reinstalled")
		m.wipe()
		m.enroll(false)
		m.same(id, "reinstalled", "lost its state: new key, same machine and installation; system uuid")
	})
	t.Run("board-swap", func(t *testing.T) {
		m, id := fresh(t, "board")
		m.set(map[string]string{fileUUID: "7d1e20c4-95aa-4f0e-9c1b-0f1e2d3c4b5a", fileBoard: "CN72NEW0001", fileMAC: "3c:ec:ef:aa:bb:01"})
		m.same(id, "board-swapped", "system serial, chassis serial, disk, machine-id agree; system uuid, board serial, network card differ")
	})
	t.Run("disk-moved", func(t *testing.T) {
		m, id := fresh(t, "moved")
		other := newMachine(s, "chassis")
		for _, name := range []string{fileUUID, fileSystem, fileBoard, fileChassis, fileMAC} {
			m.take(other, name)
		}
		m.same(id, "disk-moved", "disk, machine-id agree")
	})
	t.Run("network-card-replaced", func(t *testing.T) {
		m, id := fresh(t, "card")
		m.set(map[string]string{fileMAC: "3c:ec:ef:aa:bb:02"})
		m.same(id, "nic-replaced", "network card differ")
	})
	t.Run("state-folder-copied", func(t *testing.T) {
		copied := newMachine(s, "other-machine")
		testCopy(t, s, copied, "state-copied", "its state folder was copied (")
	})
	t.Run("virtual-machine-cloned", func(t *testing.T) {
		copied := newMachine(s, "clone")
		copied.set(map[string]string{fileDisk: "QM00001"}) // what QEMU calls every disk
		testCopy(t, s, copied, "vm-cloned", "its whole disk was copied, machine-id too (")
	})
	t.Run("snapshot-rolled-back", func(t *testing.T) { testRollback(t, s) })
	t.Run("ten-default-strings", func(t *testing.T) {
		s.t = t
		before := len(s.hosts())
		for i := range 10 {
			m := newMachine(s, fmt.Sprintf("box%d", i))
			m.set(map[string]string{fileUUID: "03000200-0400-0500-0006-000700080009", fileSystem: "Default string", fileBoard: "Default string",
				fileChassis: "To be filled by O.E.M.", fileDisk: "", fileMachine: "11112222333344445555666677778888"})
			m.enroll(false)
		}
		if got := len(s.hosts()) - before; got != 10 {
			t.Errorf("ten machines are %d hosts", got)
		}
	})
	t.Run("address-changed", func(t *testing.T) {
		m, id := fresh(t, "roaming")
		relay := natTo(t, s.agents)
		if err := os.WriteFile(filepath.Join(m.state, "collector"), []byte(relay+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		m.same(id, "address-changed", "comes from 127.0.0.2, before from 127.0.0.1: an address is no identity, same key; system uuid")
	})
	t.Run("removed-and-back", func(t *testing.T) { testRemoved(t, s) })
}

func (m *machine) wipe() {
	m.s.t.Helper()
	if err := os.RemoveAll(m.state); err != nil {
		m.s.t.Fatal(err)
	}
}

// take gives the machine a part of another.
func (m *machine) take(from *machine, name string) {
	m.s.t.Helper()
	b, err := os.ReadFile(filepath.Join(from.root, name))
	if err != nil {
		m.s.t.Fatal(err)
	}
	m.set(map[string]string{name: strings.TrimSpace(string(b))})
}

// testReimage: the same asset with its history goes on; the undo restores what was.
func testReimage(t *testing.T, s *site) {
	s.t = t
	m := newMachine(s, "imaged")
	id := m.enroll(false)
	m.delivered()
	m.stop()
	s.mustAsk("host", "tag", "add", id, "kept")
	before := s.mustAsk("host", "show", id, "--section", "packages", "--output", "csv")

	m.wipe()
	m.set(map[string]string{fileMachine: strings.Repeat("ab12cd34", 4), fileName: "imaged-anew", fileDpkg: dpkg("2.0")})
	m.enroll(false)
	m.same(id, "reimaged", "new key, same hardware; system uuid")
	waitFor(t, 20*time.Second, "the history over both installations", func() error {
		m.delivered()
		defer m.stop()
		if out := s.mustAsk("host", "history", id, "--section", "packages"); !strings.Contains(out, "2.0") || !strings.Contains(out, "1.0") {
			return errors.New(out)
		}
		return nil
	})

	if out := s.mustAsk("host", "unmerge", id); !strings.Contains(out, "reimaged") {
		t.Errorf("preview: %s", out)
	}
	s.mustAsk("host", "unmerge", id, "--yes")
	if after := s.mustAsk("host", "show", id, "--section", "packages", "--output", "csv"); after != before {
		t.Errorf("packages before and after:\n%s\n%s", before, after)
	}
	if got := s.hosts()[id]; got != "imaged" {
		t.Errorf("it is listed as %q", got)
	}
	if out := s.mustAsk("host", "show", id); !strings.Contains(out, "kept") {
		t.Errorf("the tag is gone: %s", out)
	}
	var doc identityDoc
	s.answer(&doc, "host", "why-same", id)
	other := doc.Merges[0].Other
	m.connected() // with the certificate of the host that it was
	waitFor(t, 20*time.Second, "the host of its own", func() error {
		if out := s.mustAsk("host", "show", other, "--section", "packages"); !strings.Contains(out, "2.0") {
			return errors.New(out)
		}
		return nil
	})
	m.stop()

	s.mustAsk("host", "merge", id, other, "--yes") // and together again, by hand
	if out := s.mustAsk("host", "show", id, "--section", "packages"); !strings.Contains(out, "2.0") {
		t.Errorf("after the merge: %s", out)
	}
	if out := s.mustAsk("host", "diff", id, "--from", "1h", "--section", "packages"); !strings.Contains(out, "2.0") {
		t.Errorf("difference over the merge: %s", out)
	}
	s.happened(id, "merged", "imaged-anew")
}

// testCopy: a machine with a copy of the key is refused, at once and by turns, and told
// what to do; then it is a host of its own.
func testCopy(t *testing.T, s *site, copied *machine, kind, says string) {
	s.t = t
	copied.s = s
	m := newMachine(s, "original-of-"+kind)
	id := m.enroll(false)
	m.connected()
	before := len(s.hosts())
	copied.copyState(m)
	if kind == "vm-cloned" {
		copied.take(m, fileMachine)
	}
	copied.refused("another machine has the key: " + says)
	if st, err := agent.ReadStatus(m.state); err != nil || st.Uplink.State != "connected" || st.Uplink.Sessions != 1 {
		t.Errorf("the original: %+v, %v", st.Uplink, err)
	}
	m.stop()
	copied.refused("atalaya-agent enroll --replace") // by turns
	s.happened(id, kind, says)
	if got := len(s.hosts()); got != before {
		t.Errorf("%d hosts, before %d", got, before)
	}
	if name := s.hosts()[id]; !strings.HasPrefix(name, "original") {
		t.Errorf("the copy named the original %q", name)
	}
	m.connected()
	m.stop()
	own := copied.enroll(true)
	copied.connected()
	copied.stop()
	if got := s.hosts(); own == id || len(got) != before+1 || got[own] == got[id] {
		t.Errorf("the copy enrolled as %s: %v", own, got)
	}
}

// testRollback: a machine is set back to a snapshot. It is the same; what it had told
// stays, what it tells now comes, nothing twice.
func testRollback(t *testing.T, s *site) {
	s.t = t
	m := newMachine(s, "snapshot")
	id := m.enroll(false)
	m.delivered()
	m.stop()
	snapshot := newMachine(s, "snapshot-kept")
	snapshot.copyState(m)

	m.set(map[string]string{fileDpkg: dpkg("1.1")})
	m.delivered()
	history := func() string { return s.mustAsk("host", "history", id, "--section", "packages", "--limit", "0") }
	waitFor(t, 20*time.Second, "the update", func() error {
		if !strings.Contains(history(), "1.1") {
			return errors.New(history())
		}
		return nil
	})
	m.stop()

	m.copyState(snapshot)
	m.set(map[string]string{fileDpkg: dpkg("1.0")})
	m.connected()
	s.happened(id, "set-back", "begins a new epoch and reports again; same key, system uuid")
	waitFor(t, 20*time.Second, "what holds now", func() error {
		if out := s.mustAsk("host", "show", id, "--section", "packages"); !strings.Contains(out, "1.0") {
			return errors.New(out)
		}
		return nil
	})
	m.stop()
	if got := strings.Count(history(), "1.1"); got != 2 { // 1.0 -> 1.1 and 1.1 -> 1.0
		t.Errorf("the update is %d times in the history:\n%s", got, history())
	}
	var doc identityDoc
	s.answer(&doc, "host", "why-same", id)
	if len(doc.Copies) > 0 {
		t.Errorf("it counts as a copy: %+v", doc.Copies)
	}
}

// testRemoved: a removed host is refused, comes back with its key when it is revived,
// and with a new token and key when it is not; a revoked key stays revoked.
func testRemoved(t *testing.T, s *site) {
	s.t = t
	m := newMachine(s, "sold")
	id := m.enroll(false)
	m.connected()
	m.stop()
	s.mustAsk("host", "remove", id, "--reason", "sold in May")
	m.refused("revoked")
	s.mustAsk("host", "revive", id)
	m.same(id, "revived", "1 of its keys are trusted again")

	s.mustAsk("host", "remove", id, "--reason", "sold in June")
	m.enroll(true)
	m.same(id, "came-back", "sold in June) and enrolled again")
	if len(s.hosts()[id]) == 0 {
		t.Error("it is not listed")
	}

	s.mustAsk("agent", "revoke", id)
	s.mustAsk("host", "remove", id)
	if out := s.mustAsk("host", "revive", id, "--output", "json"); !strings.Contains(out, `"revoked": true`) {
		t.Errorf("a revoked key came back: %s", out)
	}
	m.refused("revoked")
}

// natTo relays packets to a collector from another address, as a NAT does.
func natTo(t *testing.T, collector string) string {
	t.Helper()
	inside, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	outside, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(collector)))
	if err != nil {
		inside.Close()
		t.Skipf("no second loopback address here: %v", err)
	}
	client := make(chan net.Addr, 1)
	done := make(chan struct{}, 2)
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 1<<16)
		for {
			n, from, err := inside.ReadFrom(buf)
			if err != nil {
				return
			}
			select {
			case client <- from:
			default:
			}
			outside.Write(buf[:n]) // lost packets come again
		}
	}()
	go func() {
		defer func() { done <- struct{}{} }()
		buf := make([]byte, 1<<16)
		var to net.Addr
		for {
			n, err := outside.Read(buf)
			if err != nil && errors.Is(err, net.ErrClosed) {
				return
			}
			if to == nil {
				to = <-client
			}
			inside.WriteTo(buf[:n], to)
		}
	}()
	t.Cleanup(func() {
		inside.Close()
		outside.Close()
		<-done
		<-done
	})
	return inside.LocalAddr().String()
}
