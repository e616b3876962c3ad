package enroll

import (
	"slices"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// WatchSessions sets what tells whether a host is connected. To be set before the
// first agent connects; without it no machine is known again at its enrolment.
func (a *Authority) WatchSessions(connected func(identity.HostID) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.isOnline = connected
}

// connected reports whether a host has a session.
func (a *Authority) connected(id identity.HostID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.isOnline == nil || a.isOnline(id)
}

// Keys has keys follow what happens to hosts, within a transaction of Update.
//
// A key remembers the host that it enrolled as, and the ledger says of which host that is
// part now: from these two follows whom it stands for. The list of revoked keys remembers
// with which host a key was retired.
type Keys struct {
	a    *Authority
	tx   *store.Tx
	list map[[32]byte]*revocation // what the list of revoked keys is to say; nil: nothing of the key

	moved, retired []identity.HostID // whose sessions end
}

// Update commits what fn does to hosts and to their keys together, then ends the sessions
// that are not what they were. When it fails, hosts and keys are as before.
func (a *Authority) Update(fn func(tx *store.Tx, keys *Keys) error) error {
	var was map[[32]byte]*revocation
	k := &Keys{a: a, list: make(map[[32]byte]*revocation)}
	err := a.c.Store.Update(func(tx *store.Tx) (err error) {
		k.tx = tx
		if err := fn(tx, k); err != nil {
			return err
		}
		was, err = a.revoked.change(k.list) // first: what it has retired stays so in an older backup of the state
		return err
	})
	if err != nil {
		if _, back := a.revoked.change(was); back != nil {
			a.c.Log.Error("the list of revoked keys names keys whose host was not removed after all: its next change mends that", "err", back)
		}
		return err
	}
	a.forgetRevoked()
	a.mu.Lock()
	onRevoke, onMove := a.onRevoke, a.onMove
	a.mu.Unlock()
	tell(onRevoke, k.retired)
	tell(onMove, k.moved)
	return nil
}

func tell(fn func(identity.HostID), ids []identity.HostID) {
	for _, id := range ids {
		if fn != nil {
			fn(id)
		}
	}
}

// Retire takes back the trust in the keys of a host that is removed: Reinstate can undo it.
func (k *Keys) Retire(id identity.HostID) error {
	k.retired = append(k.retired, id)
	return k.each(func(hash [32]byte, rec *keyRecord) error {
		k.retire(hash, rec)
		return nil
	}, id)
}

// Reinstate trusts those keys of a host again that were retired with it, and returns how
// many. Those that were revoked otherwise stay so.
func (k *Keys) Reinstate(id identity.HostID) (n int, err error) {
	k.moved = append(k.moved, id)
	err = k.each(func(hash [32]byte, rec *keyRecord) error {
		if k.trust(hash, rec, id) {
			n++
		}
		return nil
	}, id)
	return n, err
}

// Follow has the keys of the two hosts of a merge stand for whom the ledger says, after it
// has made or undone the merge. Certificates stay good until they are renewed. A removed
// host has no trusted key; what was retired only with the host that it was part of is trusted.
func (k *Keys) Follow(m ledger.Merge) error {
	k.moved = append(k.moved, m.Keep, m.Other)
	wholes, err := ledger.Joined(k.tx)
	if err != nil {
		return err
	}
	return k.each(func(hash [32]byte, rec *keyRecord) error {
		if to := wholes.Of(rec.origin(hash, m)); to != rec.Host {
			rec.Was = append(slices.DeleteFunc(rec.Was, func(id identity.HostID) bool { return id == to }), rec.Host)
			rec.Host = to
		}
		h, _, err := k.tx.Host(rec.Host)
		switch {
		case err != nil:
			return err
		case !h.RemovedAt.IsZero():
			k.retire(hash, rec)
		case rec.Host == m.Other:
			k.trust(hash, rec, m.Keep)
		}
		return nil
	}, m.Keep, m.Other)
}

// origin returns the host that a key enrolled as. Those from before it was kept go back with
// the merge by which they came.
func (rec *keyRecord) origin(hash [32]byte, m ledger.Merge) identity.HostID {
	switch {
	case rec.Own != identity.HostID{}:
		return rec.Own
	case slices.Equal(m.Key, hash[:]), m.Key == nil && slices.Contains(rec.Was, m.Other):
		return m.Other
	}
	return rec.Host
}

// each has fn change the keys of those hosts.
func (k *Keys) each(fn func(hash [32]byte, rec *keyRecord) error, ids ...identity.HostID) error {
	keys, err := keysOf(k.tx, ids...)
	if err != nil {
		return err
	}
	for hash, rec := range keys {
		if err := fn(hash, &rec); err != nil {
			return err
		}
		if err := putJSON(k.tx, tableKeys, hash[:], rec); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keys) retire(hash [32]byte, rec *keyRecord) {
	if rec.RevokedAt != 0 {
		return
	}
	rec.RevokedAt, rec.RevokedWhy = facts.TimeOf(k.a.c.Now()), whyRemoved
	k.list[hash] = &revocation{rec.Host, rec.RevokedAt.Time(), whyRemoved}
}

// trust takes back that a key was retired with a host.
func (k *Keys) trust(hash [32]byte, rec *keyRecord, with identity.HostID) bool {
	r, listed := k.a.revoked.of(hash)
	if rec.RevokedAt == 0 || rec.RevokedWhy != whyRemoved || listed && r.host != with {
		return false
	}
	rec.RevokedAt, rec.RevokedWhy = 0, ""
	k.list[hash] = nil
	return true
}

// OnMove sets what is called for a host whose keys are another's now.
func (a *Authority) OnMove(fn func(identity.HostID)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onMove = fn
}
