package enroll

import (
	"slices"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
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

// ReinstateHost trusts those keys of a host again that were revoked because it was
// removed, and returns how many. Those that were revoked otherwise stay so. It is to
// be called in the transaction that revives the host.
func (a *Authority) ReinstateHost(tx *store.Tx, id identity.HostID) (n int, err error) {
	keys, err := keysOf(tx, id)
	if err != nil {
		return 0, err
	}
	for hash, rec := range keys {
		if rec.RevokedAt == 0 || rec.RevokedWhy != whyRemoved {
			continue
		}
		rec.RevokedAt, rec.RevokedWhy = 0, ""
		if err := putJSON(tx, tableKeys, hash[:], rec); err != nil {
			return n, err
		}
		// Last: while the file names it, the key stays revoked whatever the state says.
		if err := a.revoked.remove(hash); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// MoveKeys makes the keys of one host those of another, into which it was merged. The
// certificates that they have stay good until they are renewed.
func (a *Authority) MoveKeys(tx *store.Tx, from, to identity.HostID) error {
	keys, err := keysOf(tx, from)
	if err != nil {
		return err
	}
	for hash, rec := range keys {
		if err := moveKey(tx, hash, rec, to); err != nil {
			return err
		}
	}
	return nil
}

// ReturnKeys undoes what MoveKeys, or an enrolment as a known machine, has done.
func (a *Authority) ReturnKeys(tx *store.Tx, m ledger.Merge) error {
	keys, err := keysOf(tx, m.Keep)
	if err != nil {
		return err
	}
	for hash, rec := range keys {
		if slices.Equal(m.Key, hash[:]) || m.Key == nil && slices.Contains(rec.Was, m.Other) {
			if err := moveKey(tx, hash, rec, m.Other); err != nil {
				return err
			}
		}
	}
	return nil
}

func moveKey(tx *store.Tx, hash [32]byte, rec keyRecord, to identity.HostID) error {
	was := rec.Host
	rec.Was = append(slices.DeleteFunc(rec.Was, func(id identity.HostID) bool { return id == to }), was)
	rec.Host = to
	return putJSON(tx, tableKeys, hash[:], rec)
}

// KeysMoved is to be called after a transaction with MoveKeys, ReturnKeys or
// ReinstateHost: the sessions of those hosts end, and begin again as what they are now.
func (a *Authority) KeysMoved(ids ...identity.HostID) {
	a.forgetRevoked()
	a.mu.Lock()
	notify := a.onMove
	a.mu.Unlock()
	if notify == nil {
		return
	}
	for _, id := range ids {
		notify(id)
	}
}

// OnMove sets what is called for a host whose keys are another's now.
func (a *Authority) OnMove(fn func(identity.HostID)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.onMove = fn
}
