package spool

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

// maxLosses bounds the record of losses; all of it fits in one batch. Beyond it
// losses are still counted, but no longer by range.
const maxLosses = 64

// Drop gives a batch up that can never be delivered, and counts it as a loss.
func (s *Spool) Drop(epoch, seq uint64, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.state.epoch {
		return nil
	}
	return s.dropLocked(s.state.first+seq, reason)
}

func (s *Spool) dropLocked(key uint64, reason string) error {
	i, ok := s.find(key)
	if !ok {
		return nil
	}
	e := s.queue[i]
	c := &change{}
	if e.kind == wire.KindInventory {
		// Which sections it told of is not known when it cannot be read: all go again.
		c.sections = map[facts.ID]section{}
		for id, st := range s.sections {
			st.resend = true
			c.sections[id] = st
		}
	}
	s.killLocked(key)
	s.lost++
	s.trim = append(s.trim, key)
	s.addLossLocked(s.lossOf(e, reason))
	return s.commitLocked(c)
}

// NewEpoch begins the numbering anew: the collector knows numbers of this epoch that
// are still to be given, so this spool was set back in time (a restored snapshot or
// copy). What waits keeps its order; all sections are sent whole.
func (s *Spool) NewEpoch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beginEpochLocked()
	ids := make([]facts.ID, 0, len(s.sections))
	for id := range s.sections {
		ids = append(ids, id)
	}
	if err := s.commitLocked(&change{}); err != nil {
		return err
	}
	return s.resyncLocked(ids)
}

func (s *Spool) beginEpochLocked() {
	var epoch [8]byte
	rand.Read(epoch[:]) // never fails, see crypto/rand
	s.state.epoch = binary.BigEndian.Uint64(epoch[:])
	s.state.first = s.state.next - 1
	if i := slices.IndexFunc(s.queue, func(e entry) bool { return !e.dead }); i >= 0 {
		s.state.first = s.queue[i].key - 1
	}
	for i := range s.losses {
		s.losses[i].FromSeq, s.losses[i].ToSeq = 0, 0
	}
	s.lossesAt = true
}

// attachLosses lets the first of the new batches tell of what was lost, unless a
// batch that does so is still on its way: then the losses gather.
func (s *Spool) attachLosses(c *change) (carried bool) {
	if len(c.batches) == 0 || len(s.losses) == 0 || slices.ContainsFunc(s.losses, func(l loss) bool { return l.carrier != 0 }) {
		return false
	}
	for _, l := range s.losses {
		c.batches[0].Losses = append(c.batches[0].Losses, l.Loss)
	}
	return true
}

// lossesAfter returns the record of losses as it is after a transaction.
func (s *Spool) lossesAfter(victims []entry, carried bool, entries []entry) []loss {
	losses := slices.Clone(s.losses)
	for i := range losses {
		if carried {
			losses[i].carrier = entries[0].key
		}
		if slices.ContainsFunc(victims, func(v entry) bool { return v.key == losses[i].carrier }) {
			losses[i].carrier = 0
		}
	}
	oldest := s.cfg.Now().Add(-s.cfg.MaxAge).UnixMilli()
	for _, v := range victims {
		reason := "spool full"
		if v.kind == wire.KindMetrics && v.at < oldest {
			reason = "too old"
		}
		losses = addLoss(losses, s.lossOf(v, reason))
	}
	return losses
}

func (s *Spool) lossOf(e entry, reason string) wire.Loss {
	seq := e.key - s.state.first
	return wire.Loss{FromSeq: seq, ToSeq: seq, FromAt: e.at, ToAt: e.at, Kind: e.kind, Batches: 1, Reason: reason}
}

func (s *Spool) addLossLocked(l wire.Loss) {
	s.losses, s.lossesAt = addLoss(s.losses, l), true
}

// addLoss joins l to a range that it continues, and beyond maxLosses to any of its
// kind, which then is no range any more.
func addLoss(losses []loss, l wire.Loss) []loss {
	for i := range losses {
		o := &losses[i]
		if o.carrier != 0 || o.Kind != l.Kind || o.Reason != l.Reason {
			continue
		}
		follows := l.FromSeq != 0 && o.ToSeq != 0 && o.ToSeq+1 == l.FromSeq
		if !follows && (l.FromSeq != 0 || o.FromSeq != 0) && len(losses) < maxLosses {
			continue
		}
		if !follows {
			l.FromSeq, l.ToSeq, o.FromSeq = 0, 0, 0
		}
		o.ToSeq = l.ToSeq
		o.FromAt, o.ToAt = min(o.FromAt, l.FromAt), max(o.ToAt, l.ToAt)
		o.Batches += l.Batches
		return losses
	}
	if len(losses) >= 2*maxLosses {
		return losses // only with more kinds and reasons than exist
	}
	return append(losses, loss{Loss: l})
}

// lossOfFrames describes frames that never became a batch.
func lossOfFrames(frames []metric.Frame, now time.Time, reason string) wire.Loss {
	l := wire.Loss{Kind: wire.KindMetrics, FromAt: now.UnixMilli(), ToAt: now.UnixMilli(), Batches: uint64(len(frames)), Reason: reason}
	if len(frames) > 0 {
		l.FromAt, l.ToAt = frames[0].At, frames[len(frames)-1].At
	}
	return l
}
