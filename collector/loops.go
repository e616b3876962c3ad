package collector

import (
	"context"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/metric"
)

// upInterval lies between two samples of the series up, well under PromQL's look-back of 5 min.
const upInterval = 15 * time.Second

// watchHosts records in the series up which hosts report.
func (c *collector) watchHosts(ctx context.Context) error {
	return every(ctx, upInterval, func(now time.Time) {
		if err := c.recordUp(ctx, now); err != nil {
			c.opt.Log.Warn("series up not written", "err", err)
		}
	})
}

func (c *collector) recordUp(ctx context.Context, now time.Time) error {
	app := c.series.Begin(ctx)
	err := c.store.View(func(tx *store.Tx) error {
		return tx.Hosts(func(h store.Host) error {
			up := 0.0
			if now.Sub(h.LastSeen) <= c.cfg.SilentAfter {
				up = 1
			}
			app.AppendOwn(now.UnixMilli(), "up", []metric.Label{{Name: "host", Value: h.Name}, {Name: "host_id", Value: h.ID.String()}}, up)
			return nil
		})
	})
	if err != nil {
		app.Rollback()
		return err
	}
	return app.Commit()
}

// prune takes changes out of the log that are older than the retention.
func (c *collector) prune(ctx context.Context) error {
	return every(ctx, time.Hour, func(now time.Time) {
		n, err := c.store.Prune(now.Add(-c.cfg.HistoryRetention))
		if err != nil {
			c.opt.Log.Warn("old changes not removed", "err", err)
		} else if n > 0 {
			c.opt.Log.Info("old changes removed", "changes", n)
		}
	})
}

// every calls f now and then at each interval until ctx ends.
func every(ctx context.Context, interval time.Duration, f func(now time.Time)) error {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		f(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
	}
}
