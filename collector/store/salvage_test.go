package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"

	"github.com/google/go-cmp/cmp"
)

func TestASummaryListsTheWorstFirstAndNoSecrets(t *testing.T) {
	c := newChecker(nil, 0, "state.db")
	secret := bytes.Repeat([]byte{0xab}, 32)
	for i := range 31 {
		c.bad(fmt.Sprintf("test.%02d", i), bytes.Repeat([]byte{1}, 300), 7, "checksum does not match")
	}
	c.bad("enroll.tokens", secret, 7, "checksum does not match")
	c.damage(tableMeta, []byte("version"), 0, "is missing")
	var damage *CorruptError
	if !errors.As(c.report.Err(), &damage) {
		t.Fatal(c.report.Err())
	}
	lines := damage.Lines()
	text := damage.Error() + "\n" + strings.Join(lines, "\n")
	if len(lines) > maxSummary || len(text) > 4000 {
		t.Errorf("%d lines, %d bytes", len(lines), len(text))
	}
	if !strings.Contains(lines[0], tableMeta) || !strings.Contains(lines[1], "enroll.tokens") {
		t.Errorf("want the worst first:\n%s", text)
	}
	if strings.Contains(text, "abababababab") || !strings.Contains(text, "33 findings") || !strings.Contains(text, "and 14 tables more") {
		t.Error(text)
	}
	for _, d := range c.report.Damage {
		if strings.Contains(d.String(), "abababababab") {
			t.Error(d)
		}
	}
}

// withRecords is the file of a store that has those records in a table, and its path.
func withRecords(t *testing.T, table string, n int) string {
	t.Helper()
	s := open(t)
	for i := range n {
		if err := s.Update(func(tx *Tx) error {
			return tx.Table(table).Put(fmt.Appendf(nil, "key%04d", i), bytes.Repeat([]byte("v"), 60))
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.path
}

// TestATableOfTokensThatMayBeOlderIsEmptied: an older page of a table of tokens is sound in
// itself; all its tokens are refused.
func TestATableOfTokensThatMayBeOlderIsEmptied(t *testing.T) {
	path := withRecords(t, "enroll.tokens", 3)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	value := bytes.Repeat([]byte("v"), 60)
	sealed := func(v []byte) []byte {
		c := checksum("enroll.tokens", []byte("key0001"), v)
		return append(append([]byte("key0001"), v...), byte(c), byte(c>>8), byte(c>>16), byte(c>>24))
	}
	old := bytes.ReplaceAll(data, sealed(value), sealed(bytes.Repeat([]byte("w"), 60)))
	if bytes.Equal(old, data) {
		t.Fatal("the record is not where it should be")
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, path)
	err = s.View(func(tx *Tx) error {
		n, err := tx.Table("enroll.tokens").Count()
		lost, err2 := tx.Lost()
		if n != 0 || len(lost) != 1 || lost[0].Table != "enroll.tokens" {
			t.Errorf("%d tokens are left, losses %+v", n, lost)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// takenBack is the path of a file whose newest root page is damaged, and with it the commit
// that took a token away. The commit before it holds the token and a large table.
func takenBack(t *testing.T, prepare func(*Tx) error) string {
	t.Helper()
	path := withRecords(t, "auth.tokens", 3)
	s, err := Open(Config{Path: path, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	addHost(t, s, identity.HostID{1})
	base := []facts.Item{user(t, "ann", 1)}
	apply(t, s, Delivery{identity.HostID{1}, batch(1, update(facts.Users, nil, base)), t0})
	err = errors.Join(s.Update(func(tx *Tx) error {
		for i := range 400 {
			if err := tx.Table("test.large").Put(fmt.Appendf(nil, "large%05d", i), bytes.Repeat([]byte("v"), 60)); err != nil {
				return err
			}
		}
		return prepare(tx)
	}), s.Update(func(tx *Tx) error { return tx.Table("auth.tokens").Delete([]byte("key0001")) }), s.db.Close()) // without the commit of Close
	s.db = nil
	if err := errors.Join(err, s.release()); err != nil {
		t.Fatal(err)
	}
	report, err := Check(path)
	if err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(data []byte) { data[int(report.TxID%2)*pageSize+70] ^= 1 })
	return path
}

// edit changes a file in place.
func edit(t *testing.T, path string, fn func(data []byte)) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if fn(data); os.WriteFile(path, data, 0o600) != nil {
		t.Fatal("not written")
	}
}

// TestWhatIsTakenBackLastIsNotAllowedAgain whatever else is to be done to the file before
// it is served: that commits too.
func TestWhatIsTakenBackLastIsNotAllowedAgain(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*Tx) error
		damage  func([]byte)
	}{
		"nothing else": {},
		"a bad record": {damage: func(data []byte) { data[bytes.Index(data, []byte("large00007"))+20] ^= 1 }},
		"a bad page": {damage: func(data []byte) {
			at := bytes.Index(data, []byte("large00207")) / pageSize * pageSize
			clear(data[at : at+16])
		}},
		"an older format":      {prepare: func(tx *Tx) error { return tx.putMeta(metaVersion, formatVersion-1) }},
		"hosts without a date": {prepare: func(tx *Tx) error { return tx.Table(tableMeta).Delete([]byte(metaDated)) }},
	} {
		t.Run(name, func(t *testing.T) {
			if c.prepare == nil {
				c.prepare = func(*Tx) error { return nil }
			}
			path := takenBack(t, c.prepare)
			if c.damage != nil {
				edit(t, path, c.damage)
			}
			var logged bytes.Buffer
			s, err := Open(Config{Path: path, NoSync: true, Log: slog.New(slog.NewTextHandler(&logged, nil))})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(logged.String(), "older than the last commit") != 1 {
				t.Errorf("told once that it was set back: %s", logged.String())
			}
			err = s.View(func(tx *Tx) error {
				n, err := tx.Table("auth.tokens").Count()
				if n != 0 {
					t.Errorf("%d tokens are good, one of which was taken back", n)
				}
				states, err2 := tx.Sections(identity.HostID{1})
				if len(states) != 1 || !states[0].Doubtful {
					t.Errorf("states %+v, want them in doubt", states)
				}
				return errors.Join(err, err2)
			})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Fatal(err)
			}
			logged.Reset()
			s, err = Open(Config{Path: path, NoSync: true, Log: slog.New(slog.NewTextHandler(&logged, nil))})
			if err != nil || logged.Len() > 0 {
				t.Fatalf("again: %v, %s", err, logged.String())
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestAFileThatCouldNotBeMendedIsCopied: what failed while it was mended where it lies says
// nothing of the fresh file.
func TestAFileThatCouldNotBeMendedIsCopied(t *testing.T) {
	path := withRecords(t, "test.a", 3)
	edit(t, path, func(data []byte) {
		for rest := data; ; rest = rest[1:] {
			at := bytes.Index(rest, []byte("key0001"))
			if at < 0 {
				break
			}
			rest = rest[at:]
			rest[20] ^= 1
		}
	})
	s := reopenFailing(t, path)
	err := s.View(func(tx *Tx) error {
		n, err := tx.Table("test.a").Count()
		if n != 2 {
			t.Errorf("%d records, want 2", n)
		}
		return err
	})
	if err := errors.Join(err, s.Update(func(tx *Tx) error { return tx.Table("test.a").Put([]byte("x"), nil) })); err != nil {
		t.Fatal(err)
	}
}

// reopenFailing opens a file as if the first commit into it met damage.
func reopenFailing(t *testing.T, path string) *Store {
	t.Helper()
	s := reopen(t, withRecords(t, "test.b", 1))
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	s.path = path
	if err := s.prepareFile(); err != nil || !s.found.Repairable() {
		t.Fatal(err, s.found)
	}
	s.failed = &CorruptError{Detail: "of the test"}
	if err := s.openSound(true); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMostOfWhatOnlyPeopleKnowIsRefused and the damaged file stays as it is.
func TestMostOfWhatOnlyPeopleKnowIsRefused(t *testing.T) {
	path := withRecords(t, "enroll.keys", 200)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Check(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 2 * pageSize; at < int(report.Bytes); at += pageSize {
		if n := bytes.Count(data[at:at+pageSize], []byte("key0")); n > 10 {
			clear(data[at : at+16])
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(Config{Path: path, NoSync: true})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `most of table "enroll.keys" is gone`) {
		t.Errorf("got %v", err)
	}
	after, err := os.ReadFile(path)
	if left, _ := filepath.Glob(path + ".[dn]*"); err != nil || !bytes.Equal(after, data) || len(left) > 0 {
		t.Errorf("the file is another, or %q is left, %v", left, err)
	}
}

func TestADamagedBackupLeavesNothingInAnEmptyFolder(t *testing.T) {
	path := withRecords(t, "test.a", 3)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte("key0001"), []byte("key0x01"))
	backup, folder := filepath.Join(t.TempDir(), "backup.db"), t.TempDir()
	if err := os.WriteFile(backup, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Restore(backup, filepath.Join(folder, FileName))
	var damage *CorruptError
	if !errors.As(err, &damage) || len(damage.Lines()) != 1 || !strings.HasPrefix(damage.Lines()[0], "test.a ") {
		t.Errorf("got %v, want the findings by table", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestAFreshFileIsNotOlder: its transactions begin anew, of which the high mark must not
// conclude that commits are lost. What lies on a page differs between runs: each is
// damaged until one is healed by a fresh file.
func TestAFreshFileIsNotOlder(t *testing.T) {
	sm := newSample(t)
	for at := 2 * pageSize; at+pageSize <= len(sm.data); at += pageSize {
		data := bytes.Clone(sm.data)
		clear(data[at : at+pageSize])
		path := filepath.Join(t.TempDir(), FileName)
		if err := errors.Join(os.WriteFile(path, data, 0o600), os.WriteFile(path+".high", sm.high, 0o600)); err != nil {
			t.Fatal(err)
		}
		if log, err := openAndWrite(t, path); err != nil || !strings.Contains(log, "copied into a fresh one") {
			continue // refused, or nothing lies there
		} else if strings.Contains(log, "older than the last commit") {
			t.Error(log)
		}
		if log, err := openAndWrite(t, path); err != nil || strings.Contains(log, "older than the last commit") {
			t.Errorf("the second start: %v\n%s", err, log)
		}
		return
	}
	t.Error("no page was healed by a fresh file")
}

// openAndWrite opens a store, adds a host, closes it and returns what was logged.
func openAndWrite(t *testing.T, path string) (string, error) {
	t.Helper()
	var logged bytes.Buffer
	s, err := Open(Config{Path: path, NoSync: true, Log: slog.New(slog.NewTextHandler(&logged, nil))})
	if err != nil {
		return "", err
	}
	addHost(t, s, identity.HostID{9})
	return logged.String(), s.Close()
}

// TestADamagedFirstKeyOfAPageDoesNotSpread: bbolt finds the page by that key, and would
// leave the page that it replaces in the tree.
func TestADamagedFirstKeyOfAPageDoesNotSpread(t *testing.T) {
	s := open(t)
	for i := range 400 {
		if err := s.Update(func(tx *Tx) error {
			return tx.Table("enroll.tokens").Put(fmt.Appendf(nil, "key%05d", i*10), bytes.Repeat([]byte("v"), 60))
		}); err != nil {
			t.Fatal(err)
		}
	}
	path := s.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for at := 2 * pageSize; at+pageSize <= len(sound); at += pageSize {
		first := bytes.Index(sound[at:at+pageSize], []byte("key"))
		if first < 0 || bytes.Count(sound[at:at+pageSize], []byte("key")) < 20 {
			continue
		}
		data := bytes.Clone(sound)
		data[at+first+7] ^= 1
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Check(path); err != nil || r.Count == 0 {
			continue // a page that is free by now
		}
		tried++
		s, err := Open(Config{Path: path, NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		addHost(t, s, identity.HostID{1})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if r, err := Check(path); err != nil || r.Count != 0 {
			t.Errorf("page %d: %v, %v", at/pageSize, r.Damage, err)
		}
	}
	if tried < 2 {
		t.Errorf("%d pages tried", tried)
	}
}

// withBadPage is the path of a file of which a page of a table is damaged, and what it holds.
func withBadPage(t *testing.T) (path string, data []byte) {
	t.Helper()
	path = withRecords(t, "test.a", 200)
	clearPage(t, path, func(_ []byte, r Report) bool { return len(r.Tables) == 1 && r.Tables["test.a"].Structure > 0 })
	data, err := os.ReadFile(path)
	report, err2 := Check(path)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	return path, data[:report.Bytes]
}

func TestOnlyTheNewestDamagedFilesAreKept(t *testing.T) {
	path, data := withBadPage(t)
	high, err := os.ReadFile(path + ".high")
	mine := path + ".damaged-20260101T000000Z.mine"
	if err := errors.Join(err, os.WriteFile(mine, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	for day := range 4 {
		if err := errors.Join(os.WriteFile(path, data, 0o600), os.WriteFile(path+".high", high, 0o600)); err != nil {
			t.Fatal(err)
		}
		s, err := Open(Config{Path: path, NoSync: true, Now: func() time.Time { return t0.AddDate(0, 0, day) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(path + ".damaged-*")
	want := []string{mine, path + ".damaged-" + t0.AddDate(0, 0, 2).UTC().Format(keptTime), path + ".damaged-" + t0.AddDate(0, 0, 3).UTC().Format(keptTime)}
	if d := cmp.Diff(want, left); d != "" || err != nil {
		t.Errorf("%v, kept (-want +got):\n%s", err, d)
	}
}
