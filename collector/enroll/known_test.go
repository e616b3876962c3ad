package enroll

import (
	"context"
	"crypto/ecdsa"
	"errors"
	"strings"
	"testing"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

var hardware = []identity.Fact{{Kind: identity.FactSystemUUID, Value: "4C4C4544-0051-3610-8052-B4C04F564433"}, {Kind: identity.FactMAC, Value: "3C:EC:EF:12:34:56"}}

// enrol has a machine enrol with a new token and returns its host.
func (s *site) enrol(key *ecdsa.PrivateKey, facts []identity.Fact) *identity.Credentials {
	s.t.Helper()
	csr, err := identity.NewRequest(key, "web1")
	if err != nil {
		s.t.Fatal(err)
	}
	r := wire.EnrollRequest{MinVersion: wire.MinVersion, MaxVersion: wire.Version, CSR: csr, Hostname: "web1", Facts: facts, Token: s.secret(TokenOptions{})}
	return s.credentials(s.Enroll(context.Background(), r, "192.0.2.1"), key)
}

func (s *site) stands(c *identity.Credentials) (identity.HostID, wire.Code, string) {
	return s.Verify(c.Certificate)
}

func mustID(t *testing.T, c *identity.Credentials) identity.HostID {
	t.Helper()
	id, err := c.HostID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestKnownMachineGetsAFurtherKeyOfItsHost(t *testing.T) {
	s := newSite(t)
	connected := false
	s.WatchSessions(func(identity.HostID) bool { return connected })
	first := s.enrol(newKey(t), hardware)
	second := s.enrol(newKey(t), hardware)
	if mustID(t, first) != mustID(t, second) || s.hosts() != 1 {
		t.Fatalf("host %s, then %s; %d hosts", mustID(t, first), mustID(t, second), s.hosts())
	}
	for _, c := range []*identity.Credentials{first, second} {
		if id, code, why := s.stands(c); id != mustID(t, first) || code != wire.CodeNone {
			t.Errorf("%s, %d: %s", id, code, why)
		}
	}
	connected = true
	if third := s.enrol(newKey(t), hardware); mustID(t, third) == mustID(t, first) {
		t.Error("a machine that is in use was taken for one that was installed anew")
	}
	if other := s.enrol(newKey(t), nil); mustID(t, other) == mustID(t, first) {
		t.Error("a machine without facts is known")
	}
}

// TestKeysGoWithTheirHosts: certificates stay good over a merge and its undo, and stand
// for what the key is of then.
func TestKeysGoWithTheirHosts(t *testing.T) {
	s := newSite(t)
	a, b := s.enrol(newKey(t), nil), s.enrol(newKey(t), nil)
	keep, other := mustID(t, a), mustID(t, b)
	wantHost := func(c *identity.Credentials, want identity.HostID) {
		t.Helper()
		if id, code, why := s.stands(c); id != want || code != wire.CodeNone {
			t.Errorf("stands for %s, want %s; code %d: %s", id, want, code, why)
		}
	}
	apply := func(fn func(tx *store.Tx) (ledger.Merge, error)) {
		t.Helper()
		err := s.Update(func(tx *store.Tx, keys *Keys) error {
			m, err := fn(tx)
			return errors.Join(err, keys.Follow(m))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	merge := func(keep, other identity.HostID) {
		t.Helper()
		apply(func(tx *store.Tx) (m ledger.Merge, err error) {
			x, _, err1 := tx.Host(keep)
			y, _, err2 := tx.Host(other)
			p, err3 := ledger.Propose(tx, x, y, ledger.Alive{Connected: func(identity.HostID) bool { return false }, Now: s.now})
			if err := errors.Join(err1, err2, err3); err != nil {
				return m, err
			}
			return ledger.Apply(tx, p, "ann", s.now)
		})
	}
	unmerge := func(keep identity.HostID) {
		t.Helper()
		apply(func(tx *store.Tx) (ledger.Merge, error) {
			m, err := ledger.Last(tx, keep)
			return m, errors.Join(err, ledger.Undo(tx, m, "ann", s.now))
		})
	}
	merge(keep, other)
	wantHost(b, keep)
	unmerge(keep)
	wantHost(a, keep)
	wantHost(b, other)
	merge(other, keep) // the other way round: each key knows whose it is
	wantHost(a, other)
	unmerge(other)
	merge(keep, other)
	unmerge(keep)
	wantHost(a, keep)
	wantHost(b, other)
	s.restart()
	wantHost(b, other)
}

// TestWhoCameBackGoesHisWay: an undo of a machine's coming back leaves the record removed,
// with the keys that it had; the machine is a host of its own, also when the record was
// removed again meanwhile.
func TestWhoCameBackGoesHisWay(t *testing.T) {
	for _, again := range []bool{false, true} {
		s := newSite(t)
		s.WatchSessions(func(identity.HostID) bool { return false })
		old := s.enrol(newKey(t), hardware)
		id := mustID(t, old)
		s.remove(id)
		fresh := s.enrol(newKey(t), hardware)
		if mustID(t, fresh) != id {
			t.Fatal("it did not come back")
		}
		if again {
			s.remove(id)
		}
		var m ledger.Merge
		err := s.Update(func(tx *store.Tx, keys *Keys) (err error) {
			if m, err = ledger.Last(tx, id); err != nil {
				return err
			}
			return errors.Join(ledger.Undo(tx, m, "ann", s.now), keys.Follow(m))
		})
		if err != nil {
			t.Fatal(err)
		}
		if own, code, why := s.stands(fresh); own != m.Other || code != wire.CodeNone {
			t.Errorf("removed again %v: the machine stands for %s, %d: %s", again, own, code, why)
		}
		if _, code, _ := s.stands(old); code != wire.CodeRevoked {
			t.Errorf("removed again %v: the key of the removed record: %d", again, code)
		}
		s.revive(id, 1)
		if of, code, why := s.stands(old); of != id || code != wire.CodeNone {
			t.Errorf("removed again %v: the revived record: %s, %d: %s", again, of, code, why)
		}
	}
}

func (s *site) remove(id identity.HostID) {
	s.t.Helper()
	err := s.Update(func(tx *store.Tx, keys *Keys) error {
		return errors.Join(tx.RemoveHost(id, s.now, "sold"), keys.Retire(id))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

// revive brings a host back with so many keys.
func (s *site) revive(id identity.HostID, want int) {
	s.t.Helper()
	err := s.Update(func(tx *store.Tx, keys *Keys) error {
		n, err := keys.Reinstate(id)
		if n != want {
			s.t.Errorf("%d keys are trusted again, want %d", n, want)
		}
		return errors.Join(err, tx.ReviveHost(id, s.now))
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestReviveTrustsOnlyKeysThatWereRefusedForTheRemoval(t *testing.T) {
	s := newSite(t)
	ctx := context.Background()
	s.WatchSessions(func(identity.HostID) bool { return false })
	stolen := s.enrol(newKey(t), hardware)
	id := mustID(t, stolen)
	if err := s.RevokeHost(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, gone := s.RevokedHosts()[id]; !gone {
		t.Error("it is not revoked")
	}
	again := s.enrol(newKey(t), hardware)
	if _, gone := s.RevokedHosts()[id]; gone || mustID(t, again) != id {
		t.Errorf("host %s, revoked %v: it has a good key", mustID(t, again), gone)
	}
	s.remove(id)
	if _, code, why := s.stands(again); code != wire.CodeRevoked || !strings.Contains(why, "host revive") {
		t.Errorf("retired: %d, %s", code, why)
	}
	s.restart() // the list beside the state is read again
	s.revive(id, 1)
	s.revive(id, 0)
	s.restart()
	if _, code, why := s.stands(again); code != wire.CodeNone {
		t.Errorf("reinstated: %d, %s", code, why)
	}
	if _, code, _ := s.stands(stolen); code != wire.CodeRevoked {
		t.Errorf("the stolen key is trusted again: %d", code)
	}
	s.remove(id)
	if err := s.RevokeHost(ctx, id); err != nil {
		t.Fatal(err)
	}
	s.revive(id, 0)
}

// TestRemovalThatCannotBeWrittenChangesNothing: neither what cannot be kept beside the
// state nor what cannot be kept in it leaves a host half removed.
func TestRemovalThatCannotBeWrittenChangesNothing(t *testing.T) {
	for _, at := range []step{beforeBegin, beforeCommit, diskFull} {
		s := newSite(t)
		c := s.enrol(newKey(t), nil)
		id := mustID(t, c)
		s.fault.at.Store(at)
		err := s.Update(func(tx *store.Tx, keys *Keys) error {
			return errors.Join(tx.RemoveHost(id, s.now, "sold"), keys.Retire(id))
		})
		if err == nil {
			t.Errorf("step %d: no error", at)
		}
		for range 2 {
			if _, code, why := s.stands(c); code != wire.CodeNone {
				t.Errorf("step %d: %d: %s", at, code, why)
			}
			s.restart()
		}
		s.remove(id)
		if _, code, _ := s.stands(c); code != wire.CodeRevoked {
			t.Errorf("step %d, then removed: %d", at, code)
		}
	}
}
