package asset

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"atalaya/collector/store"
)

// TestDamagedRecordIsMadeAnewFromTheLog flips a bit of a record in the file.
func TestDamagedRecordIsMadeAnewFromTheLog(t *testing.T) {
	d := newDesk(t)
	for i := range 50 {
		d.add(fmt.Sprintf("asset_tag=IT-%d", i), "owner=Ana")
	}
	want := d.asOf(time.Time{})
	d.Close()
	flip(t, d.Path, `{"values":{"asset_tag":"IT-7","owner":"Ana"}`)
	d.reopen()
	if diff := cmp.Diff(want, d.asOf(time.Time{})); diff != "" {
		t.Error(diff)
	}
	if a := d.asset("IT-7"); a.Values["owner"] != "Ana" {
		t.Errorf("%+v", a)
	}
}

// TestDamagedLogIsRefused: what only people know cannot be made anew.
func TestDamagedLogIsRefused(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana")
	d.Close()
	saved, err := os.ReadFile(d.Path)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, d.Path, `"by":"ana","kind":"added"`)
	_, err = store.Open(store.Config{Path: d.Path, NoSync: true})
	refused(t, err, store.ErrCorrupt, "asset.log")
	if err := os.WriteFile(d.Path, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	d.reopen()
}

// flip changes one bit in every place of the file that holds a text: pages that are free
// by now may hold it too.
func flip(t *testing.T, path, text string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for rest := b; ; n++ {
		i := bytes.Index(rest, []byte(text))
		if i < 0 {
			break
		}
		rest[i+len(text)-2] ^= 1
		rest = rest[i+1:]
	}
	if n == 0 {
		t.Fatalf("%s is not in the file", text)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRecordsThatAreBeingMadeAnewAreNotServed(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1")
	d.Do(func(tx *store.Tx) error { return tx.SetViewVersion(viewName, 0) })
	_, err := d.Asset("IT-1")
	refused(t, err, ErrRepair)
	_, err = d.Add(Edit{By: "ana", Set: values("name=x")})
	refused(t, err, ErrRepair)
	if err := d.CatchUp(); err != nil {
		t.Fatal(err)
	}
	d.asset("IT-1")
}

func TestBackupHoldsTheRecords(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana")
	var saved bytes.Buffer
	if err := d.Store.Backup(&saved); err != nil {
		t.Fatal(err)
	}
	d.mustSet("IT-1", "owner=Ben")
	path := filepath.Join(t.TempDir(), store.FileName)
	if err := os.WriteFile(path, saved.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	other := deskAt(t, path)
	if a := other.asset("IT-1"); a.Values["owner"] != "Ana" {
		t.Errorf("%+v", a)
	}
}
