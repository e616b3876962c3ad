package collector

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"atalaya/collector/asset"
	"atalaya/collector/cmdb"
	"atalaya/collector/enroll"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/inventory"
	"atalaya/collector/store"
	"atalaya/collector/store/storetest"
	"atalaya/shared/facts"
	"atalaya/shared/identity"

	"github.com/google/go-cmp/cmp"
)

// damageEnv is how many damages of each kind are tried, as for the tests of the store.
const damageEnv = "ATALAYA_DAMAGE"

// fullState is a closed state file with something of all that the collector keeps.
type fullState struct {
	data, high []byte
	now        time.Time
	truth      map[string]map[string]string // table -> key -> value
	past       time.Time
	then       map[asset.ID]asset.Record // at past
	rows       map[string]string         // host, section and key -> row
}

func newFullState(t *testing.T) *fullState {
	t.Helper()
	f := storetest.New(t, time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	book := asset.New(f.Store)
	for i := range byte(12) {
		id := f.Host(i+1, fmt.Sprintf("web%02d", i), "prod")
		for round := range lastRound + 1 {
			for _, section := range toldSections {
				f.Report(id, section, told(int(i), round)[section]...)
			}
			f.Now = f.Now.Add(time.Hour)
		}
		greet := ledger.Newcomer{ID: id, Hostname: fmt.Sprintf("web%02d", i), At: f.Now, Connected: func(identity.HostID) bool { return true },
			Facts: []identity.Fact{{Kind: 1, Value: fmt.Sprintf("4c4c4544-0042-%04d-8051-b4c04f313233", i)}}}
		f.Do(func(tx *store.Tx) error { return ledger.Enrolled(tx, greet) })
	}
	for i := range 400 {
		if _, err := book.Add(asset.Edit{By: "ana", Set: map[string]string{"asset_tag": fmt.Sprintf("IT-%05d", i), "owner": fmt.Sprintf("person %d", i%40)}}); err != nil {
			t.Fatal(err)
		}
	}
	f.Now = f.Now.Add(time.Hour)
	past := f.Now
	f.Now = f.Now.Add(time.Hour)
	for i := range 60 {
		if _, _, err := book.Change(fmt.Sprintf("IT-%05d", i*5), asset.Edit{By: "ben", Set: map[string]string{"owner": "new one"}}); err != nil {
			t.Fatal(err)
		}
	}
	ca, err := enroll.OpenAuthority(t.Context(), enroll.Config{Dir: t.TempDir(), Store: f.Store, Address: "127.0.0.1:7443", Now: func() time.Time { return f.Now }})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ca.CreateTokens(t.Context(), enroll.TokenOptions{Note: "rack 4"}, 200); err != nil {
		t.Fatal(err)
	}
	f.Do(putOthers)
	for _, catchUp := range []func() error{
		func() error { return inventory.New(f.Store).CatchUp(t.Context()) },
		func() error { return cmdb.New(f.Store).CatchUp(t.Context()) },
		func() error { return ledger.CatchUp(f.Store) },
	} {
		if err := catchUp(); err != nil {
			t.Fatal(err)
		}
	}
	s := &fullState{now: f.Now, past: past}
	if s.truth, err = allRecords(f.Store); err != nil {
		t.Fatal(err)
	}
	s.then = assetsAt(t, f.Store, past)
	s.rows = allRows(t, f.Store)
	f.Close()
	var err2 error
	s.data, err = os.ReadFile(f.Path)
	s.high, err2 = os.ReadFile(f.Path + ".high")
	report, err3 := store.Check(f.Path)
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	s.data = s.data[:report.Bytes]
	return s
}

// lastRound is the newest of what hosts told.
const lastRound = 2

var toldSections = []facts.ID{facts.Packages, facts.Users, facts.OS, facts.Services}

// told is what a host tells in a round, by section.
func told(host, round int) map[facts.ID][]facts.Row {
	var rows []facts.Row
	for p := range 120 {
		rows = append(rows, &facts.PackageRow{Source: "dpkg", Name: fmt.Sprintf("pkg%03d", p), Version: fmt.Sprint(p%7+round, ".", host%3), Arch: "amd64"})
	}
	return map[facts.ID][]facts.Row{facts.Packages: rows,
		facts.OS:       {&facts.OSRow{ID: "debian", Name: "Debian", Version: fmt.Sprint(10 + round)}},
		facts.Services: {&facts.ServiceRow{Name: "ssh"}, &facts.ServiceRow{Name: fmt.Sprint("app", host%4), State: "running"}},
		facts.Users:    {&facts.UserRow{Name: "ann", UID: int64(host)}, &facts.UserRow{Name: "bob", UID: int64(round)}}}
}

// putOthers writes records of the tables that nothing of this test writes otherwise.
func putOthers(tx *store.Tx) error {
	put := func(table string, n int, key func(int) []byte) error {
		for i := range n {
			v, err := json.Marshal(map[string]any{"number": i, "text": strings.Repeat("x", 60)})
			if err == nil {
				err = tx.Table(table).Put(key(i), v)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	name := func(i int) []byte { return fmt.Appendf(nil, "name-%05d", i) }
	hash := func(i int) []byte { return fmt.Appendf(nil, "%032d", i*7919) }
	number := func(i int) []byte { return []byte{0, 0, 0, 0, 0, 0, byte(i >> 8), byte(i)} }
	return errors.Join(put("query.saved", 150, name), put("alert.active", 150, name), put("alert.groups", 10, name), put("auth.tokens", 80, name),
		put("enroll.keys", 150, hash), put("alert.history", 400, number), put("alert.outbox", 30, number), put("identity.merges", 10, number))
}

// allRecords reads all tables but those that tell of the file itself.
func allRecords(s *store.Store) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	tables, err := s.Tables()
	if err != nil {
		return nil, err
	}
	return out, s.View(func(tx *store.Tx) error {
		for _, table := range tables {
			if table.Name == "store.tables" {
				continue
			}
			records := map[string]string{}
			err := tx.Table(table.Name).Scan(nil, func(k, v []byte) error {
				records[string(k)] = string(v)
				return nil
			})
			if err != nil {
				return err
			}
			out[table.Name] = records
		}
		return nil
	})
}

func assetsAt(t *testing.T, s *store.Store, at time.Time) map[asset.ID]asset.Record {
	t.Helper()
	out := map[asset.ID]asset.Record{}
	err := s.View(func(tx *store.Tx) error {
		return asset.AsOf(tx, at, func(r asset.Record) error {
			out[r.ID] = r
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

func allRows(t *testing.T, s *store.Store) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := s.View(func(tx *store.Tx) error {
		return tx.Hosts(func(h store.Host) error {
			for _, section := range toldSections {
				err := tx.Rows(h.ID, section, func(key string, data []byte) error {
					out[fmt.Sprint(h.ID, section, key)] = string(data)
					return nil
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

// copyOf writes a state file with the high mark of the sound one into a folder of its own,
// which remove takes away.
func (s *fullState) copyOf(t *testing.T, data []byte) (path string, remove func()) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, store.FileName)
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.WriteFile(path+".high", s.high, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path, func() { os.RemoveAll(dir) }
}

// try starts on a damaged copy as the collector does, and checks all that is served.
func (s *fullState) try(t *testing.T, name string, data []byte) string {
	t.Helper()
	path, remove := s.copyOf(t, data)
	defer remove()
	var logged bytes.Buffer
	st, err := store.Open(store.Config{Path: path, NoSync: true, Now: func() time.Time { return s.now }, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
		damage := new(store.CorruptError)
		if !errors.As(err, &damage) || len(damage.Lines()) == 0 || len(damage.Lines()) > 20 {
			t.Errorf("%s: the refusal lists %q", name, damage.Lines())
		}
		first, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "state is damaged: "), ";")
		t.Logf("%s: refused: %s", name, first)
		return "refused"
	}
	defer st.Close()
	if err := errors.Join(asset.New(st).CatchUp(), ledger.CatchUp(st), inventory.New(st).CatchUp(t.Context()), cmdb.New(st).CatchUp(t.Context())); err != nil {
		t.Errorf("%s: opened, then %v", name, err)
		return "broken"
	}
	return s.compare(t, name, st, logged.String())
}

// compare checks that no value is wrong and that what is missing is named.
func (s *fullState) compare(t *testing.T, name string, st *store.Store, logged string) string {
	t.Helper()
	var lost []store.Loss
	err := st.View(func(tx *store.Tx) (err error) {
		lost, err = tx.Lost()
		return err
	})
	got, err2 := allRecords(st)
	if err := errors.Join(err, err2); err != nil {
		t.Errorf("%s: opened, then %v", name, err)
		return "broken"
	}
	named := func(table string) bool {
		return slices.ContainsFunc(lost, func(l store.Loss) bool { return l.Table == table })
	}
	setBack := strings.Contains(logged, "older than the last commit")
	for table, records := range s.truth {
		own := strings.HasPrefix(table, "store.") || strings.HasPrefix(table, "inventory.") || strings.HasPrefix(table, "cmdb.") || table == "identity.facts"
		if own || setBack {
			continue
		}
		for k, v := range records {
			is, there := got[table][k]
			switch {
			case there && is != v && !strings.Contains(is, `"kind":"lost"`):
				t.Errorf("%s: table %s, key %x: wrong value %q", name, table, k, is)
			case !there && !named(table):
				t.Errorf("%s: table %s lacks %x and nothing is said of it", name, table, k)
			}
		}
		for k := range got[table] {
			if _, there := records[k]; !there {
				t.Errorf("%s: table %s has %x, which there was not", name, table, k)
			}
		}
	}
	for key, row := range allRows(t, st) {
		if s.rows[key] != row && !setBack {
			t.Errorf("%s: wrong row %q", name, key)
		}
	}
	for id, r := range assetsAt(t, st, s.past) {
		want := s.then[id]
		if r.ChangedAt == 0 { // not known any more
			want.ChangedAt, want.ChangedBy = 0, ""
		}
		if d := cmp.Diff(want, r); d != "" {
			t.Errorf("%s: asset %s in the past (-want +got):\n%s", name, id, d)
		}
	}
	for _, l := range lost {
		if !strings.Contains(logged, "table="+l.Table) && l.Table != "asset.log" {
			t.Errorf("%s: the log does not name %s", name, l.Table)
		}
	}
	switch {
	case setBack:
		return "set back by a commit"
	case len(lost) > 0:
		return "healed, losses named"
	case strings.Contains(logged, "damaged"):
		return "healed, nothing lost"
	}
	return "without effect"
}

// damageCount is how many damages are tried.
func damageCount(t *testing.T, otherwise int) int {
	t.Helper()
	if text := os.Getenv(damageEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return otherwise / 6
	}
	return otherwise
}

// TestDamageTakesOnlyWhatItHits counts what becomes of a full state file after one damage
// at a random place. Refused may be only what the document lists.
func TestDamageTakesOnlyWhatItHits(t *testing.T) {
	n := damageCount(t, 60)
	s := newFullState(t)
	pages := len(s.data) / (8 << 10)
	for _, kind := range []struct {
		name   string
		damage func(rng *rand.Rand, data []byte) string
	}{
		{"flipped bit", func(rng *rand.Rand, data []byte) string {
			bit := rng.IntN(len(data) * 8)
			data[bit/8] ^= 1 << (bit % 8)
			return fmt.Sprintf("bit %d", bit)
		}},
		{"bit of a page's beginning", func(rng *rand.Rand, data []byte) string { // headers and elements
			bit := rng.IntN(pages)*(8<<10)*8 + rng.IntN(512*8)
			data[bit/8] ^= 1 << (bit % 8)
			return fmt.Sprintf("bit %d", bit)
		}},
		{"zeroed page", func(rng *rand.Rand, data []byte) string {
			page := rng.IntN(pages)
			clear(data[page*(8<<10) : (page+1)*(8<<10)])
			return fmt.Sprintf("page %d", page)
		}},
	} {
		t.Run(kind.name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(7, 8))
			became := map[string]int{}
			for range n {
				data := bytes.Clone(s.data)
				became[s.try(t, kind.damage(rng, data), data)]++
			}
			t.Logf("%d pages, %d times: %v", pages, n, became)
			if became["refused"]*5 > n {
				t.Errorf("%d of %d are refused", became["refused"], n)
			}
			if became["without effect"] == n {
				t.Error("no damage was noticed")
			}
		})
	}
}
