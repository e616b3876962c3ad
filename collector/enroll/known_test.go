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
	update := func(fn func(tx *store.Tx) error) {
		t.Helper()
		if err := s.store.Update(fn); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) error { return s.MoveKeys(tx, other, keep) })
	wantHost(b, keep)
	update(func(tx *store.Tx) error { return s.ReturnKeys(tx, ledger.Merge{Keep: keep, Other: other}) })
	wantHost(a, keep)
	wantHost(b, other)
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
	if err := s.RetireHost(ctx, id); err != nil {
		t.Fatal(err)
	}
	if _, code, why := s.stands(again); code != wire.CodeRevoked || !strings.Contains(why, "host revive") {
		t.Errorf("retired: %d, %s", code, why)
	}
	s.restart() // the list beside the state is read again
	for range 2 {
		n := 0
		err := s.store.Update(func(tx *store.Tx) (err error) {
			n, err = s.ReinstateHost(tx, id)
			return err
		})
		if err != nil || n > 1 {
			t.Fatalf("%d keys, %v", n, err)
		}
	}
	s.restart()
	if _, code, why := s.stands(again); code != wire.CodeNone {
		t.Errorf("reinstated: %d, %s", code, why)
	}
	if _, code, _ := s.stands(stolen); code != wire.CodeRevoked {
		t.Errorf("the stolen key is trusted again: %d", code)
	}
	if err := errors.Join(s.RetireHost(ctx, id), s.RevokeHost(ctx, id)); err != nil {
		t.Fatal(err)
	}
	err := s.store.Update(func(tx *store.Tx) error {
		n, err := s.ReinstateHost(tx, id)
		if n != 0 {
			t.Errorf("%d keys that were revoked for good are trusted again", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
