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

// TestALostLineOfTheHistoryTakesNothingElse: the record stays, the asset's past before it is
// not told, others are as they were, and records can be made anew from such a log.
func TestALostLineOfTheHistoryTakesNothingElse(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana")
	d.add("asset_tag=IT-2", "owner=Ana")
	d.Now = d.Now.Add(time.Hour)
	before := d.Now
	d.Now = d.Now.Add(time.Hour)
	d.mustSet("IT-1", "owner=Ben")
	d.Now = d.Now.Add(time.Hour)
	d.mustSet("IT-1", "owner=Cleo", "asset_tag=IT-9")
	want := d.asOf(time.Time{})
	between := d.asOf(d.Now.Add(-time.Minute))
	d.Close()
	flip(t, d.Path, `"old":"Ana","new":"Ben"`)
	d.reopen()
	check := func() {
		t.Helper()
		if diff := cmp.Diff(want, d.asOf(time.Time{})); diff != "" {
			t.Error(diff)
		}
		if a := d.asset("IT-9"); a.Values["owner"] != "Cleo" {
			t.Errorf("%+v", a)
		}
		past := d.asOf(before)
		if len(past) != 1 || past[0].Values["asset_tag"] != "IT-2" {
			t.Errorf("before the lost line: %+v, want the other asset alone", past)
		}
		_, changes, _, err := d.History("IT-9", 0, 10)
		if err != nil || len(changes) != 3 || changes[1].Kind != Lost || changes[1].Note == "" {
			t.Errorf("history %+v, %v; want a line that says what is not known", changes, err)
		}
	}
	check()
	if got := d.asOf(d.Now.Add(-time.Minute)); len(got) != 1 && cmp.Diff(between, got) != "" {
		t.Errorf("%+v, want %+v or nothing of the asset", got, between)
	}
	d.Do(func(tx *store.Tx) error {
		lost, err := tx.Lost()
		if len(lost) == 0 || lost[0].Table != tableLog {
			t.Errorf("losses %+v, want the log named", lost)
		}
		return err
	})
	d.Do(func(tx *store.Tx) error { return tx.SetViewVersion(viewName, 0) })
	if err := d.CatchUp(); err != nil {
		t.Fatal(err)
	}
	check()
}

// TestALostLineAndALostCursorTakeNothingElse: how far the views over the facts had read says
// nothing of the records, from which the line is healed.
func TestALostLineAndALostCursorTakeNothingElse(t *testing.T) {
	d := newDesk(t)
	d.add("asset_tag=IT-1", "owner=Ana")
	d.add("asset_tag=IT-2", "owner=Ben")
	d.mustSet("IT-1", "owner=Cleo")
	d.Do(func(tx *store.Tx) error {
		return tx.Table("store.cursors").Put([]byte("inventory"), []byte("far read"))
	})
	want := d.asOf(time.Time{})
	d.Close()
	flip(t, d.Path, `"old":"Ana","new":"Cleo"`)
	flip(t, d.Path, "inventoryfar read")
	d.reopen()
	if diff := cmp.Diff(want, d.asOf(time.Time{})); diff != "" {
		t.Error(diff)
	}
	_, changes, _, err := d.History("IT-1", 0, 10)
	if err != nil || len(changes) != 2 || changes[0].Kind != Lost {
		t.Errorf("history %+v, %v; want a line that says what is not known", changes, err)
	}
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
