package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"

	"github.com/google/go-cmp/cmp"
)

// childEnv makes the test binary the writer of TestNothingAcknowledgedIsLostToKills.
const childEnv = "ATALAYA_STORE_TEST_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := write(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var writerHost = identity.HostID{0xee}

// ledgerRow is what batch seq puts; the same in the writer and in the check.
func ledgerRow(seq uint64) facts.Item {
	return user(&testing.T{}, fmt.Sprintf("u%08d", seq), int64(seq))
}

// write applies batches until it is killed and prints the number of each when it is durable.
func write(path string) error {
	s, err := Open(Config{Path: path})
	if err != nil {
		return err
	}
	s.block = 1 << 10 // so that many are sealed
	var seq uint64
	var digest facts.Digest
	err = s.Update(func(tx *Tx) error {
		if err := tx.PutHost(Host{ID: writerHost, Name: "writer"}); err != nil {
			return err
		}
		h, _, err := tx.Host(writerHost)
		if err != nil {
			return err
		}
		states, err := tx.Sections(writerHost)
		if len(states) > 0 {
			digest = states[0].Digest
		}
		if err != nil {
			return err
		}
		seq, _, err = tx.HighSeq(h.Index, 1)
		return err
	})
	for err == nil {
		seq++
		it := ledgerRow(seq)
		digest = digest.Plus(it)
		u := update(facts.Users, []facts.Item{}, []facts.Item{it})
		u.Digest = digest
		var out []Outcome
		out, err = s.Apply([]Delivery{{writerHost, batch(seq, u), time.Now()}})
		if err == nil && (out[0].Err != nil || out[0].Duplicate || len(out[0].Resync) > 0) {
			err = fmt.Errorf("batch %d: %+v", seq, out[0])
		}
		fmt.Println(seq)
	}
	return err
}

func TestNothingAcknowledgedIsLostToKills(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	kills := 12
	if testing.Short() {
		kills = 3
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range kills {
		acked := runWriter(t, path, time.Duration(20+rng.IntN(120))*time.Millisecond)
		s := reopen(t, path)
		high := uint64(0)
		err := s.View(func(tx *Tx) error {
			h, _, err := tx.Host(writerHost)
			if err != nil {
				return err
			}
			high, _, err = tx.HighSeq(h.Index, 1)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if acked > 0 && high < acked {
			t.Fatalf("batch %d was acknowledged, the store knows %d", acked, high)
		}
		want := state{}
		for seq := uint64(1); seq <= high; seq++ {
			it := ledgerRow(seq)
			want[rowName(writerHost, facts.Users, it.Key)] = it.Data
		}
		if d := cmp.Diff(want, rowsOf(t, s)); d != "" {
			t.Fatalf("rows (-ledger +store):\n%s", d)
		}
		if d := cmp.Diff(want, replay(t, s)); d != "" {
			t.Fatalf("replay (-ledger +log):\n%s", d)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runWriter runs the writer for that long, kills it, and returns the last number it
// acknowledged.
func runWriter(t *testing.T, path string, d time.Duration) (acked uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(d, func() { cmd.Process.Kill() })
	defer kill.Stop()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil {
			acked = n
		}
	}
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() == 1 {
		t.Fatalf("writer ended by itself: %v", err)
	}
	return acked
}

// sample is a closed state file with a few hosts, and all that is in it.
type sample struct {
	data, high []byte
	truth      map[string]string
	rows       map[identity.HostID][]facts.Item
	next       *uint64
}

func newSample(t *testing.T) sample {
	t.Helper()
	s := open(t)
	s.block = 1 << 10 // so that some are sealed
	last := map[identity.HostID][]facts.Item{}
	for n := range byte(3) {
		id := identity.HostID{n + 1}
		addHost(t, s, id)
		var base []facts.Item
		for seq := range uint64(4) {
			now := []facts.Item{}
			for i := range 150 {
				now = append(now, user(t, fmt.Sprintf("user%04d", i), int64(i)*int64(seq+1)%7))
			}
			apply(t, s, Delivery{id, batch(seq+1, update(facts.Users, base, now)), t0})
			base = now
		}
		last[id] = base
	}
	truth, err := dump(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err1 := os.ReadFile(s.path)
	high, err2 := os.ReadFile(s.path + ".high")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	report, err := Check(s.path)
	if err != nil {
		t.Fatal(err)
	}
	return sample{data[:report.Bytes], high, truth, last, new(uint64)}
}

// dump reads all tables of a store.
func dump(s *Store) (map[string]string, error) {
	out := map[string]string{}
	err := s.View(func(tx *Tx) error {
		for _, name := range []string{tableMeta, tableHosts, tableIndex, tableMarks, tableSections, tableItems, tableContents, tableHeld, tableHave, tableChanges, tableByHost} {
			err := tx.Table(name).Scan(nil, func(k, v []byte) error {
				out[name+" "+string(k)] = string(v)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return tx.Changes(0, 0, func(Change) error { return nil })
	})
	return out, err
}

// What became of a damaged copy.
const (
	refusedCopy = "refused with what is damaged named" // the structure is: a backup has to be restored
	setBackCopy = "taken up one commit earlier, all hosts asked"
	mendedCopy  = "mended, what was lost came from the hosts"
	soundCopy   = "without effect"
)

// damageEnv is how many damages each of the tests makes that try them at random places.
const damageEnv = "ATALAYA_DAMAGE"

func damages(t *testing.T, otherwise, short int) int {
	t.Helper()
	if text := os.Getenv(damageEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if testing.Short() {
		return short
	}
	return otherwise
}

// try opens a damaged copy and checks that it is refused, or notices that it was set
// back, or is mended so that the hosts can bring back what is lost, or gives the truth.
func (sm sample) try(t *testing.T, name string, data []byte) (became string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), FileName)
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.WriteFile(path+".high", sm.high, 0o600)); err != nil {
		t.Fatal(err)
	}
	var logged bytes.Buffer
	s, err := Open(Config{Path: path, NoSync: true, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		if !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want ErrCorrupt", name, err)
		}
		return refusedCopy
	}
	defer s.Close()
	if strings.Contains(logged.String(), "older than the last commit") {
		return setBackCopy
	}
	if s.found.Count > 0 {
		if !strings.Contains(logged.String(), "table=") {
			t.Errorf("%s: mended without a word: %s", name, logged.String())
		}
		sm.heal(t, name, s)
		return mendedCopy
	}
	got, err := dump(s)
	if err != nil {
		t.Errorf("%s: opened, then %v", name, err)
	}
	if d := cmp.Diff(sm.truth, got); d != "" {
		t.Errorf("%s: wrong values (-want +got):\n%s", name, d)
	}
	return soundCopy
}

// heal checks a store that was mended when it was opened: no row is wrong, and once
// the hosts have told their sections again all is as it was and stays so.
func (sm sample) heal(t *testing.T, name string, s *Store) {
	t.Helper()
	for id, rows := range sm.rows {
		err := s.View(func(tx *Tx) error {
			return tx.Rows(id, facts.Users, func(key string, data []byte) error {
				i := slices.IndexFunc(rows, func(it facts.Item) bool { return it.Key == key })
				if i < 0 || !bytes.Equal(rows[i].Data, data) {
					t.Errorf("%s: wrong row %q of %s: %x", name, key, id, data)
				}
				return nil
			})
		})
		if err != nil {
			t.Errorf("%s: mended, then %v", name, err)
		}
		for _, full := range []bool{false, true, true} { // what a host does that is asked for the whole
			u := update(facts.Users, rows, rows)
			if full {
				u = update(facts.Users, nil, rows)
			}
			if out := apply(t, s, Delivery{id, batch(100+sm.seq(), u), t0.Add(time.Hour)}); out[0].Err != nil || out[0].Failed != nil || full && len(out[0].Resync) > 0 {
				t.Errorf("%s: %+v", name, out[0])
			}
		}
	}
	want := state{}
	for id, rows := range sm.rows {
		for _, it := range rows {
			want[rowName(id, facts.Users, it.Key)] = it.Data
		}
	}
	if d := cmp.Diff(want, rowsOf(t, s)); d != "" {
		t.Errorf("%s: after the hosts told all again (-want +got):\n%s", name, d)
	}
	err := s.View(func(tx *Tx) error {
		stateRows(t, tx.Now())
		return errors.Join(tx.Changes(0, 0, func(Change) error { return nil }))
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if report, err := Check(s.path); err != nil || report.Err() != nil {
		t.Errorf("%s: mended file: %v, %v", name, err, report.Damage)
	}
}

// seq gives numbers for batches that come later.
func (sm sample) seq() uint64 { *sm.next++; return *sm.next }

func TestBitFlipsNeverGiveWrongValues(t *testing.T) {
	sm := newSample(t)
	rng := rand.New(rand.NewPCG(3, 4))
	became := map[string]int{}
	for range damages(t, 300, 60) {
		bit := rng.IntN(len(sm.data) * 8)
		data := bytes.Clone(sm.data)
		data[bit/8] ^= 1 << (bit % 8)
		became[sm.try(t, fmt.Sprintf("bit %d", bit), data)]++
	}
	t.Logf("flips in %d bytes: %v", len(sm.data), became)
	if len(became) == 1 {
		t.Error("no flip was noticed")
	}
}

func TestZeroedPagesAndCutFilesAreRefused(t *testing.T) {
	sm := newSample(t)
	page := pageSize
	for at := 0; at < len(sm.data); at += page {
		data := bytes.Clone(sm.data)
		clear(data[at : at+page])
		sm.try(t, fmt.Sprintf("page %d", at/page), data)
	}
	for _, size := range []int{1, 4095, 4096, 8192, 12288, len(sm.data) / 2, len(sm.data) - page} {
		sm.try(t, fmt.Sprintf("cut to %d", size), sm.data[:size])
	}
}

// TestLostPagesNeverGiveWrongValues: pieces of the file that a disk lost, mixed up or
// filled with something else.
func TestLostPagesNeverGiveWrongValues(t *testing.T) {
	sm := newSample(t)
	rng := rand.New(rand.NewPCG(5, 6))
	became := map[string]int{}
	place := func() int { return rng.IntN(len(sm.data)/4096) * 4096 }
	for range damages(t, 60, 15) {
		data := bytes.Clone(sm.data)
		at, n := place(), 4096*(1+rng.IntN(4))
		lost := data[at:min(at+n, len(data))]
		name := fmt.Sprintf("%d bytes at %d", len(lost), at)
		switch rng.IntN(5) {
		case 0:
			name += " zeroed"
			clear(lost)
		case 1:
			name += " filled"
			for i := range lost {
				lost[i] = byte(rng.Uint32())
			}
		case 2:
			from := place()
			name += fmt.Sprintf(" copied from %d", from)
			copy(lost, sm.data[from:])
		case 3:
			name += " and all behind cut off"
			data = data[:at+rng.IntN(4096)]
		case 4:
			name += " and all behind zeroed"
			clear(data[at:])
		}
		became[sm.try(t, name, data)]++
	}
	t.Logf("losses in %d bytes: %v", len(sm.data), became)
	if len(became) == 1 {
		t.Error("no loss was noticed")
	}
}

func TestStalePageIsNoticed(t *testing.T) {
	// A page that returns to an older, sound state passes every checksum of its
	// values; only the sum of the table tells.
	s := open(t)
	put := func(v string) {
		t.Helper()
		err := s.Update(func(tx *Tx) error { return tx.Table("test.a").Put([]byte("key"), []byte(v)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	put("value one")
	old := checksum("test.a", []byte("key"), []byte("value one"))
	put("value two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(s.path)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(v string) []byte {
		c := checksum("test.a", []byte("key"), []byte(v))
		return append([]byte("key"+v), byte(c), byte(c>>8), byte(c>>16), byte(c>>24))
	}
	if old == 0 || !bytes.Contains(data, seal("value two")) {
		t.Fatal("the record is not where it should be")
	}
	data = bytes.ReplaceAll(data, seal("value two"), seal("value one"))
	if err := os.WriteFile(s.path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: s.path}); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "older state") {
		t.Errorf("got %v, want the older state noticed", err)
	}
}

func TestDamageUnderAnOpenStoreIsAnErrorNotACrash(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(*os.File, int64) error
	}{
		{"value", func(f *os.File, size int64) error {
			data := make([]byte, size)
			if _, err := f.ReadAt(data, 0); err != nil {
				return err
			}
			for at := range data {
				if bytes.HasPrefix(data[at:], []byte("user0007\x01")) || bytes.HasPrefix(data[at:], []byte("user0007")) {
					if _, err := f.WriteAt([]byte{'X'}, int64(at)); err != nil {
						return err
					}
				}
			}
			return nil
		}},
		{"zeroed", func(f *os.File, size int64) error { // all but the two root pages
			_, err := f.WriteAt(make([]byte, size-2*pageSize), 2*pageSize)
			return err
		}},
		{"cut", func(f *os.File, _ int64) error { return f.Truncate(2 * pageSize) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			sm := newSample(t)
			path := filepath.Join(t.TempDir(), FileName)
			if err := os.WriteFile(path, sm.data, 0o600); err != nil {
				t.Fatal(err)
			}
			s := reopen(t, path)
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := c.damage(f, int64(len(sm.data))); err != nil {
				t.Fatal(err)
			}
			got, err := dump(s)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("reading: got %v, want ErrCorrupt", err)
			}
			for k, v := range got {
				if sm.truth[k] != v {
					t.Errorf("wrong value of %q", k)
				}
			}
			_, err = s.Apply([]Delivery{{identity.HostID{1}, batch(9, update(facts.Users, nil, nil)), t0}})
			t.Logf("applying: %v", err)
		})
	}
}

func TestLostTransactionIsNoticed(t *testing.T) {
	sm := newSample(t)
	data := bytes.Clone(sm.data)
	// The newer root page is the one with the greater transaction number.
	newer := 0
	if bytes.Compare(reverse(data[pageSize+64:pageSize+72]), reverse(data[64:72])) > 0 {
		newer = pageSize
	}
	data[newer+70] ^= 1
	path := filepath.Join(t.TempDir(), FileName)
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.WriteFile(path+".high", sm.high, 0o600)); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, path)
	err := s.View(func(tx *Tx) error {
		states, err := tx.Sections(identity.HostID{1})
		if len(states) != 1 || !states[0].Doubtful {
			t.Errorf("states %+v, want them in doubt", states)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	id := identity.HostID{1}
	now := []facts.Item{user(t, "ann", 1)}
	if out := apply(t, s, Delivery{id, batch(20, update(facts.Users, now, now)), t0}); len(out[0].Resync) != 1 {
		t.Errorf("outcome %+v, want a resync", out[0])
	}
	if out := apply(t, s, Delivery{id, batch(21, update(facts.Users, nil, now)), t0}); len(out[0].Resync) != 0 {
		t.Errorf("outcome %+v, want the whole section taken", out[0])
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: path}); err == nil || !strings.Contains(err.Error(), "restore a backup") {
		t.Errorf("state file gone: got %v, want what to do", err)
	}
}

func reverse(b []byte) []byte {
	out := bytes.Clone(b)
	for i := range out {
		out[i] = b[len(b)-1-i]
	}
	return out
}

func TestNewerStateIsRefused(t *testing.T) {
	s := open(t)
	if err := s.Update(func(tx *Tx) error { return tx.putMeta(metaVersion, formatVersion+1) }); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Path: s.path}); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

func TestBackupIsAWholeStore(t *testing.T) {
	sm := newSample(t)
	path := filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, sm.data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, path)
	copyTo := filepath.Join(t.TempDir(), "copy.db")
	f, err := os.Create(copyTo)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Backup(f), f.Close()); err != nil {
		t.Fatal(err)
	}
	got, err := dump(reopen(t, copyTo))
	if d := cmp.Diff(sm.truth, got); d != "" || err != nil {
		t.Errorf("%v, (-want +got):\n%s", err, d)
	}
}
