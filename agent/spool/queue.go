package spool

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"atalaya/shared/facts"
	"atalaya/shared/metric"
	"atalaya/shared/wire"
)

var (
	stateKey  = []byte("state")
	lossesKey = []byte("losses")
)

// batchOverhead is about what bbolt needs for an entry, its share of free room in
// the page included.
const batchOverhead = 64

func batchCost(value []byte) int32 { return int32(min(len(value)+batchOverhead, 1<<30)) }

// change is what one transaction writes, besides taking out what was acknowledged.
type change struct {
	batches     []wire.Batch
	series      []metric.Series // the next ones of the dictionary
	sections    map[facts.ID]section
	rows        []rowChange
	drop        []uint64 // keys of batches that have to go
	clearSeries bool
	clearRows   bool // and the states of the sections
}

type rowChange struct {
	section facts.ID
	put     []facts.Item
	removed []string
}

// commitLocked writes c. Room is made first, by age and by bytes; what goes is a loss
// that travels with the next batch. On failure nothing has changed.
func (s *Spool) commitLocked(c *change) error {
	carried := s.attachLosses(c)
	entries, values, size, err := s.encodeBatches(c.batches)
	if err != nil {
		return err
	}
	if size > s.cfg.MaxBytes {
		return fmt.Errorf("append %d bytes to a spool of %d: %w", size, s.cfg.MaxBytes, ErrTooLarge)
	}
	victims := s.victims(size, c.drop)
	next := s.state
	next.next += uint64(len(entries))
	losses := s.lossesAfter(victims, carried, entries)
	var orphans []facts.ID
	err = s.updateLocked(func(tx *bolt.Tx) error {
		orphans = nil
		if err := putState(tx, next); err != nil {
			return err
		}
		if err := s.deleteBatches(tx, victims, &orphans); err != nil {
			return err
		}
		if err := putBatches(tx, entries, values); err != nil {
			return err
		}
		if err := putLosses(tx, losses); err != nil {
			return err
		}
		if err := s.putSeries(tx, c); err != nil {
			return err
		}
		return s.putSections(tx, c, orphans)
	})
	if err != nil {
		return err
	}
	s.applyLocked(c, entries, victims, orphans)
	s.state, s.losses, s.lossesAt, s.trim = next, losses, false, nil
	if len(entries) > 0 {
		s.notify()
	}
	return nil
}

// flushLocked writes what only waits for the next transaction.
func (s *Spool) flushLocked() error {
	if len(s.trim) == 0 && !s.lossesAt {
		return nil
	}
	return s.commitLocked(&change{})
}

// encodeBatches numbers, sums and encodes batches.
func (s *Spool) encodeBatches(batches []wire.Batch) (entries []entry, values [][]byte, size int64, err error) {
	for i := range batches {
		b := &batches[i]
		key := s.state.next + uint64(i)
		b.Epoch, b.Seq = s.state.epoch, key-s.state.first
		b.Checksum = b.Sum()
		value := appendBatchHead(make([]byte, sealSize, 2<<10), b)
		if value, err = wire.AppendStored(value, b); err != nil {
			return nil, nil, 0, err
		}
		e := entry{key: key, at: b.At, kind: b.Kind, size: batchCost(value)}
		entries, values = append(entries, e), append(values, seal(tableBatches, batchKey(key), value))
		size += int64(e.size)
	}
	return entries, values, size, nil
}

// appendBatchHead appends what is read of a batch at opening without decoding it.
func appendBatchHead(dst []byte, b *wire.Batch) []byte {
	return binary.AppendUvarint(append(dst, byte(b.Kind)), uint64(b.At))
}

func splitBatch(payload []byte) (kind wire.Kind, at int64, stored []byte, err error) {
	if len(payload) < 2 {
		return 0, 0, nil, damaged("batch record cut")
	}
	v, n := binary.Uvarint(payload[1:])
	if n <= 0 {
		return 0, 0, nil, damaged("batch record cut")
	}
	return wire.Kind(payload[0]), int64(v), payload[1+n:], nil
}

// victims chooses what has to go so that size bytes more fit: what the caller names,
// metrics that are too old, then the oldest metrics, and inventory only when nothing
// else is left.
func (s *Spool) victims(size int64, named []uint64) []entry {
	var out []entry
	taken := map[uint64]bool{}
	have := s.bytes
	take := func(e entry) {
		if !e.dead && !taken[e.key] {
			taken[e.key] = true
			have -= int64(e.size)
			out = append(out, e)
		}
	}
	for _, key := range named {
		if i, ok := s.find(key); ok {
			take(s.queue[i])
		}
	}
	oldest := s.cfg.Now().Add(-s.cfg.MaxAge).UnixMilli()
	for _, kind := range []wire.Kind{wire.KindMetrics, wire.KindInventory} {
		for _, e := range s.queue {
			tooOld := kind == wire.KindMetrics && e.at < oldest
			if have+size <= s.cfg.MaxBytes && !tooOld && (e.kind == kind || kind == wire.KindInventory) {
				break
			}
			if e.kind == kind {
				take(e)
			}
		}
	}
	return out
}

// find returns the place of a live batch in the queue.
func (s *Spool) find(key uint64) (int, bool) {
	i, ok := slices.BinarySearchFunc(s.queue, key, func(e entry, k uint64) int { return cmp.Compare(e.key, k) })
	return i, ok && !s.queue[i].dead
}

// applyLocked brings the memory to where the file is.
func (s *Spool) applyLocked(c *change, entries, victims []entry, orphans []facts.ID) {
	for _, v := range victims {
		s.killLocked(v.key)
		s.lost++
	}
	s.queue = append(s.queue, entries...)
	for _, e := range entries {
		s.bytes += int64(e.size)
	}
	s.series = append(s.series, c.series...)
	for id, st := range c.sections {
		s.sections[id] = st
	}
	for _, id := range orphans {
		st := s.sections[id]
		st.resend = true
		s.sections[id] = st
	}
}

// killLocked takes a batch out of the queue in memory.
func (s *Spool) killLocked(key uint64) bool {
	i, ok := s.find(key)
	if !ok {
		return false
	}
	s.queue[i].dead = true
	s.bytes -= int64(s.queue[i].size)
	s.dead++
	for len(s.queue) > 0 && s.queue[0].dead {
		s.queue, s.dead = s.queue[1:], s.dead-1
	}
	if s.dead > 64 && s.dead > len(s.queue)/2 {
		s.queue = slices.DeleteFunc(s.queue, func(e entry) bool { return e.dead })
		s.dead = 0
	}
	return true
}

// deleteBatches deletes victims and what was acknowledged. A victim that told of rows
// leaves its sections to be sent whole.
func (s *Spool) deleteBatches(tx *bolt.Tx, victims []entry, orphans *[]facts.ID) error {
	b := tx.Bucket([]byte(tableBatches))
	for _, key := range s.trim {
		if err := b.Delete(batchKey(key)); err != nil {
			return err
		}
	}
	for _, v := range victims {
		if v.kind == wire.KindInventory {
			ids, err := changedSections(b.Get(batchKey(v.key)), v.key)
			if err != nil {
				return err
			}
			*orphans = append(*orphans, ids...)
		}
		if err := b.Delete(batchKey(v.key)); err != nil {
			return err
		}
	}
	return nil
}

func changedSections(value []byte, key uint64) ([]facts.ID, error) {
	batch, err := decodeBatch(value, key)
	if err != nil {
		return nil, err
	}
	var ids []facts.ID
	for _, u := range batch.Updates {
		if u.Full || len(u.Put) > 0 || len(u.Removed) > 0 {
			ids = append(ids, u.Section)
		}
	}
	return ids, nil
}

func decodeBatch(value []byte, key uint64) (*wire.Batch, error) {
	payload, err := unseal(tableBatches, batchKey(key), value)
	if err != nil {
		return nil, err
	}
	_, _, stored, err := splitBatch(payload)
	if err != nil {
		return nil, err
	}
	b, err := wire.DecodeStored(stored)
	if err != nil {
		return nil, damaged("batch %d: %v", key, err)
	}
	return b, nil
}

func putState(tx *bolt.Tx, st state) error {
	return tx.Bucket([]byte(tableMeta)).Put(stateKey, seal(tableMeta, stateKey, st.encode()))
}

func putBatches(tx *bolt.Tx, entries []entry, values [][]byte) error {
	b := tx.Bucket([]byte(tableBatches))
	b.FillPercent = 0.95 // keys only grow
	for i, e := range entries {
		if err := b.Put(batchKey(e.key), values[i]); err != nil {
			return err
		}
	}
	return nil
}

func putLosses(tx *bolt.Tx, losses []loss) error {
	meta := tx.Bucket([]byte(tableMeta))
	if len(losses) == 0 {
		return meta.Delete(lossesKey)
	}
	return meta.Put(lossesKey, seal(tableMeta, lossesKey, encodeLosses(losses)))
}

func (s *Spool) putSeries(tx *bolt.Tx, c *change) error {
	if c.clearSeries {
		if err := emptyTable(tx, tableSeries); err != nil {
			return err
		}
	}
	b := tx.Bucket([]byte(tableSeries))
	for i, def := range c.series {
		key := seriesKey(uint32(len(s.series) + i))
		if err := b.Put(key, seal(tableSeries, key, encodeSeries(def))); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spool) putSections(tx *bolt.Tx, c *change, orphans []facts.ID) error {
	if c.clearRows {
		if err := errors.Join(emptyTable(tx, tableRows), emptyTable(tx, tableSections)); err != nil {
			return err
		}
	}
	states := tx.Bucket([]byte(tableSections))
	put := func(id facts.ID, st section) error {
		key := sectionKey(id)
		return states.Put(key, seal(tableSections, key, st.encode()))
	}
	for id, st := range c.sections {
		if err := put(id, st); err != nil {
			return err
		}
	}
	for _, id := range orphans {
		st, ok := c.sections[id]
		if !ok {
			st = s.sections[id]
		}
		st.resend = true
		if err := put(id, st); err != nil {
			return err
		}
	}
	return putRows(tx.Bucket([]byte(tableRows)), c.rows)
}

func putRows(b *bolt.Bucket, changes []rowChange) error {
	for _, rc := range changes {
		for _, key := range rc.removed {
			if err := b.Delete(rowKey(rc.section, key)); err != nil {
				return err
			}
		}
		for _, it := range rc.put {
			key := rowKey(rc.section, it.Key)
			if err := b.Put(key, seal(tableRows, key, encodeRow(it))); err != nil {
				return err
			}
		}
	}
	return nil
}

func emptyTable(tx *bolt.Tx, t table) error {
	if err := tx.DeleteBucket([]byte(t)); err != nil {
		return err
	}
	_, err := tx.CreateBucket([]byte(t))
	return err
}
