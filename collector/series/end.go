package series

import (
	"context"
	"fmt"
	"math"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// End writes stale markers for the series of a host that are alive, so that from now on no
// query finds them, and returns how many there were. Those of the host under the name
// except are left out, for a host that is called so now; empty: none are. A sample that
// comes later has its series begin again.
func (d *DB) End(ctx context.Context, host identity.HostID, except string) (int, error) {
	now := d.cfg.Now()
	var ends []ending
	err := d.eachOf(ctx, host.String(), now.Add(-lookback).UnixMilli(), now.Add(maxAhead).UnixMilli(), func(ls labels.Labels, it chunkenc.Iterator) {
		if except != "" && ls.Get(hostLabel) == except {
			return
		}
		e := ending{at: now.UnixMilli()}
		for kind := it.Next(); kind != chunkenc.ValNone; kind = it.Next() {
			if kind != chunkenc.ValFloat {
				continue // nobody writes other kinds
			}
			at, v := it.At()
			e.alive, e.at = !value.IsStaleNaN(v), max(e.at, at+1)
		}
		if e.alive {
			e.labels = ls.Copy()
			ends = append(ends, e)
		}
	})
	if err != nil || len(ends) == 0 {
		return 0, err
	}
	a := d.Begin(ctx)
	if a.err == nil {
		a.app.SetOptions(nil)
	}
	for _, e := range ends {
		if a.err != nil {
			break
		}
		if _, err := a.app.Append(0, e.labels, e.at, math.Float64frombits(metric.StaleBits)); err != nil {
			a.err = fmt.Errorf("end of a series: %w", err)
		}
		a.tally.Stored++
	}
	return len(ends), a.Commit()
}

// ending is the end of a series: after its newest sample, and not before now.
type ending struct {
	labels labels.Labels
	at     int64 // Unix ms
	alive  bool
}
