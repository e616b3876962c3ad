package store

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"atalaya/shared/identity"
)

// open opens a fresh store, not durable so that tests are quick.
func open(t testing.TB) *Store {
	t.Helper()
	return reopen(t, filepath.Join(t.TempDir(), FileName))
}

func reopen(t testing.TB, path string) *Store {
	t.Helper()
	s, err := Open(Config{Path: path, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestTableKeepsOrderedRecords(t *testing.T) {
	s := open(t)
	err := s.Update(func(tx *Tx) error {
		for i := range 500 {
			if err := tx.Table("test.a").Put(fmt.Appendf(nil, "k%03d", i), fmt.Appendf(nil, "v%d", i)); err != nil {
				return err
			}
		}
		return tx.Table("test.a").Delete([]byte("k100"))
	})
	if err != nil {
		t.Fatal(err)
	}
	path := s.path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, path)
	err = s.View(func(tx *Tx) error {
		a := tx.Table("test.a")
		if n, err := a.Count(); n != 499 || err != nil {
			t.Errorf("count %d, %v; want 499", n, err)
		}
		var got []string
		collect := func(k, v []byte) error {
			got = append(got, string(k)+"="+string(v))
			if len(got) == 2 {
				return ErrStop
			}
			return nil
		}
		check := func(name, want string, err error) {
			if g := strings.Join(got, " "); g != want || err != nil {
				t.Errorf("%s: got %q, %v; want %q", name, g, err, want)
			}
			got = nil
		}
		check("scan", "k101=v101 k102=v102", a.Scan([]byte("k10"), collect))
		check("scan from", "k150=v150 k151=v151", a.ScanFrom([]byte("k1"), []byte("k150"), collect))
		check("reverse", "k199=v199 k198=v198", a.ScanReverse([]byte("k1"), nil, collect))
		check("reverse before", "k149=v149 k148=v148", a.ScanReverse([]byte("k1"), []byte("k150"), collect))
		check("reverse all", "k499=v499 k498=v498", a.ScanReverse(nil, nil, collect))
		check("nothing", "", a.Scan([]byte("x"), collect))
		if v, err := a.Get([]byte("k100")); v != nil || err != nil {
			t.Errorf("deleted key: got %q, %v", v, err)
		}
		if v, err := tx.Table("test.none").Get([]byte("x")); v != nil || err != nil {
			t.Errorf("absent table: got %q, %v", v, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestUpdateThatFailsWritesNothing(t *testing.T) {
	s := open(t)
	boom := errors.New("boom")
	err := s.Update(func(tx *Tx) error {
		if err := tx.Table("test.a").Put([]byte("k"), []byte("v")); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("got %v, want %v", err, boom)
	}
	err = s.View(func(tx *Tx) error {
		if v, err := tx.Table("test.a").Get([]byte("k")); v != nil || err != nil {
			t.Errorf("got %q, %v; want nothing", v, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestKeyIsUnambiguous(t *testing.T) {
	a, b := Key([]byte("a"), []byte("bc")), Key([]byte("ab"), []byte("c"))
	if bytes.Equal(a, b) {
		t.Errorf("two lists of parts give the key %x", a)
	}
}

func TestSecondStoreOnTheSameFileIsRefused(t *testing.T) {
	s := open(t)
	begin := time.Now()
	_, err := Open(Config{Path: s.path})
	if !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	if d := time.Since(begin); d > 2*time.Second {
		t.Errorf("refused after %v, want within 2 s", d)
	}
	for _, want := range []string{fmt.Sprintf("process %d ", os.Getpid()), filepath.Dir(s.path)} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("message %q lacks %q", err, want)
		}
	}
}

func TestHostKeepsItsIndexAndTheStoresFields(t *testing.T) {
	s := open(t)
	id := identity.HostID{1}
	at := time.UnixMilli(1_700_000_000_123).UTC()
	put := func(h Host) {
		t.Helper()
		if err := s.Update(func(tx *Tx) error { return tx.PutHost(h) }); err != nil {
			t.Fatal(err)
		}
	}
	put(Host{ID: id, Name: "web1", EnrolledAt: at})
	put(Host{ID: identity.HostID{2}, Name: "web2"})
	put(Host{ID: id, Name: "web1b", EnrolledAt: at, Index: 77})
	s.Seen(id, at.Add(time.Hour))
	err := s.View(func(tx *Tx) error {
		h, ok, err := tx.Host(id)
		if err != nil || !ok {
			return fmt.Errorf("host: %v, %w", ok, err)
		}
		if h.Name != "web1b" || h.Index != 1 || !h.EnrolledAt.Equal(at) || !h.LastSeen.Equal(at.Add(time.Hour)) {
			t.Errorf("got %+v", h)
		}
		if got, ok, err := tx.HostByIndex(2); !ok || err != nil || got != (identity.HostID{2}) {
			t.Errorf("host by index 2: got %v, %v, %v", got, ok, err)
		}
		n := 0
		err = tx.Hosts(func(Host) error { n++; return nil })
		if n != 2 {
			t.Errorf("%d hosts, want 2", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestChecksumCoversNameLengthKeyAndValue(t *testing.T) {
	key, value := []byte("a key"), []byte("its value")
	whole := append([]byte("store.hosts\x05\x00\x00\x00"), append(key, value...)...)
	if got, want := checksum("store.hosts", key, value), crc32.Checksum(whole, castagnoli); got != want {
		t.Errorf("%08x, want %08x", got, want)
	}
}
