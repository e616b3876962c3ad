package store

import (
	"slices"
	"testing"

	"atalaya/shared/identity"
)

// TestDamagedRecordKeepsNameAndTags: the record of a host is made anew from the second
// copy of what people know it by.
func TestDamagedRecordKeepsNameAndTags(t *testing.T) {
	s, _, _ := pair(t)
	id := identity.HostID{1}
	err := s.Update(func(tx *Tx) error {
		h, _, err := tx.Host(id)
		if err != nil {
			return err
		}
		h.Name, h.Tags, h.EnrolledAt = "web1", []string{"production", "web"}, t0
		return tx.PutHost(h)
	})
	if err != nil {
		t.Fatal(err)
	}
	flip(t, s, tableHosts, id[:], 3)
	r, err := s.Scrub()
	if err != nil || r.Count == 0 {
		t.Fatalf("the damage is not found: %+v, %v", r, err)
	}
	if err := s.Repair(r); err != nil {
		t.Fatal(err)
	}
	err = s.View(func(tx *Tx) error {
		h, ok, err := tx.Host(id)
		if !ok || h.Name != "web1" || !slices.Equal(h.Tags, []string{"production", "web"}) || h.EnrolledAt.IsZero() {
			t.Errorf("found %v: %+v", ok, h)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
