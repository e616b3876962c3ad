package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
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
	tx    *Tx
	hosts map[identity.HostID]*applying
}

// applying is what Apply keeps of a host.
type applying struct {
	rec    hostRecord
	marks  marks
	states []SectionState
	losses []LossRecord
	resync []facts.ID // to ask for with the next outcome: the states were damaged
	err    error      // the host is not usable

	marksDirty, statesDirty, lossesDirty bool
}

func (a *applier) host(id identity.HostID) *applying {
	if h, ok := a.hosts[id]; ok {
		return h
	}
	h := &applying{}
	a.hosts[id] = h
	rec, ok, err := a.tx.hostRecord(id)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s", ErrUnknownHost, id)
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

// sectionPlan is what an update will do to a section. Nothing is written while plans
// are made, so that a batch is refused as a whole.
type sectionPlan struct {
	update *wire.SectionUpdate
	rows   []rowChange // sorted by key
	digest facts.Digest
	count  int
	resync bool
}

// rowChange: a row without old is new, one without new goes away.
type rowChange struct {
	key      string
	old, new []byte
}

// plan compares the updates of a batch with what is stored.
func (a *applier) plan(h *applying, b *wire.Batch) ([]sectionPlan, error) {
	if b.Kind != wire.KindInventory && len(b.Updates) > 0 {
		return nil, fmt.Errorf("%w: facts in a batch of kind %d", ErrMalformed, b.Kind)
	}
	var plans []sectionPlan
	known := map[facts.ID]bool{}
	for i := range b.Updates {
		u := &b.Updates[i]
		if _, ok := facts.ByID(u.Section); !ok {
			continue // of a newer agent: not known here, nothing to keep
		}
		if known[u.Section] {
			return nil, fmt.Errorf("%w: section %s twice in a batch", ErrMalformed, u.Section)
		}
		known[u.Section] = true
		p, err := a.planSection(h, u)
		if err != nil {
			return nil, fmt.Errorf("section %s: %w", u.Section, err)
		}
		plans = append(plans, p)
	}
	return plans, nil
}

func (a *applier) planSection(h *applying, u *wire.SectionUpdate) (sectionPlan, error) {
	p := sectionPlan{update: u}
	var state SectionState
	for _, s := range h.states {
		if s.Section == u.Section {
			state = s
		}
	}
	p.digest, p.count = state.Digest, state.Rows
	if !carriesRows(u.Status) {
		if u.Full || len(u.Put)+len(u.Removed) > 0 {
			return p, fmt.Errorf("%w: rows with status %s", ErrMalformed, u.Status)
		}
		return p, nil
	}
	put, err := decodeItems(u)
	if err != nil {
		return p, err
	}
	if u.Full {
		err = a.planFull(h, &p, put)
	} else {
		err = a.planDelta(h, &p, put)
	}
	if errors.Is(err, ErrCorrupt) && !u.Full {
		p.resync = true // a whole section replaces what is damaged
		return p, nil
	}
	p.resync = p.digest != u.Digest || state.Doubtful && !u.Full
	return p, err
}

// decodeItems reads the rows of an update; each is decoded to learn its key and to
// refuse what is none.
func decodeItems(u *wire.SectionUpdate) ([]facts.Item, error) {
	items := make([]facts.Item, len(u.Put))
	for i, data := range u.Put {
		row, err := wire.DecodeRow(u.Section, data)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		items[i] = facts.Item{Key: row.Key(), Data: data}
		if i > 0 && items[i].Key <= items[i-1].Key {
			return nil, fmt.Errorf("%w: row %q is not after the one before it", ErrMalformed, items[i].Key)
		}
	}
	return items, nil
}

// planFull finds what differs between the stored section and the one that was sent.
func (a *applier) planFull(h *applying, p *sectionPlan, put []facts.Item) error {
	if len(p.update.Removed) > 0 {
		return fmt.Errorf("%w: removals in a whole section", ErrMalformed)
	}
	p.digest, p.count = facts.DigestOf(put), len(put)
	stored, err := a.storedItems(h, p.update.Section)
	if err != nil {
		return err
	}
	for len(stored) > 0 || len(put) > 0 {
		switch {
		case len(put) == 0 || len(stored) > 0 && stored[0].Key < put[0].Key:
			p.rows = append(p.rows, rowChange{stored[0].Key, stored[0].Data, nil})
			stored = stored[1:]
		case len(stored) == 0 || put[0].Key < stored[0].Key:
			p.rows = append(p.rows, rowChange{put[0].Key, nil, put[0].Data})
			put = put[1:]
		default:
			if string(stored[0].Data) != string(put[0].Data) {
				p.rows = append(p.rows, rowChange{put[0].Key, stored[0].Data, put[0].Data})
			}
			stored, put = stored[1:], put[1:]
		}
	}
	return nil
}

// storedItems reads a section. Damaged rows are thrown away, and the section is
// doubtful until it has come again as a whole.
func (a *applier) storedItems(h *applying, section facts.ID) ([]facts.Item, error) {
	var last []byte
	for {
		var items []facts.Item
		err := a.tx.rows(h.rec.Index, section, func(key string, data []byte) error {
			items = append(items, facts.Item{Key: key, Data: data})
			return nil
		})
		var damage *CorruptError
		if !errors.As(err, &damage) || damage.Table != tableRows || bytes.Equal(damage.Key, last) ||
			!bytes.HasPrefix(damage.Key, sectionKey(h.rec.Index, section)) {
			return items, err // sound, or a damage that deleting a row does not mend
		}
		last = damage.Key
		a.tx.store.log.Error("damaged row thrown away, its section comes again", "section", section, "err", err)
		if err := a.tx.Table(tableRows).Delete(damage.Key); err != nil {
			return nil, err
		}
		h.doubt(section)
	}
}

func (a *applier) planDelta(h *applying, p *sectionPlan, put []facts.Item) error {
	section := p.update.Section
	known := make(map[string]bool, len(put)+len(p.update.Removed))
	for _, it := range put {
		known[it.Key] = true
		old, _, err := a.tx.row(h.rec.Index, section, it.Key)
		if err != nil {
			return err
		}
		if old != nil {
			p.digest = p.digest.Minus(facts.Item{Key: it.Key, Data: old})
			p.count--
		}
		p.digest = p.digest.Plus(it)
		p.count++
		if old == nil || string(old) != string(it.Data) {
			p.rows = append(p.rows, rowChange{it.Key, old, it.Data})
		}
	}
	for _, key := range p.update.Removed {
		if known[key] {
			return fmt.Errorf("%w: row %q is put and removed, or removed twice", ErrMalformed, key)
		}
		known[key] = true
		old, _, err := a.tx.row(h.rec.Index, section, key)
		if err != nil {
			return err
		}
		if old == nil {
			continue // the digest tells whether that matters
		}
		p.digest = p.digest.Minus(facts.Item{Key: key, Data: old})
		p.count--
		p.rows = append(p.rows, rowChange{key, old, nil})
	}
	slices.SortFunc(p.rows, func(a, b rowChange) int { return cmp.Compare(a.key, b.key) })
	return nil
}

// write carries out the plans of a batch.
func (a *applier) write(h *applying, d *Delivery, plans []sectionPlan) (Outcome, error) {
	var out Outcome
	var changes []Change
	for _, p := range plans {
		if p.resync {
			out.Resync = append(out.Resync, p.update.Section)
			continue
		}
		changes = append(changes, h.accept(p)...)
	}
	if len(changes) == 0 {
		return out, nil
	}
	seq, err := a.tx.reserve(len(changes))
	if err != nil {
		return out, err
	}
	for i := range changes {
		c := &changes[i]
		c.Seq = seq + uint64(i)
		if c.Kind == StatusChanged {
			var at int
			h.states, at = stateOf(h.states, c.Section)
			h.states[at].Since = c.Seq
			continue
		}
		if err := a.tx.putRow(h.rec.Index, c.Section, c.Key, c.New, c.Seq); err != nil {
			return out, err
		}
	}
	return out, a.tx.logChanges(h.rec.Index, block{d.Host, d.Received, d.Batch.Epoch, d.Batch.Seq, changes})
}

// accept takes a plan into the state of its section and returns what it changes.
func (h *applying) accept(p sectionPlan) []Change {
	var i int
	h.states, i = stateOf(h.states, p.update.Section)
	s, u := &h.states[i], p.update
	h.statesDirty = true
	var changes []Change
	add := func(kind ChangeKind, key string, old, new []byte) {
		changes = append(changes, Change{Section: u.Section, Kind: kind, Key: key, Old: old, New: new, Observed: facts.Time(u.At).Time()})
	}
	if u.Status != s.Status {
		var old []byte
		if s.Status != facts.StatusUnknown {
			old = EncodeStatus(s.Status, s.Reason)
		}
		add(StatusChanged, "", old, EncodeStatus(u.Status, u.Reason))
	}
	s.Status, s.Reason, s.ObservedAt = u.Status, u.Reason, facts.Time(u.At).Time()
	if !carriesRows(u.Status) {
		return changes
	}
	s.KnownAt, s.Digest, s.Rows, s.Doubtful = s.ObservedAt, p.digest, p.count, false
	for _, r := range p.rows {
		switch {
		case r.old == nil:
			add(Added, r.key, nil, r.new)
		case r.new == nil:
			add(Removed, r.key, r.old, nil)
		default:
			add(Changed, r.key, r.old, r.new)
		}
	}
	return changes
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
	if !h.lossesDirty {
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
