package identity

import (
	"strings"
	"testing"
	"time"
)

var t0 = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// known is the record of a host that had a session.
func known(facts string) *Record {
	r := &Record{}
	r.Join(factsOf(facts), Event{At: t0, Kind: Enrolled})
	r.Greet(Greeting{At: t0, Name: "web1", Hostname: "web1", Address: "192.0.2.1", Facts: factsOf(facts), Run: 1, Epoch: 1}, plainJunk)
	return r
}

func (r *Record) has(kind Kind) bool {
	for _, e := range r.Events {
		if e.Kind == kind {
			return true
		}
	}
	return false
}

func TestSecondAgentWithEqualHardwareIsRefusedWhileTheFirstAnswers(t *testing.T) {
	r := known(server)
	g := Greeting{At: t0, Name: "web1", Hostname: "web1", Address: "192.0.2.1", Facts: factsOf(server), Run: 2, Epoch: 1, Live: true}
	if a := r.Greet(g, plainJunk); !a.Refuse || !strings.Contains(a.Text, "enroll --replace") || !r.has(Contested) {
		t.Errorf("%+v, events %+v", a, r.Events)
	}
	g.Live = false // the first has ended: it was restarted
	if a := r.Greet(g, plainJunk); a.Refuse {
		t.Errorf("%+v", a)
	}
}

func TestAgentsByTurnsAreNoticed(t *testing.T) {
	for _, c := range []struct {
		name string
		runs [][2]uint64 // run and epoch
		want bool
	}{
		{"restarts", [][2]uint64{{2, 1}, {3, 1}, {4, 1}, {5, 1}}, false},
		{"two that stay alive", [][2]uint64{{2, 1}, {1, 1}, {2, 1}}, true},
		{"two that are restarted each time", [][2]uint64{{2, 2}, {3, 1}, {4, 2}}, true},
		{"rollbacks to one snapshot", [][2]uint64{{2, 2}, {3, 1}, {3, 3}, {4, 1}, {4, 4}}, false},
		{"a rollback with memory", [][2]uint64{{2, 1}, {1, 1}, {1, 5}}, false},
	} {
		r := known(server)
		for i, run := range c.runs {
			a := r.Greet(Greeting{At: t0.Add(time.Duration(i) * time.Hour), Name: "web1", Hostname: "web1", Address: "192.0.2.1", Facts: factsOf(server), Run: run[0], Epoch: run[1]}, plainJunk)
			if a.Refuse {
				t.Errorf("%s: %d refused: %s", c.name, i, a.Text)
			}
		}
		if got := r.has(Contested); got != c.want {
			t.Errorf("%s: contested %v: %+v", c.name, got, r.Events)
		}
	}
}

// TestTwoMachinesThatWereMergedAreToldOnce: agents that come by turns under one record, each with
// its name and address, are one conflict; the name stays, until one of them is alone again.
func TestTwoMachinesThatWereMergedAreToldOnce(t *testing.T) {
	r, name := known(server), "web1"
	greet := func(at time.Time, hostname, address string, run uint64) {
		t.Helper()
		a := r.Greet(Greeting{At: at, Name: name, Hostname: hostname, Address: address, Facts: factsOf(server), Run: run, Epoch: run}, plainJunk)
		if a.Refuse {
			t.Fatalf("%s is refused: %s", hostname, a.Text)
		}
		if name = hostname; a.Name != "" {
			name = a.Name
		}
	}
	at := t0
	for range 50 {
		at = at.Add(time.Hour)
		greet(at, "web1", "192.0.2.1", 1)
		greet(at.Add(time.Minute), "web2", "192.0.2.2", 2)
	}
	count := map[Kind]int{}
	for _, e := range r.Events {
		count[e.Kind]++
	}
	if count[Contested] != 1 || count[Renamed] > 3 || count[AddressChanged] > 3 {
		t.Errorf("events %v", count)
	}
	if last := r.Events[len(r.Events)-1]; last.Kind != Contested || last.Times < 90 || !strings.Contains(last.Text, "`atalaya host unmerge`") {
		t.Errorf("the newest event is %+v", last)
	}
	if name != "web1" && name != "web2" {
		t.Errorf("it is called %q", name)
	}
	kept := name
	greet(at.Add(2*time.Hour), "web3", "192.0.2.2", 2) // still contested
	if name != kept {
		t.Errorf("renamed to %q while it is contested", name)
	}
	greet(at.Add(48*time.Hour), "web3", "192.0.2.2", 2)
	if last := r.Events[len(r.Events)-1]; name != "web3" || last.Kind != Renamed {
		t.Errorf("alone again it is called %q, the newest event is %+v", name, last)
	}
}

// TestCopiedDiskWithItsSerialIsFoundByItsTurns: the first change looks like a disk that
// was moved, and the second like its way back.
func TestCopiedDiskWithItsSerialIsFoundByItsTurns(t *testing.T) {
	r := known(server)
	other := uuidB + " sys=99ZZ1 board=CN7220069C00XX chassis=77YY8 " + macB + " " + diskA + " machine=93b885adfe0da089"
	var refused []bool
	for i, facts := range []string{other, server, other, server} {
		a := r.Greet(Greeting{At: t0.Add(time.Duration(i) * time.Hour), Name: "web1", Hostname: "web1", Facts: factsOf(facts), Run: uint64(i + 2), Epoch: 1}, plainJunk)
		refused = append(refused, a.Refuse)
	}
	if got := [4]bool(refused); got != [4]bool{false, false, true, false} || !r.has(DiskMoved) || !r.has(Cloned) || len(r.Refused) != 1 {
		t.Errorf("refused %v, %d copies: %+v", got, len(r.Refused), r.Events)
	}
}

func TestRefusedCopyChangesNothingAndIsCounted(t *testing.T) {
	r := known(server)
	facts, events := len(r.Facts), len(r.Events)
	g := Greeting{At: t0, Name: "web1", Hostname: "copy", Address: "192.0.2.9", Facts: factsOf(vm), Run: 9, Epoch: 1}
	g.Facts = factsOf(uuidB + " mac=52:54:00:65:43:21 " + diskB + " machine=93b885adfe0da089")
	for range 3 {
		if a := r.Greet(g, plainJunk); !a.Refuse || !a.Changed {
			t.Fatalf("%+v", a)
		}
	}
	if len(r.Facts) != facts || len(r.Events) != events+1 || len(r.Refused) != 1 || r.Refused[0].Times != 3 || r.Addresses[0].Address != "192.0.2.1" {
		t.Errorf("%d facts, %d events, %+v, %+v", len(r.Facts), len(r.Events), r.Refused, r.Addresses)
	}
	if !r.Accept(t0, "ann") || r.Accept(t0, "ann") {
		t.Error("a refused machine is accepted once")
	}
	if a := r.Greet(g, plainJunk); a.Refuse {
		t.Errorf("accepted, and then %+v", a)
	}
	g.Facts = factsOf(server)
	if a := r.Greet(g, plainJunk); !a.Refuse {
		t.Error("the machine before it is not refused")
	}
}

func TestRecordStaysSmall(t *testing.T) {
	r := known(server)
	for i := range 500 {
		name := []string{"a", "b"}[i%2]
		r.Greet(Greeting{At: t0.Add(time.Duration(i) * time.Minute), Name: "x", Hostname: name, Address: "192.0.2." + string(rune('0'+i%10)), Facts: factsOf(server), Run: uint64(i + 2), Epoch: uint64(i)}, plainJunk)
	}
	if len(r.Events) > maxEvents || len(r.Addresses) > maxAddresses || len(r.Runs) > maxLast || len(r.Epochs) > maxLast {
		t.Errorf("%d events, %d addresses, %d runs, %d epochs", len(r.Events), len(r.Addresses), len(r.Runs), len(r.Epochs))
	}
	if a := r.Greet(Greeting{At: t0, Name: "b", Hostname: "b", Address: r.Addresses[0].Address, Facts: factsOf(server), Run: 501, Epoch: 499}, plainJunk); a.Changed {
		t.Error("a session like the one before writes the record")
	}
}
