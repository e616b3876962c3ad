package store

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// unzip reads a file of testdata/store.
func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("../../testdata/store/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// format writes a state file of an older format, which testdata/store keeps with what it
// answered.
func format(t testing.TB, n int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, unzip(t, fmt.Sprintf("v%d.db.gz", n)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// told is what a state file answered when it was written.
type told struct {
	Rows    map[string][]byte
	Changes []toldChange
	Hosts   []Host
	Past    map[time.Time]map[string][]byte
}

type toldChange struct {
	Seq             uint64
	Kind, Key       string
	Old, New        []byte
	Observed        string
	Received        string
	Epoch, BatchSeq uint64
}

func TestOlderFormatsAreTakenOverWhole(t *testing.T) {
	f := func(n int) {
		t.Helper()
		var want told
		if err := json.Unmarshal(unzip(t, fmt.Sprintf("v%d.json.gz", n)), &want); err != nil {
			t.Fatal(err)
		}
		path := format(t, n)
		for range 2 { // as taken over, and opened again
			s := reopen(t, path)
			if d := cmp.Diff(state(want.Rows), rowsOf(t, s)); d != "" {
				t.Errorf("rows (-format %d +now):\n%s", n, d)
			}
			if err := s.View(func(tx *Tx) error { return want.compare(t, tx) }); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	f(1)
	f(2)
}

func (want told) compare(t *testing.T, tx *Tx) error {
	if d := cmp.Diff(state(want.Rows), stateRows(t, tx.Now())); d != "" {
		t.Errorf("states (-before +now):\n%s", d)
	}
	from, err := tx.HistoryFrom()
	if err != nil {
		return err
	}
	if then, err := tx.AsOf(from); err != nil {
		return err
	} else if n := len(stateRows(t, then)); n == 0 && from.Unix() > 0 {
		t.Error("nothing at the horizon")
	}
	for at, rows := range want.Past {
		then, err := tx.AsOf(at)
		if err != nil {
			return err
		}
		if d := cmp.Diff(state(rows), stateRows(t, then)); d != "" || len(rows) == 0 {
			t.Errorf("%d rows at %s (-before +now):\n%s", len(rows), at, d)
		}
	}
	if v, err := tx.Table("test.a").Get([]byte("k")); string(v) != "v" || err != nil {
		t.Errorf("table of another package: %q, %v", v, err)
	}
	var changes []Change
	var hosts []Host
	err1 := tx.Hosts(func(h Host) error {
		if h.KnownFrom.After(h.EnrolledAt) {
			t.Errorf("%s is known from %s on, after it enrolled at %s", h.Name, h.KnownFrom, h.EnrolledAt)
		}
		h.KnownFrom = time.Time{} // the version before did not say
		hosts = append(hosts, h)
		return nil
	})
	err2 := tx.Changes(0, 0, func(c Change) error { changes = append(changes, c); return nil })
	if d := cmp.Diff(want.Hosts, hosts); d != "" {
		t.Errorf("hosts (-before +now):\n%s", d)
	}
	again, err3 := json.Marshal(changes)
	var got []toldChange
	err4 := json.Unmarshal(again, &got)
	if d := cmp.Diff(want.Changes, got); d != "" {
		t.Errorf("changes (-before +now):\n%s", d)
	}
	return errors.Join(err1, err2, err3, err4)
}

// TestDamagedRecordOfFormat2IsMended: what this version would mend of its own file.
func TestDamagedRecordOfFormat2IsMended(t *testing.T) {
	path := format(t, 2)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.ReplaceAll(data, []byte("permission denied"), []byte("permission denies")) // among the states of hosts
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, path)
	if s.found.Count == 0 {
		t.Error("the damage was not found")
	}
	if err := s.View(func(tx *Tx) error { return tx.Changes(0, 0, func(Change) error { return nil }) }); err != nil {
		t.Error(err)
	}
	version := uint64(0)
	err = s.View(func(tx *Tx) (err error) {
		version, err = tx.meta(metaVersion)
		return err
	})
	if version != formatVersion || err != nil {
		t.Errorf("format %d, %v", version, err)
	}
}
