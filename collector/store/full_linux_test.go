package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"atalaya/collector/store/smalldisk"
	"atalaya/shared/facts"
	"atalaya/shared/identity"

	"github.com/google/go-cmp/cmp"
)

func TestFullDiskRefusesAndKeepsWhatThereIs(t *testing.T) {
	disk := smalldisk.New(t, "1m")
	s, err := Open(Config{Path: filepath.Join(disk.Dir, FileName)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id := identity.HostID{1}
	addHost(t, s, id)
	var base []facts.Item
	next := func(seq uint64) ([]facts.Item, []Delivery) {
		now := append([]facts.Item{}, base...)
		for i := range 200 {
			now = append(now, user(t, fmt.Sprintf("user%04d-%04d", seq, i), int64(seq)))
		}
		return now, []Delivery{{id, batch(seq, update(facts.Users, base, now)), t0}}
	}
	seq := uint64(1)
	for ; ; seq++ {
		now, ds := next(seq)
		if _, err = s.Apply(ds); err != nil {
			break
		}
		base = now
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("batch %d: got %v, want ErrFull", seq, err)
	}
	if s.Trouble() == "" {
		t.Error("the store does not say that it is read-only")
	}
	want := state{}
	for _, it := range base {
		want[rowName(id, facts.Users, it.Key)] = it.Data
	}
	if d := cmp.Diff(want, rowsOf(t, s)); d != "" {
		t.Errorf("rows on the full disk (-want +got):\n%s", d)
	}
	disk.Grow("16m")
	now, ds := next(seq)
	if out, err := s.Apply(ds); err != nil || out[0].Duplicate || len(out[0].Resync) > 0 {
		t.Fatalf("with space again: %+v, %v", out, err)
	}
	if trouble := s.Trouble(); trouble != "" {
		t.Errorf("with space again: %s", trouble)
	}
	for _, it := range now {
		want[rowName(id, facts.Users, it.Key)] = it.Data
	}
	if d := cmp.Diff(want, rowsOf(t, s)); d != "" {
		t.Errorf("rows with space again (-want +got):\n%s", d)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	report, err := Check(s.path)
	if err = errors.Join(err, report.Err()); err != nil {
		t.Error(err)
	}
}

// TestAFullDiskIsNotFilledByHealing: a fresh file that does not fit would be written again
// at each start.
func TestAFullDiskIsNotFilledByHealing(t *testing.T) {
	_, data := withBadPage(t)
	disk := smalldisk.New(t, fmt.Sprint(len(data)+len(data)/2))
	path := filepath.Join(disk.Dir, FileName)
	if err := errors.Join(os.WriteFile(path, data, 0o600), os.WriteFile(path+".new", data[:pageSize], 0o600)); err != nil {
		t.Fatal(err)
	}
	_, err := Open(Config{Path: path})
	if !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), fmt.Sprintf("takes %d bytes", len(data))) {
		t.Errorf("got %v, want ErrFull and what it takes", err)
	}
	after, err := os.ReadFile(path)
	if left, _ := filepath.Glob(path + ".[dn]*"); err != nil || !bytes.Equal(after, data) || len(left) > 0 {
		t.Errorf("the file is another, or %q is left, %v", left, err)
	}
	disk.Grow("16m")
	reopen(t, path)
}
