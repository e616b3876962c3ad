package enroll

import (
	"maps"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// RevokedHosts returns the hosts of which no key is trusted any more, and when the
// trust in the first was taken back.
func (a *Authority) RevokedHosts() map[identity.HostID]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.revokedHosts == nil {
		hosts, err := a.findRevoked()
		if err != nil {
			a.c.Log.Error("keys of hosts not read", "err", err)
			return nil
		}
		a.revokedHosts = hosts
	}
	return maps.Clone(a.revokedHosts)
}

func (a *Authority) forgetRevoked() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revokedHosts = nil
}

func (a *Authority) findRevoked() (map[identity.HostID]time.Time, error) {
	hosts, good := map[identity.HostID]time.Time{}, map[identity.HostID]bool{}
	if a.revoked.empty() {
		return hosts, nil
	}
	err := a.c.Store.View(func(tx *store.Tx) error {
		return scanJSON(tx, tableKeys, func(_ []byte, rec keyRecord) error {
			at := rec.RevokedAt.Time()
			switch first, ok := hosts[rec.Host]; {
			case rec.RevokedAt == 0:
				good[rec.Host] = true
			case !ok || at.Before(first):
				hosts[rec.Host] = at
			}
			return nil
		})
	})
	maps.DeleteFunc(hosts, func(id identity.HostID, _ time.Time) bool { return good[id] })
	return hosts, err
}
