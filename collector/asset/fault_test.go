package asset

import (
	"bytes"
	"fmt"
	"os"
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
	if err := d.s.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, d.path, `{"values":{"asset_tag":"IT-7","owner":"Ana"}`)
	d.open()
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
	if err := d.s.Close(); err != nil {
		t.Fatal(err)
	}
	saved, err := os.ReadFile(d.path)
	if err != nil {
		t.Fatal(err)
	}
	flip(t, d.path, `"by":"ana","kind":"added"`)
	_, err = store.Open(store.Config{Path: d.path, NoSync: true})
	refused(t, err, store.ErrCorrupt, "asset.log")
	if err := os.WriteFile(d.path, saved, 0o600); err != nil {
		t.Fatal(err)
	}
	d.open()
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
	d.update(func(tx *store.Tx) error { return tx.SetViewVersion(viewName, 0) })
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
	if err := d.s.Backup(&saved); err != nil {
		t.Fatal(err)
	}
	d.mustSet("IT-1", "owner=Ben")
	other := &desk{t: t, now: t0, path: t.TempDir() + "/" + store.FileName}
	if err := os.WriteFile(other.path, saved.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	other.open()
	if a := other.asset("IT-1"); a.Values["owner"] != "Ana" {
		t.Errorf("%+v", a)
	}
	if err := other.s.Close(); err != nil {
		t.Error(err)
	}
}
