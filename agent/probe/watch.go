package probe

import (
	"context"
	"slices"
	"time"
)

// watcher looks whether the paths that inventory probes watch have changed, or their
// period is over, and requests those probes. It runs among the metric probes so that the
// agent wakes once in an interval, and so that a file system that hangs costs this
// probe alone.
type watcher struct {
	watched  []watched
	next     int       // of watched: where the next look begins
	last     time.Time // when it looked last
	periodic []*runner // those that run more often than the rest
	request  func(...*runner)
}

// At each tick the watcher looks at a third of the paths: all of them each 10 s were a
// tenth of what the agent takes at rest. When ticks are rare it looks at all of them.
const (
	watchTurns   = 3
	watchAtLeast = 16 // paths in a look
	watchRare    = 20 * time.Second
)

// watched is one path and what was seen there.
type watched struct {
	path    string
	runners []*runner
	stamp   Stamp
}

// busy reports whether somebody is at work on what the probes of this path read.
func (x *watched) busy(h *Host) bool {
	for _, r := range x.runners {
		if slices.ContainsFunc(r.info.Locks, h.Locked) {
			return true
		}
	}
	return false
}

// newWatcher looks at the paths once, so that whatever changes from now on is seen.
func newWatcher(runners []*runner, request func(...*runner)) *watcher {
	w := &watcher{request: request}
	index := make(map[string]int)
	for _, r := range runners {
		if r.info.Period > 0 {
			r.due(r.host.Now()) // it runs at the start with all others
			w.periodic = append(w.periodic, r)
		}
		for _, path := range r.info.Watch {
			i, ok := index[path]
			if !ok {
				i = len(w.watched)
				index[path] = i
				w.watched = append(w.watched, watched{path: path, stamp: r.host.Stamp(path)})
			}
			w.watched[i].runners = append(w.watched[i].runners, r)
		}
	}
	return w
}

func (*watcher) Info() Info { return Info{Name: "watch", Metrics: true} }

// Collect implements Probe. A file that changes while its probe reads it has another
// stamp at the next tick, and is read again.
func (w *watcher) Collect(ctx context.Context, h *Host, _ *Report) error {
	at := h.Now()
	n := min(max(len(w.watched)/watchTurns+1, watchAtLeast), len(w.watched))
	if since := at.Sub(w.last); since < 0 || since >= watchRare {
		n = len(w.watched)
	}
	w.last = at
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		x := &w.watched[w.next%len(w.watched)]
		w.next = (w.next + 1) % len(w.watched)
		now := h.Stamp(x.path)
		if now == x.stamp || x.busy(h) {
			continue // a change that is under way is seen again at the next tick
		}
		x.stamp = now
		w.request(x.runners...)
	}
	for _, r := range w.periodic {
		if r.due(at) {
			w.request(r)
		}
	}
	return nil
}
