package store

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// format1 writes the state file of the version before, which testdata/store keeps
// with what it answered.
func format1(t *testing.T) (path string) {
	t.Helper()
	f, err := os.Open("../../testdata/store/v1.db.gz")
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
	path = filepath.Join(t.TempDir(), FileName)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFormat1IsTakenOverWhole(t *testing.T) {
	path := format1(t)
	data, err := os.ReadFile("../../testdata/store/v1.json")
	if err != nil {
		t.Fatal(err)
	}
	type change struct {
		Seq             uint64
		Kind, Key       string
		Old, New        []byte
		Observed        string
		Received        string
		Epoch, BatchSeq uint64
	}
	var want struct {
		Rows    map[string][]byte
		Changes []change
		Hosts   []Host
	}
	if err := json.Unmarshal(data, &want); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as taken over, and opened again
		s := reopen(t, path)
		if d := cmp.Diff(state(want.Rows), rowsOf(t, s)); d != "" {
			t.Errorf("rows (-format 1 +now):\n%s", d)
		}
		var changes []Change
		var hosts []Host
		err := s.View(func(tx *Tx) error {
			if d := cmp.Diff(state(want.Rows), stateRows(t, tx.Now())); d != "" {
				t.Errorf("states (-format 1 +now):\n%s", d)
			}
			from, err := tx.HistoryFrom()
			if err != nil {
				return err
			}
			then, err := tx.AsOf(from)
			if err != nil {
				return err
			}
			if n := len(stateRows(t, then)); n == 0 {
				t.Error("nothing at the horizon")
			}
			if v, err := tx.Table("test.a").Get([]byte("k")); string(v) != "v" || err != nil {
				t.Errorf("table of another package: %q, %v", v, err)
			}
			if err := tx.Hosts(func(h Host) error { hosts = append(hosts, h); return nil }); err != nil {
				return err
			}
			return tx.Changes(0, 0, func(c Change) error { changes = append(changes, c); return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.Hosts, hosts); d != "" {
			t.Errorf("hosts (-format 1 +now):\n%s", d)
		}
		again, err := json.Marshal(changes)
		if err != nil {
			t.Fatal(err)
		}
		var got []change
		if err := json.Unmarshal(again, &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.Changes, got); d != "" {
			t.Errorf("changes (-format 1 +now):\n%s", d)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
