package store

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// Apply takes batches in one transaction: all that it accepts is durable when it
// returns nil, and nothing is when it returns an error. A delivery that is refused or
// failed, and a section whose digest does not match, leave no trace and do not hold up
// the others. The outcomes are in the order of the deliveries. Apply calls nothing outside.
func (s *Store) Apply(ds []Delivery) ([]Outcome, error) {
	out := make([]Outcome, len(ds))
	var seen map[[8]byte]time.Time
	err := s.Update(func(tx *Tx) error {
		a := applier{tx: tx, hosts: map[identity.HostID]*applying{}}
		for i := range ds {
			o, err := a.deliver(&ds[i])
			if err != nil {
				return err
			}
			out[i] = o
		}
		if s.seenDue() {
			seen = s.takeSeen()
			if err := tx.flushSeen(seen); err != nil {
				return err
			}
		}
		return a.finish()
	})
	if err != nil {
		for id, at := range seen {
			s.Seen(id, at)
		}
		return nil, err
	}
	for i := range ds {
		if out[i].Err == nil && out[i].Failed == nil {
			s.Seen(ds[i].Host, ds[i].Received)
		}
	}
	return out, nil
}

// applier is one run of Apply. What it holds of hosts is written at the end, once.
type applier struct {
	tx        *Tx
	hosts     map[identity.HostID]*applying
	unindexed bool // the index of hosts by row is damaged: what a host had it does not tell
}

// applying is what Apply keeps of a host.
type applying struct {
	rec    hostRecord
	marks  marks
	states []SectionState
	losses []LossRecord
	resync []facts.ID // to ask for with the next outcome: the states were damaged
	err    error      // the host is not usable
	held   map[facts.ID]*holding

	recDirty, marksDirty, statesDirty, lossesDirty bool
}

func (a *applier) host(id identity.HostID) *applying {
	if h, ok := a.hosts[id]; ok {
		return h
	}
	h := &applying{held: map[facts.ID]*holding{}}
	a.hosts[id] = h
	rec, ok, err := a.tx.hostRecord(id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s", ErrUnknownHost, id)
	}
	if err == nil && rec.RemovedAt != 0 {
		err = fmt.Errorf("%w: %s was removed", ErrUnknownHost, id)
	}
	if h.err = err; err != nil {
		return h
	}
	h.rec = rec
	if h.marks, h.err = a.tx.marks(rec.Index); h.err != nil {
		return h
	}
	if h.states, h.err = a.tx.sections(rec.Index); errors.Is(h.err, ErrCorrupt) {
		h.err = a.heal(id, h, h.err)
	}
	return h
}

// deliver applies one batch. The error is one of the store; what is wrong with the
// delivery or its host alone is in the outcome.
func (a *applier) deliver(d *Delivery) (Outcome, error) {
	h := a.host(d.Host)
	if h.err != nil {
		return outcomeOf(h.err)
	}
	out, err := a.take(h, d)
	if err == nil && out.Failed == nil {
		out.Resync, h.resync = append(out.Resync, h.resync...), nil
		out.Resync = append(out.Resync, a.tx.store.ask(h, out.Resync)...)
	}
	return out, err
}

// outcomeOf sorts an error by whom it concerns: only what is wrong with the delivery
// refuses it for good, damage fails the deliveries of one host, all else is the store's.
func outcomeOf(err error) (Outcome, error) {
	switch {
	case errors.Is(err, ErrUnknownHost), errors.Is(err, ErrMalformed), errors.Is(err, ErrReused):
		return Outcome{Err: err}, nil
	case errors.Is(err, ErrCorrupt):
		return Outcome{Failed: err}, nil
	}
	return Outcome{}, err
}

func (a *applier) take(h *applying, d *Delivery) (Outcome, error) {
	if d.Batch.Seq == 0 {
		return Outcome{Err: fmt.Errorf("%w: batch without a number", ErrMalformed)}, nil
	}
	mark := h.marks.of(d.Batch.Epoch)
	switch mark.look(d.Batch.Seq, d.Batch.Checksum) {
	case seenSame:
		return Outcome{Duplicate: true}, nil
	case seenOther:
		return Outcome{Err: &ReusedError{d.Host, d.Batch.Epoch, d.Batch.Seq}}, nil
	}
	plans, err := a.plan(h, &d.Batch)
	if err != nil {
		return outcomeOf(err)
	}
	out, err := a.write(h, d, plans)
	if err != nil {
		return Outcome{}, err
	}
	// The slices of the mark are changed in place: it must not be shared.
	mark.recent, mark.above = slices.Clone(mark.recent), slices.Clone(mark.above)
	mark.add(d.Batch.Seq, d.Batch.Checksum)
	h.marks, h.marksDirty = h.marks.with(mark), true
	return out, a.lose(h, d)
}

// LossRecord is a loss that a host told of.
type LossRecord struct {
	wire.Loss
	Received time.Time
}

// maxLosses is how many losses are kept of a host; Host.LossBatches counts all.
const maxLosses = 32

// lose notes the losses of a batch.
func (a *applier) lose(h *applying, d *Delivery) error {
	if len(d.Batch.Losses) == 0 {
		return nil
	}
	if !h.lossesDirty {
		var err error
		if h.losses, err = a.tx.losses(h.rec.Index); errors.Is(err, ErrCorrupt) {
			a.tx.store.log.Error("damaged list of losses thrown away", "host", d.Host.String(), "err", err)
		} else if err != nil {
			return err
		}
		h.lossesDirty = true
	}
	for _, l := range d.Batch.Losses {
		h.rec.LossBatches += l.Batches
		h.losses = append(h.losses, LossRecord{l, d.Received})
	}
	if n := len(h.losses) - maxLosses; n > 0 {
		h.losses = h.losses[n:]
	}
	return nil
}

// Losses returns the newest losses of a host, oldest first.
func (tx *Tx) Losses(id identity.HostID) ([]LossRecord, error) {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return nil, err
	}
	return tx.losses(rec.Index)
}

func (tx *Tx) losses(index uint32) (l []LossRecord, err error) {
	key := indexKey(index)
	v, err := tx.Table(tableLosses).Get(key)
	if err != nil || v == nil {
		return nil, err
	}
	if err := json.Unmarshal(v, &l); err != nil {
		return nil, &CorruptError{Table: tableLosses, Key: key, Detail: err.Error()}
	}
	return l, nil
}

// finish writes what was changed of each host.
func (a *applier) finish() error {
	ids := make([]identity.HostID, 0, len(a.hosts))
	for id := range a.hosts {
		ids = append(ids, id)
	}
	// In the order of the keys, which is quicker and gives the same file each time.
	slices.SortFunc(ids, func(x, y identity.HostID) int {
		return cmp.Compare(a.hosts[x].rec.Index, a.hosts[y].rec.Index)
	})
	for _, id := range ids {
		if err := a.finishHost(id, a.hosts[id]); err != nil {
			return fmt.Errorf("host %s: %w", id, err)
		}
	}
	return nil
}

func (a *applier) finishHost(id identity.HostID, h *applying) error {
	if h.marksDirty {
		if err := a.tx.putMarks(h.rec.Index, h.marks); err != nil {
			return err
		}
	}
	if h.statesDirty {
		if err := a.tx.putSections(h.rec.Index, h.states); err != nil {
			return err
		}
	}
	for _, section := range slices.Sorted(maps.Keys(h.held)) {
		if held := h.held[section]; held.dirty {
			if err := a.tx.putHeld(h.rec.Index, section, held.held); err != nil {
				return err
			}
		}
	}
	if !h.lossesDirty {
		if h.recDirty {
			return a.tx.putHostRecord(id, h.rec)
		}
		return nil
	}
	v, err := json.Marshal(h.losses)
	if err != nil {
		return fmt.Errorf("encode losses: %w", err)
	}
	if err := a.tx.Table(tableLosses).Put(binary.BigEndian.AppendUint32(nil, h.rec.Index), v); err != nil {
		return err
	}
	return a.tx.putHostRecord(id, h.rec)
}
