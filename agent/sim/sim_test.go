package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/agent/uplink"
	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

var small = Shape{Seed: 7, Packages: 80, Series: 20}

// apply is what a collector does with an update.
func apply(t *testing.T, known map[facts.ID]map[string]string, u wire.SectionUpdate) {
	t.Helper()
	if known[u.Section] == nil || u.Full {
		known[u.Section] = map[string]string{}
	}
	rows := known[u.Section]
	for _, data := range u.Put {
		row, err := wire.DecodeRow(u.Section, data)
		if err != nil {
			t.Fatal(err)
		}
		rows[row.Key()] = string(data)
	}
	for _, key := range u.Removed {
		if _, ok := rows[key]; !ok {
			t.Fatalf("%s: removes %q, which is not there", u.Section, key)
		}
		delete(rows, key)
	}
	var digest facts.Digest
	for key, data := range rows {
		digest = digest.Plus(facts.Item{Key: key, Data: []byte(data)})
	}
	if digest != u.Digest {
		t.Fatalf("%s: digest %x of what was reported, %x in the report", u.Section, digest, u.Digest)
	}
}

func TestDeltasLeadToWhatTheHostHas(t *testing.T) {
	f := NewFleet(small)
	for n := range 6 {
		h := f.NewHost(n)
		known := map[facts.ID]map[string]string{}
		for _, u := range h.Whole(1) {
			apply(t, known, u)
		}
		changed := 0
		for range 200 {
			u, rows := h.Change(2)
			if rows != len(u.Put)+len(u.Removed) {
				t.Fatalf("host %d: %d rows counted, %d reported", n, rows, len(u.Put)+len(u.Removed))
			}
			if rows == 0 {
				t.Fatalf("host %d: nothing changed in a change of %s", n, u.Section)
			}
			apply(t, known, u)
			changed += rows
		}
		for _, u := range slices.Concat(h.Unchanged(3), h.Whole(3)) {
			apply(t, known, u)
		}
		if changed < 100 {
			t.Errorf("host %d: %d rows changed in 200 changes", n, changed)
		}
	}
}

func TestAHostIsAFunctionOfSeedNumberAndStep(t *testing.T) {
	at := func(seed uint64, n, step int) []wire.SectionUpdate {
		s := small
		s.Seed = seed
		h := NewFleet(s).NewHost(n)
		for range step {
			h.Change(int64(rand.Int32())) // the time does not matter
		}
		return h.Whole(5)
	}
	if diff := cmp.Diff(at(1, 3, 50), at(1, 3, 50)); diff != "" {
		t.Errorf("not the same again: %s", diff)
	}
	for _, other := range [][]wire.SectionUpdate{at(2, 3, 50), at(1, 4, 50), at(1, 3, 90)} {
		if cmp.Equal(at(1, 3, 50), other) {
			t.Error("another seed, host or step comes to the same rows")
		}
	}
}

func TestAHostWithoutPackagesGoesOn(t *testing.T) {
	h := NewFleet(small).NewHost(1)
	clear(h.level)
	for range 100 {
		if _, rows := h.Change(1); rows == 0 {
			t.Fatalf("change %d changed nothing", h.Step())
		}
	}
}

func TestHostsOfAFleetShareMostPackages(t *testing.T) {
	f := NewFleet(Shape{Seed: 1, Packages: 1000})
	versions := map[string]bool{}
	for n := range 200 {
		h := f.NewHost(n)
		if len(h.level) < 950 || len(h.level) > 1000 {
			t.Fatalf("host %d has %d packages", n, len(h.level))
		}
		for p, l := range h.level {
			versions[f.products[p].name+f.products[p].versions[l]] = true
		}
	}
	if len(versions) > 20_000 {
		t.Errorf("%d versions among 200 hosts: nothing is shared", len(versions))
	}
}

func TestALedgerThatWasCutGoesOnAfterItsLastLine(t *testing.T) {
	dir := t.TempDir()
	l, err := OpenLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := l.add(Entry{Number: 4, ID: "ab", Kind: wire.KindInventory, Step: i + 1, Rows: 2, At: int64(100 + i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "ledger.tsv")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, text[:len(text)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err = OpenLedger(dir); err != nil {
		t.Fatal(err)
	}
	if l.step(4) != 2 {
		t.Errorf("step %d, want 2", l.step(4))
	}
	if err := l.add(Entry{Number: 4, ID: "ab", Kind: wire.KindMetrics, Step: 2, Samples: 7, At: 200}); err != nil {
		t.Fatal(err)
	}
	// Acknowledged late, made first.
	if err := l.add(Entry{Number: 4, ID: "ab", Kind: wire.KindInventory, Step: 0, At: 90}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := ReadLedger(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int]*Total{4: {ID: "ab", Batches: 4, Step: 2, Samples: 7, Rows: 4, First: 90, Last: 200}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if _, err := ReadLedger(t.TempDir()); err == nil {
		t.Error("a ledger that is not there reads as an empty one")
	}
}

func TestBatchesAreKeptUntilAcknowledgedAndMadeInOrder(t *testing.T) {
	l, err := OpenLedger(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := NewFleet(small)
	a := newAgent(f, l, f.NewHost(1), "id", 50)
	a.owe(owed{dutyChange, 100}, owed{dutyChange, 200}, owed{dutyMetrics, 300}, owed{dutyUnchanged, 400})
	next := func(after uint64) *wire.Batch {
		b, err := a.Next(a.epoch, after)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := next(0)
	if first.Seq != 1 || first.At != 50 || !first.Updates[0].Full || !first.Verify() {
		t.Fatalf("first batch %d at %d", first.Seq, first.At)
	}
	for seq, at := uint64(2), int64(100); seq <= 5; seq, at = seq+1, at+100 {
		if b := next(seq - 1); b == nil || b.Seq != seq || b.At != at || !b.Verify() {
			t.Fatalf("batch %d: %+v", seq, b)
		}
	}
	if next(5) != nil || next(0) != first {
		t.Error("not acknowledged, and not given again")
	}
	if err := a.Ack(a.epoch, []uint64{1, 3}); err != nil || next(0).Seq != 2 {
		t.Errorf("after an ack: %v", err)
	}
	old := a.epoch
	if err := a.NewEpoch(); err != nil || a.Ack(old, []uint64{1}) != nil || next(0).Seq != 1 || next(0).At != 100 {
		t.Errorf("after a new epoch: %v, first %+v", err, next(0))
	}
	if err := a.AckUpTo(a.epoch, 3); err != nil || !a.idle() {
		t.Errorf("not idle after all is acknowledged: %v", err)
	}
	if hosts, all := l.totals(); hosts != 1 || all.Batches != 5 || all.Samples != small.Series {
		t.Errorf("ledger: %d hosts, %+v", hosts, all)
	}
}

// TestARunNamesHostsThatAreRefused: at once, once, and at its end instead of waiting for them.
func TestARunNamesHostsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := OpenLedger(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var talk strings.Builder
		r := &run{cfg: Config{Agents: 3, Settle: true, Talk: &talk}, ledger: l, began: time.Now()}
		f := NewFleet(small)
		for n, result := range []uplink.Result{uplink.Stopped, uplink.Revoked, uplink.UnknownHost} {
			a := newAgent(f, l, f.NewHost(n), "0123", 50)
			a.status = func() uplink.Status { return uplink.Status{Result: result.String()} }
			r.agents = append(r.agents, a)
		}
		sessions, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(10 * time.Second)
			a := r.agents[0]
			_, err := a.Next(a.epoch, 0)
			if err = errors.Join(err, a.AckUpTo(a.epoch, 1)); err != nil {
				t.Error(err)
			}
		}()
		began := time.Now()
		r.watch(t.Context(), sessions, cancel)
		if took := time.Since(began); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("ended after %s, want with the last report of the host that is not refused", took)
		}
		for _, want := range []string{"host sim-000001: its certificate is refused", "`atalaya host revive 0123`", "host sim-000002: the collector does not know it"} {
			if n := strings.Count(talk.String(), want); n != 1 {
				t.Errorf("%q is told %d times: %s", want, n, talk.String())
			}
		}
		if r.failed == nil || !strings.Contains(r.failed.Error(), "not acknowledged: sim-000001, sim-000002; the first: its certificate") {
			t.Errorf("the run failed with %v", r.failed)
		}
	})
}

func TestALossyNetworkLosesAboutItsShare(t *testing.T) {
	lost := func(f Faults) float64 {
		c := lossyConn{faults: f, random: rand.New(rand.NewPCG(1, 1))}
		n := 0
		now := time.Unix(0, 0)
		for range 100_000 {
			now = now.Add(10 * time.Millisecond)
			if c.lost(now) {
				n++
			}
		}
		return float64(n) / 100_000
	}
	if got := lost(Faults{Loss: 0.2}); got < 0.19 || got > 0.21 {
		t.Errorf("loss of 20 %%: %.3f", got)
	}
	if got := lost(Faults{Cut: 9 * time.Second, Down: time.Second}); got < 0.05 || got > 0.15 {
		t.Errorf("a second down in ten: %.3f", got)
	}
}

// TestAStateFolderIsOfOneFleetAndOneRun: a second run at the same time and a run or a check of
// another shape are refused; a check that names none takes that of the folder.
func TestAStateFolderIsOfOneFleetAndOneRun(t *testing.T) {
	dir := t.TempDir()
	lock, err := lockState(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := lockState(dir); err == nil || !strings.Contains(err.Error(), "in use by another run") {
		t.Errorf("a second run: %v, %v", second, err)
	}
	if err := Run(t.Context(), Config{Shape: small, StateDir: dir}); err == nil || !strings.Contains(err.Error(), "in use by another run") {
		t.Errorf("a second run: %v", err)
	}
	lock.Close()
	if lock, err = lockState(dir); err != nil {
		t.Fatalf("after the first has ended: %v", err)
	}
	defer lock.Close()
	if _, err := keepShape(dir, small); err != nil {
		t.Fatal(err)
	}
	for _, want := range []Shape{{}, small, {Packages: small.Packages}} {
		if got, known, err := shapeOf(dir, want); err != nil || !known || got != small {
			t.Errorf("%+v: %+v, %v, %v", want, got, known, err)
		}
	}
	for _, other := range []Shape{{Seed: 8}, {Packages: 81}, {Series: 21}, {Prefix: "lab-"}} {
		if _, err := keepShape(dir, other); err == nil {
			t.Errorf("a run of %+v was not refused", other)
		}
		if _, _, err := Check(t.Context(), CheckConfig{Shape: other, StateDir: dir}); err == nil || !strings.Contains(err.Error(), "--packages 80") {
			t.Errorf("a check of %+v: %v", other, err)
		}
	}
}

// TestFleetsWithPrefixesShareNoMachine: neither names nor what a machine is known by.
func TestFleetsWithPrefixesShareNoMachine(t *testing.T) {
	lab := small
	lab.Prefix = "lab-"
	one, other := NewFleet(small).NewHost(3), NewFleet(lab).NewHost(3)
	if one.Name() != "sim-000003" || other.Name() != "lab-000003" {
		t.Errorf("%s and %s", one.Name(), other.Name())
	}
	for _, id := range []facts.ID{facts.OS, facts.System, facts.Interfaces, facts.BlockDevices, facts.MemoryModules} {
		if reflect.DeepEqual(one.rows(id), other.rows(id)) {
			t.Errorf("%s: the same rows", id)
		}
	}
	dir := t.TempDir()
	if _, err := keepShape(dir, lab); err != nil {
		t.Fatal(err)
	}
	if s, err := keepShape(dir, small); err != nil || s.Prefix != "lab-" {
		t.Errorf("run again without the prefix: %+v, %v", s, err)
	}
	for _, bad := range []string{"Lab", "-x", "a b", "x/"} {
		if _, err := keepShape(t.TempDir(), Shape{Prefix: bad}); err == nil {
			t.Errorf("prefix %q is taken", bad)
		}
	}
}

// TestARemovedHostIsCountedApart with and without a reason.
func TestARemovedHostIsCountedApart(t *testing.T) {
	for reason, want := range map[string]string{"": "was removed: its rows", "sold": "was removed (sold): its rows"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/identity") {
				fmt.Fprint(w, "{}")
				return
			}
			fmt.Fprintf(w, `{"removed": {"reason": %q}}`, reason)
		}))
		defer server.Close()
		text, merged, err := newAPI(server.URL, "").fate(t.Context(), "1")
		if err != nil || merged || !strings.Contains(text, want) {
			t.Errorf("%q, %v, %v; want %q", text, merged, err, want)
		}
	}
	for tally, want := range map[Tally]string{{Whole: 10}: "10 hosts checked", {Whole: 8, Part: 1, None: 1}: "8 hosts checked, 1 in part, 1 not"} {
		if tally.String() != want {
			t.Errorf("%q, want %q", tally, want)
		}
	}
}
