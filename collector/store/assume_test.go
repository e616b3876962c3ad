package store

import (
	"slices"
	"testing"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// TestWhatAHostIsGivenBackIsKeptOncePerSection: sections are listed in another order
// than they are kept in, and an inventory after it finds them all.
func TestWhatAHostIsGivenBackIsKeptOncePerSection(t *testing.T) {
	s, one := open(t), identity.HostID{1}
	addHost(t, s, one)
	all := func() (us []wire.SectionUpdate) {
		for _, section := range facts.Sections() {
			u := update(section.ID, nil, nil)
			if section.ID == facts.Users {
				u = update(section.ID, nil, []facts.Item{user(t, "root", 0)})
			}
			us = append(us, u)
		}
		return us
	}
	apply(t, s, Delivery{Host: one, Batch: batch(1, all()...), Received: t0})
	states := func() (states []SectionState) {
		if err := s.View(func(tx *Tx) (err error) { states, err = tx.Sections(one); return err }); err != nil {
			t.Fatal(err)
		}
		return states
	}
	before := states()
	err := s.Update(func(tx *Tx) error {
		last, err := tx.LastChange()
		if err != nil {
			return err
		}
		return tx.AssumeFacts(Assumption{Host: one, From: one, After: last, States: before}, t0)
	})
	if err != nil {
		t.Fatal(err)
	}
	check := func(when string, doubtful bool) {
		t.Helper()
		got := states()
		if !slices.IsSortedFunc(got, bySection) || len(got) != len(facts.Sections()) {
			t.Errorf("%s: %d sections for %d, or not in order", when, len(got), len(facts.Sections()))
		}
		if i := slices.IndexFunc(got, func(s SectionState) bool { return s.Doubtful != doubtful }); i >= 0 {
			t.Errorf("%s: section %d: in doubt: %v", when, got[i].Section, got[i].Doubtful)
		}
	}
	check("given back", true)
	apply(t, s, Delivery{Host: one, Batch: batch(2, all()...), Received: t0})
	check("told again", false)
}

func TestStatesOutOfOrderAreDamage(t *testing.T) {
	for _, states := range [][]SectionState{{{Section: 2}, {Section: 1}}, {{Section: 1}, {Section: 1}}} {
		if _, ok := decodeSections(encodeSections(states)); ok {
			t.Errorf("%v was taken", states)
		}
	}
	if got, ok := decodeSections(encodeSections([]SectionState{{Section: 1}, {Section: 2}})); !ok || len(got) != 2 {
		t.Errorf("%v, %v", got, ok)
	}
}
