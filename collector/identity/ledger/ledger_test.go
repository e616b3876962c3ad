package ledger

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/collector/identity"
	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	hostid "atalaya/shared/identity"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

type fleet struct {
	*storetest.Fleet
	t *testing.T
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	return &fleet{storetest.New(t, t0), t}
}

// do commits what fn does a second later.
func (f *fleet) do(fn func(tx *store.Tx) error) {
	f.t.Helper()
	f.Now = f.Now.Add(time.Second)
	f.Do(fn)
}

func machine(n byte) []hostid.Fact {
	return []hostid.Fact{{Kind: hostid.FactSystemUUID, Value: fmt.Sprintf("4c4c4544-0051-3610-8052-b4c04f5644%02x", n)}, {Kind: hostid.FactMAC, Value: fmt.Sprintf("3c:ec:ef:12:34:%02x", n)}}
}

func nobody(hostid.HostID) bool { return false }

func (f *fleet) newcomer(n byte, facts []hostid.Fact) Newcomer {
	return Newcomer{ID: hostid.HostID{n}, Key: [32]byte{n}, Hostname: fmt.Sprintf("host%d", n), Facts: facts, At: f.Now, Connected: nobody}
}

// enrol adds a host of its own.
func (f *fleet) enrol(n byte, facts []hostid.Fact) hostid.HostID {
	f.t.Helper()
	c := f.newcomer(n, facts)
	f.do(func(tx *store.Tx) error {
		if k, found, err := Find(tx, c); err != nil || found {
			f.t.Fatalf("host %d is taken for %s: %v", n, k.Host.Name, err)
		}
		return errors.Join(tx.PutHost(store.Host{ID: c.ID, Name: c.Hostname, EnrolledAt: f.Now}), Enrolled(tx, c))
	})
	return c.ID
}

// tell has a host report that it has those packages, whole.
func (f *fleet) tell(id hostid.HostID, versions ...string) {
	f.t.Helper()
	f.Now = f.Now.Add(time.Second)
	var rows []facts.Row
	for i, v := range versions {
		rows = append(rows, &facts.PackageRow{Name: fmt.Sprintf("tool%d", i), Version: v, Arch: "amd64", Source: "dpkg"})
	}
	f.Report(id, facts.Packages, rows...)
}

// picture is all that the store tells of a host now, but for what no undo takes back:
// which batches came and until when, when it was away, and that its sections are asked for again.
func (f *fleet) picture(id hostid.HostID) string {
	f.t.Helper()
	var b strings.Builder
	err := f.View(func(tx *store.Tx) error {
		h, _, err := tx.Host(id)
		if err != nil {
			return err
		}
		h.LastSeen, h.Away = time.Time{}, nil
		fmt.Fprintf(&b, "%+v\n", h)
		states, err := tx.Sections(id)
		if err != nil {
			return err
		}
		for _, s := range states {
			s.Doubtful, s.Since, s.At = false, 0, time.Time{}
			fmt.Fprintf(&b, "%+v\n", s)
			err := tx.Rows(id, s.Section, func(key string, data []byte) error {
				fmt.Fprintf(&b, "%q %x\n", key, data)
				return nil
			})
			if err != nil {
				return err
			}
		}
		r, err1 := Record(tx, id)
		h, _, err2 := tx.Host(id)
		fmt.Fprintf(&b, "%+v, last seen %v\n", r.Facts, h.LastSeen)
		return errors.Join(err1, err2)
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return b.String()
}

func TestReinstalledMachineIsFoundAndItsUndoIsExact(t *testing.T) {
	f := newFleet(t)
	id := f.enrol(1, machine(1))
	f.tell(id, "1.0", "1.0", "1.0")
	before := f.picture(id)

	again := f.newcomer(2, append(machine(1), hostid.Fact{Kind: hostid.FactDisk, Value: "naa.5000c500a1b2c3d4"}))
	f.do(func(tx *store.Tx) error {
		k, found, err := Find(tx, again)
		if err != nil || !found || k.Host.ID != id || k.Verdict.Kind != identity.Reimaged {
			t.Fatalf("%v, %+v: %v", found, k, err)
		}
		return Join(tx, again, k)
	})
	f.tell(id, "2.0", "1.0", "2.0", "3.0")
	if f.picture(id) == before {
		t.Fatal("nothing came")
	}
	f.do(func(tx *store.Tx) error {
		m, err := Last(tx, id)
		if err != nil {
			return err
		}
		return Undo(tx, m, "ann", f.Now)
	})
	if after := f.picture(id); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	err := f.View(func(tx *store.Tx) error {
		own, ok, err := tx.Host(again.ID)
		if !ok || own.Name != "host1" {
			t.Errorf("the other is %+v", own)
		}
		r, err2 := Record(tx, again.ID)
		if len(r.Facts) != 3 {
			t.Errorf("its facts are %v", r.Facts)
		}
		_, err3 := Last(tx, id)
		if !errors.Is(err3, ErrNotMerged) {
			t.Errorf("undone, and there is still one: %v", err3)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMergeByHandAndItsUndoAreExact(t *testing.T) {
	f := newFleet(t)
	keep, other := f.enrol(1, machine(1)), f.enrol(2, machine(2))
	f.tell(keep, "1.0", "1.0")
	f.tell(other, "2.0", "2.0", "2.0", "2.0")
	f.do(func(tx *store.Tx) error {
		h, _, err := tx.Host(keep)
		h.Tags = []string{"web"}
		return errors.Join(err, tx.PutHost(h))
	})
	f.Seen(other, f.Now.Add(time.Minute))
	was := [2]string{f.picture(keep), f.picture(other)}
	f.do(func(tx *store.Tx) error {
		x, _, err1 := tx.Host(keep)
		y, _, err2 := tx.Host(other)
		if _, err := Propose(tx, x, y, Alive{Connected: func(hostid.HostID) bool { return true }, Now: f.Now}); !errors.Is(err, ErrCannotMerge) {
			t.Errorf("two that are connected: %v", err)
		}
		if _, err := Propose(tx, x, x, Alive{Connected: nobody, Now: f.Now}); !errors.Is(err, ErrCannotMerge) {
			t.Errorf("a host with itself: %v", err)
		}
		p, err := Propose(tx, x, y, Alive{Connected: nobody, Now: f.Now})
		if err != nil || p.FactsOf != other || !p.Verdict.Refuse {
			t.Errorf("%+v, %v", p, err)
		}
		_, err = Apply(tx, p, "ann", f.Now)
		return errors.Join(err1, err2, err)
	})
	if got := f.picture(keep); !strings.Contains(got, "Name:host2") || !strings.Contains(got, "Tags:[web]") || strings.Count(got, "tool") != strings.Count(was[1], "tool") {
		t.Errorf("merged: %s", got)
	}
	err := f.View(func(tx *store.Tx) error {
		parts, err := Parts(tx, keep)
		if len(parts) != 2 || parts[1].Host != other {
			t.Errorf("parts %+v", parts)
		}
		m, merged, err2 := PartOf(tx, other)
		if !merged || m.Keep != keep {
			t.Errorf("merged into %s: %v", m.Keep, merged)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
	f.tell(keep, "9.0")
	f.do(func(tx *store.Tx) error {
		m, err := Last(tx, keep)
		if err != nil {
			return err
		}
		return Undo(tx, m, "ann", f.Now)
	})
	if got := [2]string{f.picture(keep), f.picture(other)}; got != was {
		t.Errorf("before:\n%s\nafter:\n%s", was, got)
	}
}

func TestRemovedMachineComesBackAndGoesAgain(t *testing.T) {
	f := newFleet(t)
	id := f.enrol(1, machine(1))
	f.tell(id, "1.0", "1.0", "1.0")
	before := f.picture(id)
	f.do(func(tx *store.Tx) error { return tx.RemoveHost(id, f.Now, "sold") })
	f.do(func(tx *store.Tx) error {
		n := f.newcomer(2, machine(1))
		k, found, err := Find(tx, n)
		if err != nil || !found {
			t.Fatalf("%v, %v", found, err)
		}
		return Join(tx, n, k)
	})
	f.tell(id, "2.0")
	f.do(func(tx *store.Tx) error {
		h, _, err := tx.Host(id)
		if !h.RemovedAt.IsZero() {
			t.Error("it is still removed")
		}
		m, err2 := Last(tx, id)
		if m.Kind != identity.CameBack {
			t.Errorf("%+v", m)
		}
		return errors.Join(err, err2, Undo(tx, m, "ann", f.Now))
	})
	if got := f.picture(id); !strings.Contains(got, "RemovedWhy:sold") || strings.Contains(got, "tool") {
		t.Errorf("undone: %s", got)
	}
	f.do(func(tx *store.Tx) error { return tx.ReviveHost(id, f.Now) })
	if got := f.picture(id); got != before {
		t.Errorf("before it was removed:\n%s\nrevived:\n%s", before, got)
	}
}

func TestWhatThreeHostsHaveIsLearnedToBeJunk(t *testing.T) {
	f := newFleet(t)
	shared := hostid.Fact{Kind: hostid.FactSystemUUID, Value: "4c4c4544-0051-3610-8052-b4c04f564433"}
	at := func(n byte) []hostid.Fact { return append([]hostid.Fact{shared}, machine(n)[1]) }
	for n := byte(1); n <= 3; n++ {
		f.enrol(n, at(n))
	}
	err := f.View(func(tx *store.Tx) error {
		k, found, err := Find(tx, f.newcomer(4, append(at(3), hostid.Fact{Kind: hostid.FactBoardSerial, Value: "CN7220069C00AB"})))
		if found {
			t.Errorf("a UUID that three hosts have makes a fourth %s", k.Host.Name)
		}
		if i := slices.IndexFunc(Weigh(tx, at(1)), func(l identity.Line) bool {
			return l.Agreement == identity.Junk && strings.Contains(l.Why, "of this fleet")
		}); i < 0 {
			t.Error("it is not said to be junk")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestMachineThatTellsNoHardwareIsALookAlike(t *testing.T) {
	f := newFleet(t)
	bare := func(id string) []hostid.Fact { // a VM without SMBIOS, with a local MAC and a disk without a serial number
		return []hostid.Fact{{Kind: hostid.FactMachineID, Value: id}, {Kind: hostid.FactMAC, Value: "02:00:00:00:00:01"}}
	}
	first := f.enrol(1, bare("93b885adfe0da089"))
	f.enrol(2, bare("aaaa85adfe0da089"))
	again := f.newcomer(3, bare("93b885adfe0da089"))
	f.do(func(tx *store.Tx) error {
		if _, found, err := Find(tx, again); found || err != nil {
			t.Errorf("taken for the first by its machine-id alone: a copy of the disk has it too (%v)", err)
		}
		return Enrolled(tx, again)
	})
	f.do(func(tx *store.Tx) error {
		r, err := Record(tx, again.ID)
		if err != nil {
			return err
		}
		if e := r.Events[0]; e.Kind != identity.LookAlike || !strings.Contains(e.Text, first.String()) || !strings.Contains(e.Text, "the machine-id agrees") ||
			!strings.Contains(e.Text, "lost its state, or a copy of its disk") || !strings.Contains(e.Text, "`atalaya host merge`") || strings.Contains(e.Text, "host2") {
			t.Errorf("%s: %s", e.Kind, e.Text)
		}
		return nil
	})
}

func TestMachineInUseWasNotInstalledAnew(t *testing.T) {
	f := newFleet(t)
	f.enrol(1, machine(1))
	n := f.newcomer(2, machine(1))
	n.Connected = func(hostid.HostID) bool { return true }
	f.do(func(tx *store.Tx) error {
		if _, found, err := Find(tx, n); found || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		return errors.Join(tx.PutHost(store.Host{ID: n.ID, Name: n.Hostname}), Enrolled(tx, n))
	})
	err := f.View(func(tx *store.Tx) error {
		r, err := Record(tx, n.ID)
		if e := r.Events[0]; e.Kind != identity.LookAlike || !strings.Contains(e.Text, "host1") || !strings.Contains(e.Text, "connected now") {
			t.Errorf("%+v", e)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestMergeTakesFactsFromWhoHasThem: a record that was seen last without a reading gives none.
func TestMergeTakesFactsFromWhoHasThem(t *testing.T) {
	f := newFleet(t)
	full, bare := f.enrol(1, machine(1)), f.enrol(2, machine(2))
	f.tell(full, "1.0")
	of := func(keep, other, want hostid.HostID) {
		t.Helper()
		f.do(func(tx *store.Tx) error {
			x, _, err1 := tx.Host(keep)
			y, _, err2 := tx.Host(other)
			p, err := Propose(tx, x, y, Alive{Connected: nobody, Now: f.Now})
			if p.FactsOf != want {
				t.Errorf("%s merged into %s: facts of %s, want those of %s", other, keep, p.FactsOf, want)
			}
			return errors.Join(err1, err2, err)
		})
	}
	f.Seen(bare, f.Now.Add(time.Minute))
	of(full, bare, full)
	of(bare, full, full)
	f.tell(bare, "2.0")
	f.Seen(bare, f.Now.Add(2*time.Minute))
	of(full, bare, bare)
}
