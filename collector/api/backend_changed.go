package api

import (
	"context"

	"atalaya/collector/api/v1"
	"atalaya/collector/inventory"
)

// Changed implements Inventory.
func (b inventoryBackend) Changed(_ context.Context, q v1.FleetChangeQuery) (out v1.FleetChanges, err error) {
	list, err := b.Inventory.WhatChanged(inventory.ChangedQuery{Hosts: q.Hosts, Tag: q.Tag, From: q.From, To: q.To})
	if err != nil {
		return out, classify(err)
	}
	out.Total = len(list)
	for _, c := range list[:min(len(list), q.Limit)] {
		f := v1.FleetChange{
			Section: c.Section, Kind: c.Kind, Item: c.Item, Text: c.Text, At: c.At.UTC(), ReceivedAt: c.Received.UTC(),
			HostCount: c.Count, FleetCount: c.Fleet, Times: c.Times, Score: c.Score,
		}
		for _, column := range c.Columns {
			f.Columns = append(f.Columns, v1.ColumnChange(column))
		}
		for _, h := range c.Hosts {
			f.Hosts = append(f.Hosts, v1.HostName{HostID: h.ID.String(), Host: h.Name})
		}
		out.Changes = append(out.Changes, f)
	}
	return out, nil
}
