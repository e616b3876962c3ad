package enroll

import (
	"time"

	"atalaya/shared/identity"
)

// RevokedHosts returns the hosts whose trust was taken back, and when that was.
func (a *Authority) RevokedHosts() map[identity.HostID]time.Time {
	a.revoked.mu.Lock()
	defer a.revoked.mu.Unlock()
	hosts := make(map[identity.HostID]time.Time, len(a.revoked.entries))
	for _, r := range a.revoked.entries {
		if at, ok := hosts[r.host]; !ok || r.at.Before(at) {
			hosts[r.host] = r.at
		}
	}
	return hosts
}
