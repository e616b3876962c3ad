package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"atalaya/shared/identity"
)

// sealed is a record as it lies in the file.
func sealed(table, key, value string) []byte {
	c := checksum(table, []byte(key), []byte(value))
	return binary.LittleEndian.AppendUint32([]byte(key+value), c)
}

// TestABadTokenDoesNotHideAnOlderOne: beside a record that cannot be read the sum of the
// table still tells whether the others are the newest.
func TestABadTokenDoesNotHideAnOlderOne(t *testing.T) {
	is, was := strings.Repeat("v", 60), strings.Repeat("w", 60)
	for _, table := range revocable {
		for older, want := range map[bool]uint64{false: 2, true: 0} {
			path, bad, now := withRecords(t, table, 3), sealed(table, "key0002", is), sealed(table, "key0001", is)
			edit(t, path, func(data []byte) {
				n := 0
				for at := range data {
					switch {
					case bytes.HasPrefix(data[at:], bad):
						data[at+20] ^= 1
						n++
					case older && bytes.HasPrefix(data[at:], now):
						n += copy(data[at:], sealed(table, "key0001", was))
					}
				}
				if n == 0 {
					t.Fatal("the records are not where they should be")
				}
			})
			s := reopen(t, path)
			err := s.View(func(tx *Tx) error {
				n, err := tx.Table(table).Count()
				lost, err2 := tx.Lost()
				if n != want || len(lost) != 1 || lost[0].Table != table {
					t.Errorf("%s, one older %v: %d tokens are good, want %d, losses %+v", table, older, n, want, lost)
				}
				return errors.Join(err, err2)
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestOlderRecordsOfHostsAreRefused: their names, and whether they are removed, would be
// served as they were.
func TestOlderRecordsOfHostsAreRefused(t *testing.T) {
	s := open(t)
	id := identity.HostID{1}
	put := func(name string) (stored []byte) {
		t.Helper()
		err := errors.Join(s.Update(func(tx *Tx) error { return tx.PutHost(Host{ID: id, Name: name, EnrolledAt: t0}) }),
			s.View(func(tx *Tx) error {
				stored = append(id[:], tx.b.Bucket([]byte(tableHosts)).Get(id[:])...)
				return nil
			}))
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	old, now := put("web-one"), put("web-two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, s.path, func(data []byte) {
		if len(old) != len(now) || !bytes.Contains(data, now) {
			t.Fatal("the record is not where it should be")
		}
		copy(data, bytes.ReplaceAll(data, now, old))
	})
	_, err := Open(Config{Path: s.path, NoSync: true})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `table "store.hosts" shows an older state`) {
		t.Errorf("got %v, want the older state refused", err)
	}
}

// delist damages what the list of tables says of one.
func delist(t *testing.T, data []byte, table string) {
	t.Helper()
	n := 0
	for at := 0; at+len(table)+20 <= len(data); at++ {
		if value := data[at+len(table):][:20]; bytes.HasPrefix(data[at:], []byte(table)) {
			if _, err := unsealTotal([]byte(table), value); err == nil {
				value[0] ^= 1
				n++
			}
		}
	}
	if n == 0 {
		t.Fatalf("%s is not listed", table)
	}
}

// clearPage damages the header of the first page for which that is so of what Check says.
func clearPage(t *testing.T, path string, wanted func(page []byte, r Report) bool) (page []byte) {
	t.Helper()
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), FileName)
	for at := 2 * pageSize; at+pageSize <= len(sound); at += pageSize {
		data := bytes.Clone(sound)
		clear(data[at : at+pageHeader])
		if err := os.WriteFile(other, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := Check(other); err == nil && r.Count > 0 && wanted(sound[at:at+pageSize], r) {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return sound[at : at+pageSize]
		}
	}
	t.Fatal("there is no such page")
	return nil
}

// TestATableThatIsNotListedIsMissed where nothing of it can be read either.
func TestATableThatIsNotListedIsMissed(t *testing.T) {
	path := withRecords(t, "identity.merges", 200)
	sound, err := Check(path)
	if err != nil {
		t.Fatal(err)
	}
	clearPage(t, path, func(_ []byte, r Report) bool {
		return len(r.Tables) == 1 && r.Tables["identity.merges"].Structure > 0 && r.Records+200 == sound.Records
	})
	edit(t, path, func(data []byte) { delist(t, data, "identity.merges") })
	_, err = Open(Config{Path: path, NoSync: true})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), `table "identity.merges" lacks records`) {
		t.Errorf("got %v, want it refused", err)
	}
}

// TestTablesThatNeitherTheListNorTheTreeTellsOfAreMissed: which they were is not known.
func TestTablesThatNeitherTheListNorTheTreeTellsOfAreMissed(t *testing.T) {
	s := open(t)
	err := s.Update(func(tx *Tx) error {
		for i := range 300 {
			if err := tx.Table(fmt.Sprintf("test.t%03d", i)).Put([]byte("key"), bytes.Repeat([]byte("v"), 60)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	page := clearPage(t, s.path, func(page []byte, r Report) bool {
		return r.Tables[""].Structure > 0 && r.Version != 0 && r.Tables[catalogue].Count == 0 && bytes.Contains(page, []byte("test.t"))
	})
	edit(t, s.path, func(data []byte) { delist(t, data, string(regexp.MustCompile(`test\.t\d{3}`).Find(page))) })
	_, err = Open(Config{Path: s.path, NoSync: true})
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "both the list of tables and what leads to them") {
		t.Errorf("got %v, want it refused", err)
	}
}
