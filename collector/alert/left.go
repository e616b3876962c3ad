package alert

import (
	"atalaya/collector/series"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// hostID is the label by which series and alerts name their host.
const hostID = "host_id"

// outcome is what an evaluation of a rule says.
type outcome struct {
	holding map[string]*Alert // alerts for which it holds, by fingerprint
	left    map[string]bool   // ids of hosts that left: nothing holds for them, and nothing is waited for
}

// left returns the hosts that results or alerts of a rule name and that were removed, or
// merged into another. Their series have ended, but an expression over a span still sees
// what they sent before.
func (e *Engine) left(r *rule, v series.Vector) (map[string]bool, error) {
	named := map[string]bool{}
	for _, s := range v {
		named[hostOf(s.Labels)] = false
	}
	e.mu.RLock()
	for _, a := range r.alerts {
		named[a.Labels[hostID]] = false
	}
	e.mu.RUnlock()
	if len(named) == 0 {
		return nil, nil
	}
	return named, e.cfg.Store.View(func(tx *store.Tx) error {
		for name := range named {
			id, err := identity.ParseHostID(name)
			if err != nil {
				continue // none, or one of somebody else's
			}
			h, known, err := tx.Host(id)
			if err != nil {
				return err
			}
			named[name] = known && !h.RemovedAt.IsZero()
		}
		return nil
	})
}

func hostOf(ls []metric.Label) string {
	for _, l := range ls {
		if l.Name == hostID {
			return l.Value
		}
	}
	return ""
}
