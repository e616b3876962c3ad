package apitest

import (
	"context"
	"slices"

	"atalaya/collector/api/v1"
)

// Changed implements api.Inventory: the newest changes first, those of the same text
// on several hosts as one.
func (f *Fleet) Changed(_ context.Context, q v1.FleetChangeQuery) (out v1.FleetChanges, err error) {
	for _, host := range q.Hosts {
		if _, err := f.find(host); err != nil {
			return out, err
		}
	}
	for _, h := range f.hosts() {
		if len(q.Hosts) > 0 && !slices.Contains(q.Hosts, h.Name) && !slices.Contains(q.Hosts, h.ID) || q.Tag != "" && !slices.Contains(h.Tags, q.Tag) {
			continue
		}
		_, all, err := f.changes(h.ID, "", q.From, q.To)
		if err != nil {
			return out, err
		}
		for _, c := range all {
			name := v1.HostName{HostID: h.ID, Host: h.Name}
			i := slices.IndexFunc(out.Changes, func(o v1.FleetChange) bool { return o.Section == c.Section && o.Item == c.Item && o.Text == c.Text })
			if i >= 0 {
				out.Changes[i].HostCount++
				out.Changes[i].Hosts = append(out.Changes[i].Hosts, name)
				continue
			}
			out.Changes = append(out.Changes, v1.FleetChange{
				Section: c.Section, Kind: c.Kind, Item: c.Item, Text: c.Text, Columns: c.Columns, At: c.At, ReceivedAt: c.ReceivedAt,
				HostCount: 1, Hosts: []v1.HostName{name}, FleetCount: 1, Times: 1, Score: 0.5,
			})
		}
	}
	slices.SortStableFunc(out.Changes, func(a, b v1.FleetChange) int { return b.ReceivedAt.Compare(a.ReceivedAt) })
	out.Total = len(out.Changes)
	out.Changes = out.Changes[:min(out.Total, q.Limit)]
	return out, f.failure()
}

// hosts are the hosts as they are now.
func (f *Fleet) hosts() []v1.Host {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.HostList)
}
