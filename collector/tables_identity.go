package collector

import (
	"encoding/json"
	"time"

	"atalaya/collector/identity"
	"atalaya/collector/identity/ledger"
	"atalaya/collector/query"
	hostid "atalaya/shared/identity"
)

// identityEventsTable gives what happened to the identities of hosts. As of a moment it
// has the events up to it; of one that came again only the first and the last moment are
// kept, so that its times are not known when the last lies behind the moment.
func identityEventsTable() query.Table {
	const host = 0
	return query.Table{
		Name: "identity_events", Doc: "who a host is taken for, and why: the newest 64 events of each, of removed ones too", Past: true, Rows: 100_000,
		Columns: []query.TableColumn{
			{Name: "host_id", Type: "TEXT", Doc: "number of the host", Key: true}, {Name: "host", Type: "TEXT", Doc: "name of the host now", Key: true},
			{Name: "at", Type: "TEXT", Doc: "first time"}, {Name: "last_at", Type: "TEXT", Doc: "last time, of one that came again"},
			{Name: "times", Type: "INTEGER", Doc: "in a row"},
			{Name: "kind", Type: "TEXT", Doc: "enrolled, look-alike, renamed, reimaged, reinstalled, came-back, removed, revived, merged, unmerged, state-copied, vm-cloned, contested, accepted, set-back, board-swapped, disk-moved, disk-replaced, nic-replaced, hardware-changed, address-changed"},
			{Name: "event_by", Type: "TEXT", Doc: "who did it; nothing: the collector decided"},
			{Name: "reason", Type: "TEXT", Doc: "in words, with what speaks for it"}, {Name: "merge", Type: "INTEGER", Doc: "number of the merge"},
			{Name: "weighed", Type: "TEXT", Doc: "facts that were compared, JSON list"},
		},
		Scan: query.Rows(10, func(s query.Scan, row []any, yield func() error) error {
			indexes, only, err := s.Hosts(host)
			if err != nil {
				return err
			}
			give := func(id hostid.HostID, r identity.Record) error {
				h, _, err := s.Tx().Host(id)
				if err != nil {
					return err
				}
				for _, e := range r.Events {
					if !s.AsOf.IsZero() && e.At.After(s.AsOf) {
						continue
					}
					row[0], row[1] = id.String(), known(h.Name)
					if err := fillEvent(row, e, s.AsOf); err != nil {
						return err
					}
					if err := yield(); err != nil {
						return err
					}
				}
				return nil
			}
			if !only {
				return ledger.Each(s.Tx(), give)
			}
			for _, index := range indexes {
				id, _, err := s.Tx().HostByIndex(index)
				if err != nil {
					return err
				}
				r, err := ledger.Record(s.Tx(), id)
				if err != nil {
					return err
				}
				if err := give(id, r); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

// fillEvent writes an event behind the columns of its host. Of one that came again after
// the moment it is not known how often it had come by then.
func fillEvent(row []any, e identity.Event, asOf time.Time) error {
	times, last := any(int64(max(e.Times, 1))), query.Time(e.Last)
	if !asOf.IsZero() && e.Last.After(asOf) {
		times, last = nil, nil
	}
	weighed, err := json.Marshal(append([]identity.Line{}, e.Lines...))
	merge := any(nil)
	if e.Merge != 0 {
		merge = int64(e.Merge)
	}
	copy(row[2:], []any{query.Time(e.At), last, times, string(e.Kind), known(e.By), e.Text, merge, string(weighed)})
	return err
}
