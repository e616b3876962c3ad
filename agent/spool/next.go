package spool

import (
	"cmp"
	"errors"
	"slices"

	bolt "go.etcd.io/bbolt"

	"atalaya/shared/wire"
)

// maxTrim is how many acknowledged batches wait for the next append before they get
// a transaction of their own. After a crash they are sent again and not taken twice.
const maxTrim = 256

// Next returns the oldest batch of the epoch whose number is above after, nil when
// there is none. It gives ErrEpoch when the epoch has ended. A batch that cannot be read
// any more is skipped and becomes a loss.
func (s *Spool) Next(epoch, after uint64) (*wire.Batch, error) {
	b, _, err := s.next(epoch, after, false)
	return b, err
}

// NextInventory is Next for batches of inventory, which may overtake metrics as long as
// they do not get further ahead than the collector remembers. Without one, the next is
// looked for behind the number that it returns.
func (s *Spool) NextInventory(epoch, after uint64) (b *wire.Batch, behind uint64, err error) {
	return s.next(epoch, after, true)
}

func (s *Spool) next(epoch, after uint64, inventory bool) (b *wire.Batch, behind uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if epoch != s.state.epoch {
			return nil, after, ErrEpoch
		}
		i, _ := slices.BinarySearchFunc(s.queue, s.state.first+after+1, func(e entry, k uint64) int { return cmp.Compare(e.key, k) })
		for i < len(s.queue) && (s.queue[i].dead || inventory && s.queue[i].kind != wire.KindInventory) {
			behind = s.queue[i].key - s.state.first
			i++
		}
		if i == len(s.queue) {
			return nil, max(after, behind), nil
		}
		key := s.queue[i].key
		if inventory && s.aheadLocked(key) >= maxAhead {
			return nil, after, nil
		}
		b, err := s.readLocked(key)
		if err == nil {
			return b, b.Seq, nil
		}
		if !errors.Is(err, errDamaged) {
			return nil, after, err
		}
		s.cfg.Log.Error("stored batch damaged", "seq", key-s.state.first, "err", err)
		if err := s.dropLocked(key, "spool damaged"); err != nil {
			return nil, after, err
		}
	}
}

// maxAhead is how many batches may be taken by the collector before the oldest batch of
// metrics is. It remembers 1,024 behind a gap, and takes older gaps for given up.
const maxAhead = 512

// aheadLocked returns how many numbers between the oldest metrics and a batch are not
// those of metrics that wait.
func (s *Spool) aheadLocked(key uint64) uint64 {
	oldest, metrics := uint64(0), uint64(0)
	for _, e := range s.queue {
		if e.key >= key {
			break
		}
		if e.dead || e.kind != wire.KindMetrics {
			continue
		}
		if metrics == 0 {
			oldest = e.key
		}
		metrics++
	}
	if metrics == 0 {
		return 0
	}
	return key - oldest - metrics
}

func (s *Spool) readLocked(key uint64) (*wire.Batch, error) {
	var value []byte
	err := s.view(func(tx *bolt.Tx) error {
		value = slices.Clone(tx.Bucket([]byte(tableBatches)).Get(batchKey(key)))
		return nil
	})
	if err != nil {
		return nil, err
	}
	b, err := decodeBatch(value, key)
	if err != nil {
		return nil, err
	}
	if b.Epoch != s.state.epoch {
		s.renumber(b, key)
	}
	return b, nil
}

// renumber brings a batch of an earlier epoch into this one. The ranges of its losses
// are numbers of that epoch and say nothing any more.
func (s *Spool) renumber(b *wire.Batch, key uint64) {
	b.Epoch, b.Seq = s.state.epoch, key-s.state.first
	for i := range b.Losses {
		b.Losses[i].FromSeq, b.Losses[i].ToSeq = 0, 0
	}
	b.Checksum = b.Sum()
}

// Ack takes batches out that the collector holds durably. Numbers that are not waiting
// are ignored. An error means that the file could not be written; the batches are
// acknowledged all the same.
func (s *Spool) Ack(epoch uint64, seqs []uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.state.epoch {
		return nil
	}
	for _, seq := range seqs {
		s.ackLocked(s.state.first + seq)
	}
	return s.trimLocked()
}

// AckUpTo takes out all batches up to a number.
func (s *Spool) AckUpTo(epoch, seq uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if epoch != s.state.epoch {
		return nil
	}
	var keys []uint64
	for _, e := range s.queue {
		if e.key > s.state.first+seq {
			break
		}
		keys = append(keys, e.key)
	}
	for _, key := range keys {
		s.ackLocked(key)
	}
	return s.trimLocked()
}

func (s *Spool) ackLocked(key uint64) {
	if !s.killLocked(key) {
		return
	}
	s.trim = append(s.trim, key)
	before := len(s.losses)
	s.losses = slices.DeleteFunc(s.losses, func(l loss) bool { return l.carrier == key })
	s.lossesAt = s.lossesAt || len(s.losses) != before
}

func (s *Spool) trimLocked() error {
	if len(s.trim) < maxTrim {
		return nil
	}
	return s.flushLocked()
}
