package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	bolt "go.etcd.io/bbolt"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

const (
	// maxBatchSamples bounds a batch of metrics: 16,000 samples are about 200 KiB in
	// the file. A single larger frame is a batch of its own, up to wire.MaxSamples.
	maxBatchSamples = 16_000
	// maxBatchFrames bounds it as well, for agents with few series.
	maxBatchFrames = 512

	// maxHeldSamples bounds what is kept in memory while the file cannot be written:
	// about 1 MiB, an hour of 150 series at 10 s.
	maxHeldSamples = 64 << 10

	// maxUpdateBytes bounds the rows in one batch. Rows shrink to a fifth or less in
	// zstd, which keeps a batch below wire.MaxBatch; 4 MiB are 25,000 packages. One
	// that does not shrink is given up by the uplink (Drop) and sent anew.
	maxUpdateBytes = 4 << 20
)

// AppendMetrics appends frames, whose series are numbers of Dictionary. When the file
// cannot be written, the frames stay in memory and go with the next append; the error
// says so. It keeps no slice of the caller.
func (s *Spool) AppendMetrics(frames []metric.Frame) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = s.dict.Refused() // the dictionary is the caller's, so it is looked at here
	all := frames
	if len(s.held) > 0 {
		all = slices.Concat(s.held, frames)
	}
	c := &change{batches: metricBatches(all), series: s.dict.Series()[len(s.series):]}
	err := s.commitLocked(c)
	switch {
	case err == nil:
		s.held, s.heldSize = nil, 0
		return nil
	case errors.Is(err, wire.ErrMalformed), errors.Is(err, wire.ErrTooLarge), errors.Is(err, ErrTooLarge):
		// Trying again would fail again.
		s.addLossLocked(lossOfFrames(all, s.cfg.Now(), "not valid"))
		s.lost += uint64(len(all))
		s.held, s.heldSize = nil, 0
		return fmt.Errorf("append metrics: %w", err)
	}
	s.holdLocked(frames)
	return fmt.Errorf("append metrics (%d readings wait in memory): %w", len(s.held), err)
}

func metricBatches(frames []metric.Frame) []wire.Batch {
	var out []wire.Batch
	samples := 0
	for _, f := range frames {
		if len(f.Samples) == 0 {
			continue
		}
		last := len(out) - 1
		if last < 0 || samples+len(f.Samples) > maxBatchSamples || len(out[last].Frames) == maxBatchFrames {
			out = append(out, wire.Batch{Kind: wire.KindMetrics})
			samples, last = 0, last+1
		}
		samples += len(f.Samples)
		out[last].Frames = append(out[last].Frames, f)
		out[last].At = f.At
	}
	return out
}

// holdLocked keeps copies of frames for the next append. The oldest go when there are
// too many.
func (s *Spool) holdLocked(frames []metric.Frame) {
	for _, f := range frames {
		f.Samples = slices.Clone(f.Samples)
		s.held = append(s.held, f)
		s.heldSize += len(f.Samples)
	}
	n := 0
	for ; n < len(s.held) && s.heldSize > maxHeldSamples; n++ {
		s.heldSize -= len(s.held[n].Samples)
	}
	if n > 0 {
		s.addLossLocked(lossOfFrames(s.held[:n], s.cfg.Now(), "disk full"))
		s.lost += uint64(n)
		s.held = slices.Delete(s.held, 0, n)
	}
}

// AppendInventory appends what changed in each section since it was last appended,
// and for those that did not change the proof that they were looked at. On an error
// nothing was appended; the next reading says the same again.
func (s *Spool) AppendInventory(readings []facts.Reading) error {
	encoded := make([]encodedReading, 0, len(readings))
	for _, r := range readings {
		if !s.known(r) {
			encoded = append(encoded, encodeReading(r))
			continue
		}
		encoded = append(encoded, encodedReading{section: r.Section, status: r.Status, reason: r.Reason, at: r.At, revision: r.Revision, known: true})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &change{sections: map[facts.ID]section{}}
	var updates []update
	for i, r := range encoded {
		if r.known && !s.sections[r.section].knows(readings[i]) {
			r = encodeReading(readings[i]) // it has been asked for, or lost, meanwhile
		}
		u, err := s.update(c, r)
		if err != nil {
			return fmt.Errorf("append inventory: %w", s.damageLocked(err))
		}
		updates = append(updates, u)
	}
	return s.appendUpdatesLocked(c, updates)
}

// Resync appends the given sections whole, as they were last read: the collector came
// to another state than we have. Sections that were never read, or that are on their
// way whole already, are left out.
func (s *Spool) Resync(ids []facts.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resyncLocked(ids)
}

func (s *Spool) resyncLocked(ids []facts.ID) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	c := &change{sections: map[facts.ID]section{}}
	var updates []update
	for _, id := range ids {
		st, ok := s.sections[id]
		if _, waits := s.find(st.fullKey); !ok || waits {
			continue
		}
		u := update{SectionUpdate: wire.SectionUpdate{Section: id, Status: st.status, Reason: st.reason, At: int64(st.at), Digest: st.digest}}
		if st.resend = !carriesRows(st.status); !st.resend {
			rows, err := s.rows(id)
			if err != nil {
				return fmt.Errorf("resync %s: %w", id, s.damageLocked(err))
			}
			u.Full, u.put, st.whole = true, rows, st.whole || st.status.Complete()
		}
		c.sections[id] = st
		updates = append(updates, u)
	}
	return s.appendUpdatesLocked(c, updates)
}

// carriesRows reports whether a reading with that status tells rows. A whole section
// with another one would be refused: its rows come with the next reading that does.
func carriesRows(s facts.Status) bool { return s.Complete() || s == facts.StatusPartial }

// damageLocked replaces a file in which a read has found damage.
func (s *Spool) damageLocked(err error) error {
	if !errors.Is(err, errDamaged) {
		return err
	}
	s.cfg.Log.Error("spool damaged", "err", err)
	return errors.Join(err, s.replaceLocked(err))
}

func (s *Spool) appendUpdatesLocked(c *change, updates []update) error {
	if len(updates) == 0 {
		return nil
	}
	c.batches = inventoryBatches(updates)
	for i, b := range c.batches {
		for _, u := range b.Updates {
			if st := c.sections[u.Section]; u.Full {
				st.fullKey = s.state.next + uint64(i)
				c.sections[u.Section] = st
			}
		}
	}
	if err := s.commitLocked(c); err != nil {
		return fmt.Errorf("append inventory: %w", err)
	}
	return nil
}

// encodedReading is a reading in the form in which it is compared and sent.
type encodedReading struct {
	section facts.ID
	status  facts.Status
	reason  string
	at      facts.Time
	items   []facts.Item
	// revision of the items, 0 where it is not known.
	revision uint64
	known    bool // the rows are those of the section as it is; items are left out
	gone     func(facts.Row) bool
}

// removed are those of the keys that a reading lacks whose rows are gone. A reading that is not
// complete takes out only what it says is gone.
func (e *encodedReading) removed(lacks []string, old []facts.Item) []string {
	switch {
	case e.status.Complete():
		return lacks
	case e.status != facts.StatusPartial || e.gone == nil:
		return nil
	}
	return slices.DeleteFunc(lacks, func(key string) bool {
		i, ok := slices.BinarySearchFunc(old, key, func(it facts.Item, key string) int { return strings.Compare(it.Key, key) })
		if !ok {
			return true
		}
		row, err := wire.DecodeRow(e.section, old[i].Data)
		return err != nil || !e.gone(row)
	})
}

// known reports whether the rows of a reading are those that the section has already,
// all of which the collector was sent.
func (s *Spool) known(r facts.Reading) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sections[r.Section].knows(r)
}

func (st section) knows(r facts.Reading) bool {
	return r.Revision != 0 && r.Revision == st.revision && r.Status.Complete() && st.whole && !st.resend
}

// encodeReading encodes rows one by one: one that cannot be sent (too long, not text)
// makes the section partial, it does not hold up the others.
func encodeReading(r facts.Reading) encodedReading {
	e := encodedReading{section: r.Section, status: r.Status, reason: r.Reason, at: r.At, revision: r.Revision, gone: r.Gone, items: make([]facts.Item, 0, len(r.Rows))}
	var problems []string
	for _, row := range r.Rows {
		data, err := wire.EncodeRow(row)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		e.items = append(e.items, facts.Item{Key: row.Key(), Data: data})
	}
	if len(problems) > 0 {
		e.reason = strings.TrimPrefix(fmt.Sprintf("%s; %d rows left out: %s", e.reason, len(problems), problems[0]), "; ")
		if e.gone = nil; e.status.Complete() {
			e.status = facts.StatusPartial
		}
	}
	return e
}

// update is a report on a section before it is put into batches, with the rows to put
// in place of their encodings.
type update struct {
	wire.SectionUpdate
	put []facts.Item
}

// size is about how many bytes the update takes.
func (u *update) size() int {
	n := len(u.Reason) + 32
	for _, it := range u.put {
		n += rowSize(it)
	}
	for _, key := range u.Removed {
		n += len(key) + 32
	}
	return n
}

// rowSize counts 32 bytes more than are sent, to bound the number of rows as well.
func rowSize(it facts.Item) int { return len(it.Data) + 32 }

// update works out what a reading changes, adds it to c and returns the report of it.
// Only a complete reading takes rows out, and a partial one of the parts that it read
// completely; one that failed changes nothing but the status.
func (s *Spool) update(c *change, r encodedReading) (u update, err error) {
	st := s.sections[r.section]
	st.status, st.reason, st.at, st.revision = r.status, r.reason, r.at, r.revision
	u.SectionUpdate = wire.SectionUpdate{Section: r.section, Status: r.status, Reason: r.reason, At: int64(r.at)}
	complete := r.status.Complete()
	carries := carriesRows(r.status)
	u.Full = carries && (st.resend || complete && !st.whole)

	unchanged := r.known || complete && st.digest == facts.DigestOf(r.items)
	if !unchanged || u.Full {
		old, err := s.rows(r.section)
		if err != nil {
			return u, err
		}
		var d facts.Delta
		if carries {
			d = facts.Diff(old, r.items)
		}
		d.Removed = r.removed(d.Removed, old)
		now := patch(old, d)
		st.digest = facts.DigestOf(now)
		c.rows = append(c.rows, rowChange{section: r.section, put: d.Put, removed: d.Removed})
		u.put, u.Removed = d.Put, d.Removed
		u.Full = u.Full || u.size() > maxUpdateBytes // only a whole section can be split
		if u.Full {
			u.put, u.Removed = now, nil
		}
	}
	st.whole, st.resend = st.whole || complete, st.resend && !carries
	u.Digest = st.digest
	c.sections[r.section] = st
	return u, nil
}

// patch returns the rows after d, sorted by key.
func patch(old []facts.Item, d facts.Delta) []facts.Item {
	if len(d.Put) == 0 && len(d.Removed) == 0 {
		return old
	}
	gone := make(map[string]bool, len(d.Removed)+len(d.Put))
	for _, key := range d.Removed {
		gone[key] = true
	}
	for _, it := range d.Put {
		gone[it.Key] = true
	}
	out := slices.Clone(d.Put)
	for _, it := range old {
		if !gone[it.Key] {
			out = append(out, it)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out
}

func encodings(items []facts.Item) [][]byte {
	if len(items) == 0 {
		return nil
	}
	out := make([][]byte, len(items))
	for i, it := range items {
		out[i] = it.Data
	}
	return out
}

// rows returns the known rows of a section, sorted by key.
func (s *Spool) rows(id facts.ID) ([]facts.Item, error) {
	var items []facts.Item
	err := s.view(func(tx *bolt.Tx) error {
		c := tx.Bucket([]byte(tableRows)).Cursor()
		for k, v := c.Seek(sectionKey(id)); len(k) >= 2 && facts.ID(binary.BigEndian.Uint16(k)) == id; k, v = c.Next() {
			payload, err := unseal(tableRows, k, v)
			if err != nil {
				return err
			}
			it, err := decodeRow(payload)
			if err != nil {
				return err
			}
			items = append(items, it)
		}
		return nil
	})
	// Keys longer than maxRowKey lie in the order of their hashes.
	sort.Slice(items, func(i, j int) bool { return items[i].Key < items[j].Key })
	return items, err
}

// Rows returns the rows of a section as they were last appended, sorted by key.
func (s *Spool) Rows(id facts.ID) ([]facts.Row, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	items, err := s.rows(id)
	if err != nil {
		return nil, fmt.Errorf("rows of section %s: %w", id, err)
	}
	rows := make([]facts.Row, 0, len(items))
	for _, it := range items {
		row, err := wire.DecodeRow(id, it.Data)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// inventoryBatches puts updates into as few batches as the limits allow. A section
// that is too large for one begins whole and continues as changes in the next.
func inventoryBatches(updates []update) []wire.Batch {
	var out []wire.Batch
	size := 0
	for _, u := range updates {
		for _, part := range split(u) {
			n := part.size()
			last := len(out) - 1
			if last < 0 || size+n > maxUpdateBytes || len(out[last].Updates) == wire.MaxUpdates {
				out = append(out, wire.Batch{Kind: wire.KindInventory})
				size, last = 0, last+1
			}
			size += n
			part.Put = encodings(part.put)
			out[last].Updates = append(out[last].Updates, part.SectionUpdate)
			out[last].At = max(out[last].At, part.At)
		}
	}
	return out
}

// split cuts a whole section into parts of at most maxUpdateBytes. Each carries the
// digest of the rows up to its end.
func split(u update) []update {
	if !u.Full || u.size() <= maxUpdateBytes {
		return []update{u}
	}
	var out []update
	var digest facts.Digest
	rest := u.put
	for len(rest) > 0 {
		n, size := 0, len(u.Reason)+32
		for ; n < len(rest) && (n == 0 || size+rowSize(rest[n]) <= maxUpdateBytes); n++ {
			size += rowSize(rest[n])
			digest = digest.Plus(rest[n])
		}
		part := u
		part.put, part.Digest, part.Full = rest[:n:n], digest, len(out) == 0
		out = append(out, part)
		rest = rest[n:]
	}
	return out
}
