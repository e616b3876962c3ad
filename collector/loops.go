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
	w := newWatch()
	if err := c.series.Ready(ctx); err != nil {
		return nil // it was told to stop before there were metrics
	}
	return every(ctx, upInterval, func(now time.Time) {
		if err := c.recordHosts(ctx, now, w); err != nil {
			c.opt.Log.Warn("series of the hosts not written", "err", err)
		}
	})
}

// watch is what is remembered of hosts from one look at them to the next.
type watch struct {
	lost  map[identity.HostID]uint64 // what silent hosts had lost
	names map[identity.HostID]string // of those that were there; nil: none was looked for
	left  map[identity.HostID]int    // whose series are to be ended, and how often still
}

func newWatch() *watch {
	return &watch{lost: map[identity.HostID]uint64{}, left: map[identity.HostID]int{}}
}

// endTimes is how often the series of a host that left are looked at: what was on its way
// when it left has them begin once more.
const endTimes = 3

// recordHosts writes up of all hosts; clock and losses, as any exporter's metrics, only of
// those that report. What a host had lost while it was silent is kept and written
// once more when it is back: it is then that it tells of further losses, and a sample from
// before makes them an increase.
func (c *collector) recordHosts(ctx context.Context, now time.Time, w *watch) error {
	revoked, lost, names := c.authority.RevokedHosts(), w.lost, map[identity.HostID]string{}
	app := c.series.Begin(ctx)
	err := c.store.View(func(tx *store.Tx) error {
		return tx.Hosts(func(h store.Host) error {
			if _, gone := revoked[h.ID]; gone {
				return nil
			}
			names[h.ID] = h.Name
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
	if err == nil && w.names == nil {
		var before map[identity.HostID]string
		if before, err = c.leftBefore(now); err == nil {
			w.names = before
		}
	}
	if err != nil {
		app.Rollback()
		return err
	}
	if err := app.Commit(); err != nil {
		return err
	}
	return c.endLeft(ctx, names, w)
}

// endedBefore is how long before the start of the collector a host may have left for its
// series to be looked at: longer than they would live of themselves.
const endedBefore = 10 * time.Minute

// leftBefore returns the hosts that were removed shortly before the start.
func (c *collector) leftBefore(now time.Time) (map[identity.HostID]string, error) {
	names := map[identity.HostID]string{}
	return names, c.store.View(func(tx *store.Tx) error {
		return tx.AllHosts(identity.HostID{}, func(h store.Host) error {
			if !h.RemovedAt.IsZero() && now.Sub(h.RemovedAt) < endedBefore {
				names[h.ID] = h.Name
			}
			return nil
		})
	})
}

// endLeft ends the series of hosts that are not there any more, or are called otherwise
// now: alerts over them resolve, and no sum counts them.
func (c *collector) endLeft(ctx context.Context, names map[identity.HostID]string, w *watch) (err error) {
	for id, name := range w.names {
		if names[id] != name {
			w.left[id] = endTimes
		}
	}
	w.names = names
	for id, times := range w.left {
		n, err2 := c.series.End(ctx, id, names[id])
		switch {
		case err2 != nil:
			err = errors.Join(err, err2)
		case n > 0:
			w.left[id] = endTimes
		case times == 1:
			delete(w.left, id)
		default:
			w.left[id]--
		}
	}
	return err
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
