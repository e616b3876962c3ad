package collector

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"atalaya/collector/identity/ledger"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/metric"
)

// upInterval lies between two samples of the series up, well under PromQL's look-back of 5 min.
const upInterval = 15 * time.Second

// watchHosts records what the collector itself knows of each host: whether it reports,
// how wrong its clock is, and what it lost.
func (c *collector) watchHosts(ctx context.Context) error {
	lost := map[identity.HostID]uint64{}
	if err := c.series.Ready(ctx); err != nil {
		return nil // it was told to stop before there were metrics
	}
	return every(ctx, upInterval, func(now time.Time) {
		if err := c.recordHosts(ctx, now, lost); err != nil {
			c.opt.Log.Warn("series of the hosts not written", "err", err)
		}
	})
}

// recordHosts writes up of all hosts; clock and losses, as any exporter's metrics, only of
// those that report. What a host had lost while it was silent is kept in lost and written
// once more when it is back: it is then that it tells of further losses, and a sample from
// before makes them an increase.
func (c *collector) recordHosts(ctx context.Context, now time.Time, lost map[identity.HostID]uint64) error {
	revoked := c.authority.RevokedHosts()
	app := c.series.Begin(ctx)
	err := c.store.View(func(tx *store.Tx) error {
		return tx.Hosts(func(h store.Host) error {
			if _, gone := revoked[h.ID]; gone {
				return nil
			}
			labels := []metric.Label{{Name: "host", Value: h.Name}, {Name: "host_id", Value: h.ID.String()}}
			app.AppendOwn(now.UnixMilli(), "up", labels, c.up(h, now))
			if now.Sub(h.LastSeen) > c.cfg.SilentAfter {
				lost[h.ID] = h.LossBatches
				return nil
			}
			total := h.LossBatches
			if before, back := lost[h.ID]; back {
				total = before
				delete(lost, h.ID)
			}
			app.AppendOwn(now.UnixMilli(), "atalaya_agent_clock_offset_seconds", labels, h.ClockOffset.Seconds())
			app.AppendOwn(now.UnixMilli(), "atalaya_agent_lost_batches_total", labels, float64(total))
			return nil
		})
	})
	if err != nil {
		app.Rollback()
		return err
	}
	return app.Commit()
}

// up is 1 while something comes from the host. While the collector was down nothing
// could come: silence counts from its start.
func (c *collector) up(h store.Host, now time.Time) float64 {
	since := h.LastSeen
	if since.Before(c.started) {
		since = c.started
	}
	if now.Sub(since) <= c.cfg.SilentAfter {
		return 1
	}
	return 0
}

// settleTime is how often it is looked whether sessions have come.
const settleTime = time.Minute

// releaseMemory gives back what handshakes have left, once a storm of them is over: of a
// thousand it is a third of what their sessions keep, and an idle fleet causes no
// collection that would give it back. It costs one collection.
func (c *collector) releaseMemory(ctx context.Context) error {
	var seen, released uint64 // sessions accepted, by the last look and by the last release
	return every(ctx, settleTime, func(time.Time) {
		now := c.ingest.Stats().Sessions
		storm, over := now-released > releaseSessions, (now-seen)*10 <= now-released
		if seen = now; storm && over {
			debug.FreeOSMemory()
			released = now
		}
	})
}

// releaseSessions leave some 5 MB at least.
const releaseSessions = 100

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

// scrubEvery lies between two looks at the whole state file. It is checked at the start too.
const scrubEvery = 24 * time.Hour

// scrub looks for damage in the state file while it is served, and has it mended.
func (c *collector) scrub(ctx context.Context) error {
	first := true
	return every(ctx, scrubEvery, func(time.Time) {
		if first {
			first = false
			return
		}
		r, err := c.store.Scrub()
		if err == nil && r.Count > 0 {
			c.opt.Log.Error("the state file is damaged", "findings", r.Count, "first", r.Damage[0].String())
			err = errors.Join(c.store.Repair(r), c.assets.CatchUp(), ledger.CatchUp(c.store))
		}
		if err != nil {
			c.opt.Log.Error("state file not verified or not mended", "err", err)
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
