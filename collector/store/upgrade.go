package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"atalaya/shared/facts"
)

// The tables of format 1, in which each row was a record and the log named rows.
const (
	tableRowsV1    = "store.rows"       // host index, section, row key -> change number, row
	tableChangesV1 = "store.changes"    // number of the first change -> block
	tableByHostV1  = "store.changes_by" // host index, number of the first change -> what is in the block
)

// formatRows is the format of these tables. The tables of the one after it are those of
// today, but for full blocks of the log, which were compressed as they had grown.
const formatRows = 1

// upgrade brings a file of an older format to this one, in one transaction.
func (s *Store) upgrade() error {
	version := uint64(0)
	err := s.View(func(tx *Tx) (err error) {
		version, err = tx.meta(metaVersion)
		return err
	})
	if err == nil && version == formatVersion {
		err = s.dateHosts()
	}
	if err != nil || version == formatVersion {
		return err
	}
	s.log.Info("bringing the state file to the format of this version", "file", s.path, "from", version, "to", formatVersion)
	err = s.ready(func(tx *Tx) error {
		step := tx.upgradeBlocks
		if version == formatRows {
			step = tx.upgradeTables
		}
		return errors.Join(step(), tx.putMeta(metaVersion, formatVersion))
	})
	if err != nil {
		return fmt.Errorf("bring state file %q from format %d to %d: %w (it is as it was: the version before still opens it)", s.path, version, formatVersion, err)
	}
	return s.dateHosts()
}

// dateHosts notes once, in a file of an earlier version, which hosts have facts from before
// they enrolled. A log that is damaged dates none: they are known from then on.
func (s *Store) dateHosts() error {
	dated := uint64(0)
	err := s.View(func(tx *Tx) (err error) {
		dated, err = tx.meta(metaDated)
		return err
	})
	if err != nil || dated != 0 {
		return err
	}
	return s.ready(func(tx *Tx) error {
		first := map[uint32]facts.Time{}
		err := tx.groupsAfter(0, func(g group) error {
			for _, e := range g.entries {
				if at, ok := first[g.host]; !ok || e.at < at {
					first[g.host] = e.at
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
		for index, at := range first {
			if err := tx.dateHost(index, at); err != nil && !errors.Is(err, ErrCorrupt) {
				return err
			}
		}
		return tx.putMeta(metaDated, 1)
	})
}

func (tx *Tx) dateHost(index uint32, at facts.Time) error {
	id, rec, ok, err := tx.recordAt(index)
	if err != nil || !ok || !rec.date(at) {
		return err
	}
	return tx.putHostRecord(id, rec)
}

// upgradeBlocks seals the full blocks of the log anew.
func (tx *Tx) upgradeBlocks() error {
	var keys [][]byte
	err := tx.Table(tableChanges).Scan(nil, func(k, v []byte) error {
		head, err := readBlockHead(k, v)
		if head.form == formZstd {
			keys = append(keys, bytes.Clone(k))
		}
		return err
	})
	for _, k := range keys {
		v, err1 := tx.Table(tableChanges).Get(k)
		head, err2 := readBlockHead(k, v)
		if err := errors.Join(err1, err2, tx.seal(head)); err != nil {
			return err
		}
	}
	return err
}

func (tx *Tx) upgradeTables() error {
	for _, step := range []func() error{tx.upgradeStates, tx.upgradeRows, tx.upgradeLog} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, name := range []string{tableRowsV1, tableChangesV1, tableByHostV1} {
		if err := tx.Table(name).Clear(); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) upgradeStates() error {
	found := map[uint32][]SectionState{}
	err := tx.Table(tableSections).Scan(nil, func(k, v []byte) error {
		d := decoder{b: v}
		var states []SectionState
		for len(d.b) > 0 && !d.bad {
			s := SectionState{Section: facts.ID(d.uvarint()), Status: facts.Status(d.byte()), Doubtful: d.byte() != 0}
			s.ObservedAt = facts.Time(d.varint()).Time()
			s.KnownAt = facts.Time(d.varint()).Time()
			s.Digest, s.Rows, s.Since = facts.Digest(d.uint64()), int(d.uvarint()), d.uvarint()
			s.Reason = string(bytes.Clone(d.bytes()))
			states = append(states, s)
		}
		if d.bad || len(k) != 4 {
			return &CorruptError{Table: tableSections, Key: bytes.Clone(k), Detail: "not decodable"}
		}
		found[binary.BigEndian.Uint32(k)] = states
		return nil
	})
	if err != nil {
		return err
	}
	for index, states := range found {
		if err := tx.putSections(index, states); err != nil {
			return err
		}
	}
	return nil
}

func (tx *Tx) upgradeRows() error {
	type place struct {
		index   uint32
		section facts.ID
	}
	var at place
	h := &held{}
	flush := func() error {
		if h.rows() == 0 {
			return nil
		}
		for _, it := range h.items {
			tx.have(at.index, it.id, true)
		}
		err := tx.putHeld(at.index, at.section, h)
		h = &held{}
		return err
	}
	err := tx.Table(tableRowsV1).Scan(nil, func(k, v []byte) error {
		_, n := binary.Uvarint(v)
		if n <= 0 || len(k) < 6 {
			return &CorruptError{Table: tableRowsV1, Key: bytes.Clone(k), Detail: "not decodable"}
		}
		p := place{binary.BigEndian.Uint32(k), facts.ID(binary.BigEndian.Uint16(k[4:]))}
		if p != at {
			if err := flush(); err != nil {
				return err
			}
			at = p
		}
		r, err := tx.refOf(p.section, string(k[6:]), v[n:])
		h.put(r)
		return err
	})
	if err != nil {
		return err
	}
	return flush()
}

// upgradeLog takes over the changes from the horizon on. What was left of those before
// only led to the present state.
func (tx *Tx) upgradeLog() error {
	history, err := tx.meta(metaHistory)
	if err != nil {
		return err
	}
	last, err := tx.LastChange()
	if err != nil {
		return err
	}
	begun := false
	when := map[uint64]time.Time{} // host and section -> last moment
	err = tx.Table(tableChangesV1).Scan(nil, func(k, v []byte) error {
		g, first, err := tx.groupV1(k, v, when)
		if err != nil {
			return err
		}
		if !begun && uint64(g.received) < history {
			return nil
		}
		if begun && first != tx.lastChange+1 {
			return &CorruptError{Table: tableChangesV1, Key: bytes.Clone(k), Detail: fmt.Sprintf("change %d follows %d", first, tx.lastChange)}
		}
		begun = true
		tx.lastChange = first - 1
		if _, err := tx.logGroup(g); err != nil || len(tx.groups) < 1000 {
			return err
		}
		return tx.flushLog()
	})
	if err != nil {
		return err
	}
	tx.lastChange = last
	return tx.putMeta(metaLastChange, last)
}

// groupV1 decodes a block of format 1.
func (tx *Tx) groupV1(k, v []byte, when map[uint64]time.Time) (group, uint64, error) {
	broken := &CorruptError{Table: tableChangesV1, Key: bytes.Clone(k), Detail: "not decodable"}
	p, err := tx.store.codec.unpack(v)
	if err != nil {
		return group{}, 0, broken
	}
	d := decoder{b: p}
	id := d.take(8)
	if d.bad {
		return group{}, 0, broken
	}
	rec, ok, err := tx.hostRecord([8]byte(id))
	if err != nil || !ok {
		return group{}, 0, broken
	}
	g := group{host: rec.Index, received: facts.Time(d.varint()), epoch: d.uint64(), batchSeq: d.uvarint()}
	first, seq := uint64(0), uint64(0)
	for i := range d.count(1 << 20) {
		seq += d.uvarint()
		if i == 0 {
			first = seq
		}
		e := entry{section: facts.ID(d.uvarint()), kind: ChangeKind(d.byte())}
		e.observed = facts.Time(d.varint()) + g.received
		place := uint64(g.host)<<16 | uint64(e.section)
		at := effective(e.observed.Time(), g.received.Time(), rec.ClockOffset, when[place])
		when[place], e.at = at, facts.TimeOf(at)
		key, old, new := string(d.optional()), d.optional(), d.optional()
		if d.bad {
			return group{}, 0, broken
		}
		if e.kind == StatusChanged {
			e.was, e.is = old, new
		} else {
			if old != nil {
				e.old, err = tx.refOf(e.section, key, old)
			}
			if new != nil && err == nil {
				e.new, err = tx.refOf(e.section, key, new)
			}
			if err != nil {
				return group{}, 0, err
			}
		}
		g.entries = append(g.entries, e)
	}
	if d.bad || len(d.b) > 0 || first != binary.BigEndian.Uint64(k) {
		return group{}, 0, broken
	}
	return g, first, nil
}
