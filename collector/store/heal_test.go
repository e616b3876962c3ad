package store

import (
	"bytes"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
)

// flip damages one byte of a stored value, counted from its end when at is negative.
func flip(t *testing.T, s *Store, name string, key []byte, at int) {
	t.Helper()
	err := s.Update(func(tx *Tx) error {
		table := tx.Table(name)
		if err := table.open(); err != nil {
			return err
		}
		stored := bytes.Clone(table.bucket.Get(key))
		stored[(at+len(stored))%len(stored)] ^= 0x40
		return table.bucket.Put(key, stored)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pair is a store with two hosts of a few users each, after batch 1.
func pair(t *testing.T) (s *Store, logged *bytes.Buffer, base []facts.Item) {
	t.Helper()
	logged = new(bytes.Buffer)
	s, err := Open(Config{Path: filepath.Join(t.TempDir(), FileName), NoSync: true, Log: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	base = []facts.Item{user(t, "ann", 1), user(t, "bob", 2)}
	for _, id := range []identity.HostID{{1}, {2}} {
		addHost(t, s, id)
		apply(t, s, Delivery{id, batch(1, update(facts.Users, nil, base)), t0})
	}
	return s, logged, base
}

func TestDamagedSectionStatesAreMadeAnewAndAskedFor(t *testing.T) {
	var all []facts.ID
	for _, section := range facts.Sections() {
		all = append(all, section.ID)
	}
	for name, at := range map[string]int{"value": 0, "checksum": -1} {
		t.Run(name, func(t *testing.T) {
			s, logged, base := pair(t)
			flip(t, s, tableSections, indexKey(1), at)
			now := append(base[:1:1], user(t, "bob", 3))
			out := apply(t, s,
				Delivery{identity.HostID{1}, batch(2, update(facts.Users, base, now)), t0},
				Delivery{identity.HostID{2}, batch(2, update(facts.Users, base, now)), t0})
			want := []Outcome{{Resync: append([]facts.ID{facts.Users}, all...)}, {}}
			if d := cmp.Diff(want, out); d != "" {
				t.Errorf("outcomes (-want +got):\n%s", d)
			}
			if log := logged.String(); !strings.Contains(log, identity.HostID{1}.String()) || !strings.Contains(log, tableSections) {
				t.Errorf("log %q, want the host and the table", log)
			}
			out = apply(t, s, Delivery{identity.HostID{1}, batch(3, update(facts.Users, nil, now)), t0})
			if d := cmp.Diff([]Outcome{{}}, out); d != "" {
				t.Errorf("whole section (-want +got):\n%s", d)
			}
			want1 := string(now[1].Data)
			got := rowsOf(t, s)
			if len(got) != 4 || string(got[rowName(identity.HostID{1}, facts.Users, "bob")]) != want1 {
				t.Errorf("rows %q", got)
			}
			if d := cmp.Diff(got, replay(t, s)); d != "" {
				t.Errorf("the change log tells of other rows (-stored +log):\n%s", d)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			reopen(t, s.path) // sound again
		})
	}
}

// TestDamagedHostFailsAloneAndIsNotRefused: what is refused is acknowledged, and the
// host throws it away.
func TestDamagedHostFailsAloneAndIsNotRefused(t *testing.T) {
	host := identity.HostID{1}
	for _, c := range []struct {
		table string
		key   []byte
	}{{tableMarks, indexKey(1)}, {tableHosts, host[:]}} {
		t.Run(c.table, func(t *testing.T) {
			s, _, base := pair(t)
			flip(t, s, c.table, c.key, 0)
			s.Seen(host, t0)
			s.flushed = s.flushed.Add(-2 * seenEvery) // what is due is written for the others
			delta := update(facts.Users, base, base[:1])
			out := apply(t, s, Delivery{host, batch(2, delta), t0}, Delivery{identity.HostID{2}, batch(2, delta), t0})
			if !errors.Is(out[0].Failed, ErrCorrupt) || out[0].Err != nil || !strings.Contains(out[0].Failed.Error(), c.table) {
				t.Errorf("damaged host: %+v, want Failed with ErrCorrupt and the table", out[0])
			}
			if d := cmp.Diff(Outcome{}, out[1]); d != "" {
				t.Errorf("the other host (-want +got):\n%s", d)
			}
		})
	}
}

func TestDamagedLossesDoNotHoldUpTheHost(t *testing.T) {
	s, logged, _ := pair(t)
	b := batch(2)
	b.Losses = []wire.Loss{{Batches: 3}}
	apply(t, s, Delivery{identity.HostID{1}, b, t0})
	flip(t, s, tableLosses, indexKey(1), 0)
	b.Seq = 3
	if out := apply(t, s, Delivery{identity.HostID{1}, b, t0}); out[0].Failed != nil || out[0].Err != nil {
		t.Errorf("outcome %+v, want none", out[0])
	}
	if !strings.Contains(logged.String(), tableLosses) {
		t.Errorf("log %q, want the damage named", logged)
	}
}

// TestDamagedRowOfARefusedBatchIsAskedForAgain: the row is gone though the batch that
// was to replace it was not taken.
func TestDamagedRowOfARefusedBatchIsAskedForAgain(t *testing.T) {
	s, _, base := pair(t)
	flip(t, s, tableHeld, sectionKey(1, facts.Users), 0)
	whole := update(facts.Users, nil, base)
	if out := apply(t, s, Delivery{identity.HostID{1}, batch(2, whole, whole), t0}); !errors.Is(out[0].Err, ErrMalformed) {
		t.Errorf("section twice: %+v, want ErrMalformed", out[0])
	}
	now := []facts.Item{base[0], user(t, "bob", 3)}
	out := apply(t, s, Delivery{identity.HostID{1}, batch(3, update(facts.Users, base, now)), t0})
	if d := cmp.Diff([]facts.ID{facts.Users}, out[0].Resync); d != "" {
		t.Errorf("resync (-want +got):\n%s", d)
	}
}
