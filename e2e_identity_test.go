package atalaya

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/agent"
)

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
	for _, event := range []struct {
		name string
		play func(*testing.T, *site)
	}{
		{"rename", testRename},
		{"reimage", testReimage},
		{"agent-reinstalled", testReinstall},
		{"board-swap", testBoardSwap},
		{"disk-moved", testDiskMoved},
		{"network-card-replaced", testCardReplaced},
		{"state-folder-copied", testStateCopied},
		{"virtual-machine-cloned", testCloned},
		{"snapshot-rolled-back", testRollback},
		{"ten-default-strings", testDefaultStrings},
		{"address-changed", testAddressChanged},
		{"removed-and-back", testRemoved},
	} {
		t.Run(event.name, func(t *testing.T) {
			s.t = t
			event.play(t, s)
		})
	}
}

// enrolled makes a machine that was a host for a while.
func enrolled(s *site, name string) (*machine, string) {
	s.t.Helper()
	m := newMachine(s, name)
	id := m.enroll(false)
	m.connected()
	m.stop()
	return m, id
}

func testRename(t *testing.T, s *site) {
	m, id := enrolled(s, "old-name")
	m.set(map[string]string{fileName: "new-name"})
	m.same(id, "renamed", "old-name is now called new-name: same key; system uuid")
	if got := s.hosts()[id]; got != "new-name" {
		t.Errorf("it is listed as %q", got)
	}
}

func testReinstall(_ *testing.T, s *site) {
	m, id := enrolled(s, "reinstalled")
	m.wipe()
	m.enroll(false)
	m.same(id, "reinstalled", "lost its state: new key, same machine and installation; system uuid")
}

func testBoardSwap(_ *testing.T, s *site) {
	m, id := enrolled(s, "board")
	m.set(map[string]string{fileUUID: "7d1e20c4-95aa-4f0e-9c1b-0f1e2d3c4b5a", fileBoard: "CN72NEW0001", fileMAC: "3c:ec:ef:aa:bb:01"})
	m.same(id, "board-swapped", "system serial, chassis serial, disk and machine-id agree; system uuid, board serial and network card differ")
}

func testDiskMoved(_ *testing.T, s *site) {
	m, id := enrolled(s, "moved")
	other := newMachine(s, "chassis")
	for _, name := range []string{fileUUID, fileSystem, fileBoard, fileChassis, fileMAC} {
		m.take(other, name)
	}
	m.same(id, "disk-moved", "disk and machine-id agree")
}

func testCardReplaced(_ *testing.T, s *site) {
	m, id := enrolled(s, "card")
	m.set(map[string]string{fileMAC: "3c:ec:ef:aa:bb:02"})
	m.same(id, "nic-replaced", "network card differ")
}

func testStateCopied(t *testing.T, s *site) {
	testCopy(t, newMachine(s, "other-machine"), "state-copied", "its state folder was copied (")
}

func testCloned(t *testing.T, s *site) {
	copied := newMachine(s, "clone")
	copied.set(map[string]string{fileDisk: "QM00001"}) // what QEMU calls every disk
	testCopy(t, copied, "vm-cloned", "its whole disk was copied, machine-id too (")
}

func testDefaultStrings(t *testing.T, s *site) {
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
}

func testAddressChanged(t *testing.T, s *site) {
	m, id := enrolled(s, "roaming")
	relay := natTo(t, s.agents)
	if err := os.WriteFile(filepath.Join(m.state, "collector"), []byte(relay+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.same(id, "address-changed", "comes from 127.0.0.2, before from 127.0.0.1: an address is no identity, same key; system uuid")
}

// testReimage: the same asset with its history goes on; the undo restores what was.
func testReimage(t *testing.T, s *site) {
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

	if out := s.mustAsk("host", "unmerge", id); !strings.Contains(out, "nothing was done yet") || !strings.Contains(out, "would unmerge") {
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

	// And together again, by hand, once both have been silent for long enough.
	waitFor(t, 20*time.Second, "the merge", func() error {
		_, err := s.ask("host", "merge", id, other, "--yes")
		return err
	})
	if out := s.mustAsk("host", "show", id, "--section", "packages"); !strings.Contains(out, "2.0") {
		t.Errorf("after the merge: %s", out)
	}
	if out := s.mustAsk("host", "diff", id, "--from", "1h", "--section", "packages", "--all"); !strings.Contains(out, "2.0") {
		t.Errorf("difference over the merge: %s", out)
	}
	s.happened(id, "merged", "imaged-anew")
}

// testCopy: a machine with a copy of the key is refused, at once and by turns, and told
// what to do; then it is a host of its own.
func testCopy(t *testing.T, copied *machine, kind, says string) {
	s := copied.s
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
