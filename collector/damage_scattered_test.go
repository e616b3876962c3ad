package collector

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"atalaya/collector/asset"
	"atalaya/collector/cmdb"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"

	"github.com/google/go-cmp/cmp"
)

// scatter flips that many bits of the file, none of them in its two root pages.
func scatter(rng *rand.Rand, data []byte, bits int) {
	const roots = 2 * 8 << 10
	for range bits {
		data[roots+rng.IntN(len(data)-roots)] ^= 1 << rng.IntN(8)
	}
}

// TestScatteredDamageIsHealedOrNamesTheBackup: a start with many faults at once serves what
// is left, or says what to do. What it mended it does not refuse later, and once the hosts
// have told all again nothing is missing or counted twice in any view.
func TestScatteredDamageIsHealedOrNamesTheBackup(t *testing.T) {
	n := damageCount(t, 6)
	s := newFullState(t)
	for _, bits := range []int{3, 10, 30} {
		t.Run(fmt.Sprint(bits, "bits"), func(t *testing.T) {
			became := map[string]int{}
			for seed := range uint64(n) {
				data := bytes.Clone(s.data)
				scatter(rand.New(rand.NewPCG(seed, uint64(bits))), data, bits)
				became[s.try(t, fmt.Sprint("seed ", seed), data)]++
				s.live(t, fmt.Sprint("seed ", seed), data)
			}
			t.Logf("%d pages, %d times: %v", len(s.data)/(8<<10), n, became)
		})
	}
}

// live starts on a damaged copy, lets all hosts tell all again, and compares the views with
// those of a file that was never damaged, and with themselves made anew.
func (s *fullState) live(t *testing.T, name string, data []byte) {
	t.Helper()
	path, remove := s.copyOf(t, data)
	defer remove()
	now := s.now
	open := func() (*store.Store, error) {
		return store.Open(store.Config{Path: path, NoSync: true, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)})
	}
	st, err := open()
	if err != nil {
		if !strings.Contains(err.Error(), "restore the last backup") {
			t.Errorf("%s: refused without a next step: %v", name, err)
		}
		return
	}
	catchUp := func() error {
		return errors.Join(asset.New(st).CatchUp(), ledger.CatchUp(st), inventory.New(st).CatchUp(t.Context()), cmdb.New(st).CatchUp(t.Context()))
	}
	fail := func(what string, err error) bool {
		if err != nil {
			t.Errorf("%s: %s: %v", name, what, err)
		}
		return err != nil
	}
	for range 2 {
		if fail("opened, then", catchUp()) {
			_ = st.Close() // the error above counts
			return
		}
		if err = st.Close(); err == nil {
			st, err = open()
		}
		if fail("mended, then refused", err) {
			return
		}
	}
	defer func() { fail("close", st.Close()) }()
	for seq := range uint64(2) { // the second is the answer to what was asked after the first
		for host := range byte(12) {
			if fail("tell again", tellAll(st, int(host), 1000+seq, now)) || fail("told again, then", catchUp()) {
				return
			}
		}
	}
	now = now.Add(2 * time.Minute)
	if fail("told again, then", catchUp()) {
		return
	}
	got := allRows(t, st)
	if d := cmp.Diff(s.rows, got); d != "" {
		t.Errorf("%s: rows after all was told again (-want +got):\n%s", name, d)
	}
	served, err := views(st)
	if fail("read", err) {
		return
	}
	if d := cmp.Diff(viewsOf(s.truth), served); d != "" {
		t.Errorf("%s: views after all was told again (-want +got):\n%s", name, d)
	}
	if fail("made anew", errors.Join(cmdb.New(st).Rebuild(t.Context()), inventory.New(st).Rebuild(t.Context()))) {
		return
	}
	anew, err := views(st)
	if d := cmp.Diff(anew, served); d != "" || err != nil {
		t.Errorf("%s: views differ from those made anew, %v (-anew +served):\n%s", name, err, d)
	}
}

// TestAViewThatCannotBeMadeNamesTheBackup, as damage that is found earlier does.
func TestAViewThatCannotBeMadeNamesTheBackup(t *testing.T) {
	c := &collector{cfg: Config{DataDir: "/srv/data"}}
	damage := &store.CorruptError{Table: "cmdb.shared", Detail: "not decodable"}
	for _, err := range []error{fmt.Errorf("view cmdb: %w", damage), store.Report{Path: "state.db", Count: 1}.Err()} {
		got := c.advised(err)
		if text := got.Error(); strings.Count(text, "restore the last backup") != 1 || !strings.HasSuffix(text, ": atalaya restore BACKUP --data /srv/data") || !errors.Is(got, store.ErrCorrupt) {
			t.Errorf("%q", text)
		}
	}
	if other := errors.New("address in use"); c.advised(other) != other {
		t.Error("an error that a backup does not mend names one")
	}
}

// tellAll has a host tell all of its sections as it did last.
func tellAll(st *store.Store, host int, seq uint64, now time.Time) error {
	b := wire.Batch{Epoch: 1, Seq: seq, Kind: wire.KindInventory, Checksum: uint32(seq)}
	for _, section := range toldSections {
		items, err := wire.Items(facts.Sort(told(host, lastRound)[section]))
		if err != nil {
			return err
		}
		u := wire.SectionUpdate{Section: section, Status: facts.StatusOK, Full: true, At: now.UnixMilli(), Digest: facts.DigestOf(items)}
		for _, it := range items {
			u.Put = append(u.Put, it.Data)
		}
		b.Updates = append(b.Updates, u)
	}
	out, err := st.Apply([]store.Delivery{{Host: identity.HostID{byte(host + 1)}, Received: now, Batch: b}})
	if err == nil {
		err = errors.Join(out[0].Err, out[0].Failed)
	}
	return err
}

// views reads the tables of the views over the change log.
func views(st *store.Store) (map[string]string, error) {
	all, err := allRecords(st)
	return viewsOf(all), err
}

// viewsOf leaves out since when the software of the fleet is there: as far back as the log goes.
func viewsOf(all map[string]map[string]string) map[string]string {
	out := map[string]string{}
	for table, records := range all {
		if !strings.HasPrefix(table, "inventory.") && !strings.HasPrefix(table, "cmdb.") {
			continue
		}
		for k, v := range records {
			if table == "cmdb.shared" {
				_, n := binary.Varint([]byte(v))
				v = v[n:]
			}
			out[fmt.Sprintf("%s %q", table, k)] = fmt.Sprintf("%q", v)
		}
	}
	return out
}
