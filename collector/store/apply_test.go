package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var t0 = time.UnixMilli(1_790_000_000_000).UTC()

// user is a row whose key is name and whose content varies with n.
func user(t testing.TB, name string, n int64) facts.Item {
	t.Helper()
	row := &facts.UserRow{Name: name, UID: n, GID: n}
	data, err := wire.EncodeRow(row)
	if err != nil {
		t.Fatal(err)
	}
	return facts.Item{Key: row.Key(), Data: data}
}

// update is a reading: the whole section when base is nil, otherwise what differs.
func update(section facts.ID, base, now []facts.Item) wire.SectionUpdate {
	u := wire.SectionUpdate{Section: section, Status: facts.StatusOK, At: t0.UnixMilli(), Digest: facts.DigestOf(now)}
	if len(now) == 0 {
		u.Status = facts.StatusEmpty
	}
	d := facts.Diff(base, now)
	if base == nil {
		u.Full = true
	}
	for _, it := range d.Put {
		u.Put = append(u.Put, it.Data)
	}
	u.Removed = d.Removed
	return u
}

func batch(seq uint64, us ...wire.SectionUpdate) wire.Batch {
	return wire.Batch{Epoch: 1, Seq: seq, Kind: wire.KindInventory, At: t0.UnixMilli(), Checksum: uint32(seq*2654435761) | 1, Updates: us}
}

func addHost(t testing.TB, s *Store, id identity.HostID) {
	t.Helper()
	if err := s.Update(func(tx *Tx) error { return tx.PutHost(Host{ID: id, Name: id.String()}) }); err != nil {
		t.Fatal(err)
	}
}

func apply(t testing.TB, s *Store, ds ...Delivery) []Outcome {
	t.Helper()
	out, err := s.Apply(ds)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// state is what tests compare: rows by host, section and key.
type state map[string][]byte

func rowName(h identity.HostID, section facts.ID, key string) string {
	return fmt.Sprintf("%s/%s/%s", h, section, key)
}

func rowsOf(t testing.TB, s *Store) state {
	t.Helper()
	got := state{}
	err := s.View(func(tx *Tx) error {
		return tx.Hosts(func(h Host) error {
			states, err := tx.Sections(h.ID)
			if err != nil {
				return err
			}
			for _, st := range states {
				var items []facts.Item
				err := tx.Rows(h.ID, st.Section, func(key string, data []byte) error {
					got[rowName(h.ID, st.Section, key)] = bytes.Clone(data)
					items = append(items, facts.Item{Key: key, Data: bytes.Clone(data)})
					return nil
				})
				if err != nil {
					return err
				}
				if len(items) != st.Rows || facts.DigestOf(items) != st.Digest {
					t.Errorf("%s %s: state says %d rows, digest %x; stored are %d, %x", h.ID, st.Section, st.Rows, st.Digest, len(items), facts.DigestOf(items))
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// replay builds the rows from the log as a view sees it, from its beginning on.
func replay(t testing.TB, s *Store) state {
	t.Helper()
	got := state{}
	take := func(changes []Change) {
		for _, c := range changes {
			name := rowName(c.Host, c.Section, c.Key)
			if c.Kind != StatusChanged && c.Kind != Baseline && !bytes.Equal(got[name], c.Old) {
				t.Errorf("change %d: old is %x, the row was %x", c.Seq, c.Old, got[name])
			}
			switch c.Kind {
			case Added, Changed:
				got[name] = c.New
			case Removed:
				delete(got, name)
			}
		}
	}
	err := s.View(func(tx *Tx) error {
		first, err := tx.firstKept()
		if err != nil {
			return err
		}
		began := tx.asOfChange(first - 1)
		err = tx.AllHosts(identity.HostID{}, func(h Host) error {
			states, err := began.Sections(h.Index)
			var changes []Change
			for _, st := range states {
				if changes, err = (Follower{}).addRows(tx, changes, began, h.Index, Change{Host: h.ID, Section: st.Section, Kind: Added}); err != nil {
					return err
				}
			}
			take(changes)
			return err
		})
		if err != nil {
			return err
		}
		last, err := tx.LastChange()
		for read := first - 1; read < last && err == nil; {
			var changes []Change
			changes, read, err = Follower{}.folded(tx, read)
			take(changes)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// stateRows gives the rows of a state, and compares the inverted index with them.
func stateRows(t testing.TB, s *State) state {
	t.Helper()
	got := state{}
	having := map[string]bool{}
	err := s.tx.AllHosts(identity.HostID{}, func(h Host) error {
		states, err := s.Sections(h.Index)
		for _, st := range states {
			n := 0
			err = errors.Join(err, s.Rows(h.Index, st.Section, func(key string, data []byte) error {
				n++
				got[rowName(h.ID, st.Section, key)] = bytes.Clone(data)
				having[rowName(h.ID, st.Section, key)] = true
				return nil
			}))
			if n != st.Rows {
				t.Errorf("%s %s: %d rows, the state says %d", h.ID, st.Section, n, st.Rows)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, section := range facts.Sections() {
		err := s.Items(section.ID, "", func(it Item) error {
			hosts, err := s.HostsWith(it)
			if err != nil {
				return err
			}
			for index := range hosts.All() {
				id, _, err := s.tx.HostByIndex(index)
				if err != nil {
					return err
				}
				data, err := s.HostRow(index, it)
				if name := rowName(id, section.ID, it.Key); err != nil || !bytes.Equal(data, got[name]) || data == nil {
					t.Errorf("%s has item %d by the index, its row is %x, %v; want %x", name, it.ID, data, err, got[name])
				} else {
					delete(having, name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !Shared(section.ID) {
			for name := range having {
				if strings.Contains(name, "/"+section.Name+"/") {
					delete(having, name)
				}
			}
		}
	}
	if len(having) > 0 {
		t.Errorf("not in the index: %v", having)
	}
	return got
}

func TestApplyKeepsRowsAndHistory(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	addHost(t, s, h)
	one := []facts.Item{user(t, "ann", 1), user(t, "bob", 2)}
	two := []facts.Item{user(t, "bob", 3), user(t, "cyd", 4)}
	changed := s.Changed()
	apply(t, s, Delivery{h, batch(1, update(facts.Users, nil, one)), t0})
	select {
	case <-changed:
	default:
		t.Error("nobody was told of the change")
	}
	apply(t, s, Delivery{h, batch(2, update(facts.Users, one, two)), t0.Add(time.Minute)})
	apply(t, s, Delivery{h, batch(3, update(facts.Users, nil, two)), t0.Add(2 * time.Minute)})
	var got []string
	err := s.View(func(tx *Tx) error {
		return tx.HostChanges(h, ChangeQuery{}, func(c Change) error {
			got = append(got, fmt.Sprintf("%d %s %s batch %d", c.Seq, c.Kind, c.Key, c.BatchSeq))
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"1 status  batch 1", "2 added ann batch 1", "3 added bob batch 1",
		"4 removed ann batch 2", "5 changed bob batch 2", "6 added cyd batch 2"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("change log (-want +got):\n%s", d)
	}
	if d := cmp.Diff(replay(t, s), rowsOf(t, s)); d != "" {
		t.Errorf("replayed against stored:\n%s", d)
	}
}

func TestWrongDigestLeavesTheSectionAndTheOthersGoOn(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	addHost(t, s, h)
	one, two := []facts.Item{user(t, "ann", 1)}, []facts.Item{user(t, "ann", 2)}
	apply(t, s, Delivery{h, batch(1, update(facts.Users, nil, one)), t0})
	bad := update(facts.Users, one, two)
	bad.Digest++
	groups := wire.SectionUpdate{Section: facts.Groups, Status: facts.StatusEmpty, Full: true}
	out := apply(t, s, Delivery{h, batch(2, bad, groups), t0})
	if !slices.Equal(out[0].Resync, []facts.ID{facts.Users}) || out[0].Err != nil {
		t.Errorf("outcome %+v, want a resync of users", out[0])
	}
	want := state{rowName(h, facts.Users, "ann"): one[0].Data}
	if d := cmp.Diff(want, rowsOf(t, s)); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	err := s.View(func(tx *Tx) error {
		states, err := tx.Sections(h)
		if len(states) != 2 || states[1].Status != facts.StatusEmpty {
			t.Errorf("sections %+v, want users and groups", states)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFailedReadingKeepsRowsAsStale(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	addHost(t, s, h)
	one := []facts.Item{user(t, "ann", 1)}
	apply(t, s, Delivery{h, batch(1, update(facts.Users, nil, one)), t0})
	later := t0.Add(time.Hour)
	apply(t, s, Delivery{h, batch(2, wire.SectionUpdate{Section: facts.Users, Status: facts.StatusFailed, Reason: "input/output error", At: later.UnixMilli()}), later})
	if d := cmp.Diff(state{rowName(h, facts.Users, "ann"): one[0].Data}, rowsOf(t, s)); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	err := s.View(func(tx *Tx) error {
		states, err := tx.Sections(h)
		if err != nil {
			return err
		}
		if st := states[0]; !st.Stale() || st.Status != facts.StatusFailed || !st.KnownAt.Equal(t0) || !st.ObservedAt.Equal(later) {
			t.Errorf("state %+v, want stale rows known at %v", st, t0)
		}
		return tx.HostChanges(h, ChangeQuery{NewestFirst: true, Limit: 1}, func(c Change) error {
			was, _ := DecodeStatus(c.Old)
			is, reason := DecodeStatus(c.New)
			if c.Kind != StatusChanged || was != facts.StatusOK || is != facts.StatusFailed || reason != "input/output error" {
				t.Errorf("newest change %+v, want ok to failed", c)
			}
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusedDeliveriesLeaveNoTrace(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	addHost(t, s, h)
	one := []facts.Item{user(t, "ann", 1), user(t, "bob", 2)}
	good := update(facts.Users, nil, one)
	apply(t, s, Delivery{h, batch(1, good), t0})
	with := func(change func(*wire.Batch)) wire.Batch {
		u := good
		u.Put = slices.Clone(good.Put)
		b := batch(2, u)
		change(&b)
		return b
	}
	cases := []struct {
		name string
		host identity.HostID
		b    wire.Batch
		want error
	}{
		{"unknown_host", identity.HostID{9}, batch(1), ErrUnknownHost},
		{"no_number", h, with(func(b *wire.Batch) { b.Seq = 0 }), ErrMalformed},
		{"other_content", h, with(func(b *wire.Batch) { b.Seq, b.Checksum = 1, 77 }), ErrReused},
		{"not_a_row", h, with(func(b *wire.Batch) { b.Updates[0].Put[1] = []byte("\xff") }), ErrMalformed},
		{"unsorted", h, with(func(b *wire.Batch) { slices.Reverse(b.Updates[0].Put) }), ErrMalformed},
		{"same_row_twice", h, with(func(b *wire.Batch) { b.Updates[0].Put[1] = b.Updates[0].Put[0] }), ErrMalformed},
		{"section_twice", h, with(func(b *wire.Batch) { b.Updates = append(b.Updates, b.Updates[0]) }), ErrMalformed},
		{"rows_of_a_failure", h, with(func(b *wire.Batch) { b.Updates[0].Status = facts.StatusFailed }), ErrMalformed},
		{"facts_in_metrics", h, with(func(b *wire.Batch) { b.Kind = wire.KindMetrics }), ErrMalformed},
		{"full_with_removal", h, with(func(b *wire.Batch) { b.Updates[0].Removed = []string{"x"} }), ErrMalformed},
		{"put_and_removed", h, with(func(b *wire.Batch) { b.Updates[0].Full, b.Updates[0].Removed = false, []string{"ann"} }), ErrMalformed},
	}
	before := rowsOf(t, s)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out := apply(t, s, Delivery{c.host, c.b, t0})
			if !errors.Is(out[0].Err, c.want) {
				t.Errorf("got %v, want %v", out[0].Err, c.want)
			}
			if d := cmp.Diff(before, rowsOf(t, s)); d != "" {
				t.Errorf("rows changed:\n%s", d)
			}
		})
	}
	var reused *ReusedError
	if out := apply(t, s, Delivery{h, cases[2].b, t0}); !errors.As(out[0].Err, &reused) || reused.Seq != 1 {
		t.Errorf("got %v, want the batch named", out[0].Err)
	}
	if out := apply(t, s, Delivery{h, batch(2, good), t0}); out[0].Err != nil || out[0].Duplicate {
		t.Errorf("a good batch after the refused ones: %+v", out[0])
	}
}

func TestMarksTellDuplicates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e epochMark
		known := map[uint64]uint32{}
		next := uint64(1)
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			// Up to a window of batches is on the way, in any order, some lost.
			next += uint64(rapid.IntRange(0, 2).Draw(t, "skip"))
			seq := next - min(next-1, uint64(rapid.IntRange(0, recentSums-1).Draw(t, "back")))
			sum := uint32(rapid.IntRange(1, 2).Draw(t, "sum"))
			got := e.look(seq, sum)
			want := seenNever
			if s, ok := known[seq]; ok {
				want = seenSame
				if s != sum {
					want = seenOther
				}
			}
			if got != want {
				t.Fatalf("batch %d: got %d, want %d; mark %+v", seq, got, want, e)
			}
			if got == seenNever {
				e.add(seq, sum)
				known[seq] = sum
			}
			m, ok := decodeMarks(marks{e}.encode())
			if !ok || len(m) != 1 || m[0].high != e.high || !slices.Equal(m[0].recent, e.recent) || !slices.Equal(m[0].above, e.above) {
				t.Fatalf("decoded %+v, want %+v", m, e)
			}
		}
	})
}

func TestMarksStayBounded(t *testing.T) {
	var e epochMark
	for seq := uint64(2); seq < 100_000; seq += 2 {
		e.add(seq, 1)
	}
	if len(e.above) > maxAbove || len(e.recent) > recentSums {
		t.Errorf("%d above, %d recent", len(e.above), len(e.recent))
	}
	if b := len(marks{e}.encode()); b > 8<<10 {
		t.Errorf("marks take %d bytes", b)
	}
}

// host is the agent of the model: it knows its rows, and what it last told.
type host struct {
	id   identity.HostID
	seq  uint64
	now  map[facts.ID]map[string]int64
	told map[facts.ID][]facts.Item // nil: the next update is full
}

// modelSections are one of items, one of items with columns of the host's own, and
// one of rows of the host's own.
var modelSections = []facts.ID{facts.Users, facts.Packages, facts.Addresses}

func item(t testing.TB, section facts.ID, name string, n int64) facts.Item {
	t.Helper()
	var row facts.Row = &facts.UserRow{Name: name, UID: n}
	switch section {
	case facts.Packages:
		row = &facts.PackageRow{Name: name, Version: fmt.Sprint(n % 2), Source: "dpkg", InstalledAt: facts.Time(n * 500)}
	case facts.Addresses:
		row = &facts.AddressRow{Interface: name, Address: "192.0.2.1", Scope: fmt.Sprint(n)}
	}
	data, err := wire.EncodeRow(row)
	if err != nil {
		t.Fatal(err)
	}
	return facts.Item{Key: row.Key(), Data: data}
}

// step lets something happen on the host and returns the batch that tells of it.
func (h *host) step(t *testing.T, r *rapid.T, at time.Time) wire.Batch {
	h.seq++
	b := batch(h.seq)
	for _, section := range modelSections {
		rows := h.now[section]
		for range rapid.IntRange(0, 4).Draw(r, "changes") {
			name := string(rune('a' + rapid.IntRange(0, 7).Draw(r, "name")))
			if n := rapid.IntRange(0, 3).Draw(r, "value"); n == 0 {
				delete(rows, name)
			} else {
				rows[name] = int64(n)
			}
		}
		if rapid.IntRange(0, 5).Draw(r, "fails") == 0 {
			b.Updates = append(b.Updates, wire.SectionUpdate{Section: section, Status: facts.StatusFailed, Reason: "x", At: at.UnixMilli()})
			continue
		}
		items := []facts.Item{}
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			items = append(items, item(t, section, name, rows[name]))
		}
		base := h.told[section]
		if rapid.IntRange(0, 9).Draw(r, "full") == 0 {
			base = nil
		}
		u := update(section, base, items)
		u.At = at.UnixMilli()
		b.Updates = append(b.Updates, u)
		h.told[section] = items
	}
	return b
}

// snapshot is the truth of a moment.
type snapshot struct {
	at   time.Time
	rows state
	last uint64 // number of the newest change
}

func TestApplyAgreesWithAModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		dir := t.TempDir()
		now := t0
		s, err := Open(Config{Path: dir + "/" + FileName, NoSync: true, Now: func() time.Time { return now }})
		if err != nil {
			r.Fatal(err)
		}
		defer s.Close()
		s.block = rapid.SampledFrom([]int{1, 300, blockBytes}).Draw(r, "block")
		hosts := []*host{}
		for i := range 2 {
			h := &host{id: identity.HostID{byte(i + 1)}, told: map[facts.ID][]facts.Item{}, now: map[facts.ID]map[string]int64{}}
			for _, section := range modelSections {
				h.now[section] = map[string]int64{}
			}
			addHost(t, s, h.id)
			hosts = append(hosts, h)
		}
		m := model{state{}, map[string]bool{}, map[identity.HostID]map[facts.ID]bool{}, map[identity.HostID]bool{}}
		past := []snapshot{{at: now.Add(-time.Second), rows: state{}}}
		var waiting []Delivery
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			h := hosts[rapid.IntRange(0, 1).Draw(r, "host")]
			now = now.Add(time.Second)
			waiting = append(waiting, Delivery{h.id, h.step(t, r, now), now})
			if rapid.Bool().Draw(r, "hold") {
				continue
			}
			// The collector's clock goes on by a second, or is set back or forward.
			now = now.Add(rapid.SampledFrom([]time.Duration{time.Second, time.Second, time.Second, -time.Hour, time.Hour, -time.Minute}).Draw(r, "clock"))
			switch rapid.IntRange(0, 6).Draw(r, "network") {
			case 0:
				waiting = append(waiting, waiting[rapid.IntRange(0, len(waiting)-1).Draw(r, "again")])
			case 1:
				slices.Reverse(waiting)
			case 2:
				waiting = waiting[1:]
			case 3:
				m.remove(t, s, h, now)
			}
			for i := range waiting { // what was held back is known from now on
				waiting[i].Received = now
				for j := range waiting[i].Batch.Updates {
					waiting[i].Batch.Updates[j].At = now.UnixMilli()
				}
			}
			for i, o := range apply(t, s, waiting...) {
				m.check(t, &waiting[i], o)
				for _, section := range o.Resync {
					for _, h := range hosts {
						if h.id == waiting[i].Host {
							h.told[section] = nil
						}
					}
				}
			}
			waiting = waiting[:0]
			if d := cmp.Diff(m.rows, rowsOf(t, s)); d != "" {
				r.Fatalf("rows (-model +store):\n%s", d)
			}
			past = append(past, snapshot{now, maps.Clone(m.rows), lastChange(t, s)})
		}
		if d := cmp.Diff(m.rows, replay(t, s)); d != "" {
			r.Fatalf("replay (-model +log):\n%s", d)
		}
		compareBare(t, r, s)
		comparePast(t, r, s, past)
		if _, err := s.Prune(t0.Add(time.Duration(rapid.IntRange(0, 60).Draw(r, "prune")) * time.Second)); err != nil {
			r.Fatal(err)
		}
		if d := cmp.Diff(m.rows, replay(t, s)); d != "" {
			r.Fatalf("replay after prune (-model +log):\n%s", d)
		}
		comparePast(t, r, s, past)
		if err := s.Close(); err != nil {
			r.Fatal(err)
		}
		report, err := Check(s.path)
		if err = errors.Join(err, report.Err()); err != nil {
			r.Fatal(err)
		}
	})
}

func lastChange(t *testing.T, s *Store) (seq uint64) {
	t.Helper()
	if err := s.View(func(tx *Tx) (err error) { seq, err = tx.LastChange(); return err }); err != nil {
		t.Fatal(err)
	}
	return seq
}

// comparePast holds the states of the store equal to what was true then: what was known
// after the last that came by that moment, in the order in which it came.
func comparePast(t *testing.T, r *rapid.T, s *Store, past []snapshot) {
	t.Helper()
	err := s.View(func(tx *Tx) error {
		from, err := tx.HistoryFrom()
		if err != nil {
			return err
		}
		for _, p := range past {
			then, err := tx.AsOf(p.at)
			if p.at.Before(from) {
				if !errors.Is(err, ErrHistory) {
					r.Fatalf("as of %v, before %v: got %v, want ErrHistory", p.at, from, err)
				}
				continue
			}
			if err != nil {
				return err
			}
			truth := p
			for i, q := range past { // that the clock was set back is noticed by a change
				if i == 0 || q.last > past[i-1].last && !q.at.After(p.at) {
					truth = q
				}
			}
			if d := cmp.Diff(truth.rows, stateRows(t, then)); d != "" {
				r.Fatalf("as of %v (-truth +store):\n%s", p.at, d)
			}
		}
		if d := cmp.Diff(past[len(past)-1].rows, stateRows(t, tx.Now())); d != "" {
			r.Fatalf("now (-truth +store):\n%s", d)
		}
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
}

// model is what the rows must be: plain maps and the rules, nothing else.
type model struct {
	rows  state
	seen  map[string]bool
	heard map[identity.HostID]map[facts.ID]bool // sections that were reported; true: in doubt
	ask   map[identity.HostID]bool              // for what is in doubt
}

// remove takes a host out of the fleet and brings it back: it has what it had, in doubt.
func (m *model) remove(t *testing.T, s *Store, h *host, at time.Time) {
	t.Helper()
	err := s.Update(func(tx *Tx) error {
		return errors.Join(tx.RemoveHost(h.id, at, "test"), tx.ReviveHost(h.id, at))
	})
	if err != nil {
		t.Fatal(err)
	}
	m.ask[h.id] = true
	for section := range m.heard[h.id] {
		m.heard[h.id][section] = true
	}
}

// asks adds what is in doubt to what a host is asked for.
func (m *model) asks(id identity.HostID, resync []facts.ID) []facts.ID {
	for _, section := range slices.Sorted(maps.Keys(m.heard[id])) {
		if m.ask[id] && m.heard[id][section] && !slices.Contains(resync, section) {
			resync = append(resync, section)
		}
	}
	m.ask[id] = false
	return resync
}

// check applies a delivery to the model and compares the outcome.
func (m *model) check(t *testing.T, d *Delivery, o Outcome) {
	t.Helper()
	name := fmt.Sprint(d.Host, d.Batch.Seq)
	if o.Duplicate != m.seen[name] || o.Err != nil {
		t.Errorf("batch %s: outcome %+v, seen before: %v", name, o, m.seen[name])
	}
	if m.seen[name] {
		if want := m.asks(d.Host, nil); !slices.Equal(want, o.Resync) {
			t.Errorf("batch %s again: resync %v, want %v", name, o.Resync, want)
		}
		return
	}
	m.seen[name] = true
	heard := m.heard[d.Host]
	if heard == nil {
		heard = map[facts.ID]bool{}
		m.heard[d.Host] = heard
	}
	var resync []facts.ID
	for _, u := range d.Batch.Updates {
		if u.Status == facts.StatusFailed {
			if _, known := heard[u.Section]; !known {
				heard[u.Section] = false
			}
			continue
		}
		prefix := rowName(d.Host, u.Section, "")
		next := map[string][]byte{}
		for k, v := range m.rows {
			if len(k) > len(prefix) && k[:len(prefix)] == prefix && !u.Full {
				next[k[len(prefix):]] = v
			}
		}
		for _, data := range u.Put {
			row, err := wire.DecodeRow(u.Section, data)
			if err != nil {
				t.Fatal(err)
			}
			next[row.Key()] = data
		}
		for _, k := range u.Removed {
			delete(next, k)
		}
		var items []facts.Item
		for k, v := range next {
			items = append(items, facts.Item{Key: k, Data: v})
		}
		if facts.DigestOf(items) != u.Digest || heard[u.Section] && !u.Full {
			resync = append(resync, u.Section)
			continue
		}
		heard[u.Section] = false
		for k := range m.rows {
			if len(k) > len(prefix) && k[:len(prefix)] == prefix {
				delete(m.rows, k)
			}
		}
		for k, v := range next {
			m.rows[prefix+k] = v
		}
	}
	if resync = m.asks(d.Host, resync); !slices.Equal(resync, o.Resync) {
		t.Errorf("batch %s: resync %v, want %v", name, o.Resync, resync)
	}
}

func TestChangesOfAHostCanBeCutOut(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	addHost(t, s, h)
	var base []facts.Item
	for i := range 10 {
		now := append(slices.Clone(base), user(t, fmt.Sprintf("u%d", i), 1))
		us := []wire.SectionUpdate{update(facts.Users, base, now)}
		if i%2 == 1 {
			us = append(us, wire.SectionUpdate{Section: facts.Groups, Status: facts.StatusFailed + facts.Status(i%4)/2, Reason: "x"})
		}
		apply(t, s, Delivery{h, batch(uint64(i+1), us...), t0.Add(time.Duration(i) * time.Minute)})
		base = now
	}
	keys := func(q ChangeQuery) string {
		t.Helper()
		var out []byte
		err := s.View(func(tx *Tx) error {
			return tx.HostChanges(h, q, func(c Change) error {
				out = append(append(out, c.Key...), ' ')
				return nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return string(bytes.TrimSpace(out))
	}
	at := func(i int) time.Time { return t0.Add(time.Duration(i) * time.Minute) }
	f := func(q ChangeQuery, want string) {
		t.Helper()
		q.Section = facts.Users
		if got := keys(q); got != want {
			t.Errorf("%+v: got %q, want %q", q, got, want)
		}
	}
	f(ChangeQuery{From: at(3), To: at(5)}, "u4 u5")
	f(ChangeQuery{From: at(7), NewestFirst: true}, "u9 u8")
	f(ChangeQuery{Limit: 3, NewestFirst: true}, "u9 u8 u7")
	f(ChangeQuery{Before: 6, After: 2}, "u1 u2")
	f(ChangeQuery{Limit: 2, After: 1}, "u0 u1")
}

func TestLossesAreKept(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	addHost(t, s, h)
	b := batch(7)
	b.Losses = []wire.Loss{{FromSeq: 1, ToSeq: 6, Kind: wire.KindMetrics, Batches: 6, Reason: "spool full"}}
	apply(t, s, Delivery{h, b, t0}, Delivery{h, b, t0})
	err := s.View(func(tx *Tx) error {
		host, _, err := tx.Host(h)
		if host.LossBatches != 6 {
			t.Errorf("%d batches lost, want 6", host.LossBatches)
		}
		losses, err2 := tx.Losses(h)
		if len(losses) != 1 || losses[0].Reason != "spool full" {
			t.Errorf("losses %+v", losses)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestHelloTellsTheHighMarkOfItsEpoch(t *testing.T) {
	s := open(t)
	h := identity.HostID{1}
	hello := wire.Hello{Hostname: "web1", OS: "linux", Epoch: 1, At: t0.Add(5 * time.Second).UnixMilli(), IntervalMillis: 10_000}
	if _, err := s.Hello(h, hello, t0); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("unknown host: got %v", err)
	}
	addHost(t, s, h)
	apply(t, s, Delivery{h, batch(1), t0}, Delivery{h, batch(2), t0}, Delivery{h, batch(4), t0})
	high, err := s.Hello(h, hello, t0)
	if high != 2 || err != nil {
		t.Errorf("got %d, %v; want 2", high, err)
	}
	hello.Epoch = 2
	if high, err := s.Hello(h, hello, t0); high != 0 || err != nil {
		t.Errorf("new epoch: got %d, %v; want 0", high, err)
	}
	err = s.View(func(tx *Tx) error {
		host, _, err := tx.Host(h)
		if host.Name != "web1" || host.ClockOffset != 5*time.Second || host.Interval != 10*time.Second {
			t.Errorf("host %+v", host)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChecksumDependsOnThePlace(t *testing.T) {
	v := []byte("value")
	sums := map[uint32]bool{checksum("a", []byte("bc"), v): true, checksum("ab", []byte("c"), v): true, checksum("a", []byte("b"), append([]byte("c"), v...)): true}
	if len(sums) != 3 {
		t.Error("two places share a checksum")
	}
	if crc32.Checksum(v, castagnoli) == checksum("", nil, v) {
		t.Error("the checksum does not cover the length of the key")
	}
}
