package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// healTables mends a fresh file after a salvage: which records are missing is found by
// what the other tables say. All of it is one transaction.
func (s *Store) healTables(conditions map[string]*condition) error {
	return s.ready(func(tx *Tx) error {
		m := newMender(tx)
		for _, name := range slices.Sorted(maps.Keys(conditions)) {
			if c := conditions[name]; !c.whole() {
				if err := m.condemn(name, c); err != nil {
					return err
				}
			}
		}
		for _, step := range []struct {
			table string
			do    func() error
		}{
			{tableHosts, m.remakeHosts}, {tableIndex, m.remakeHosts}, {tableGiven, m.remakeGiven},
			{tableSections, m.missingStates}, {tableHeld, m.missingHeld}, {tableItems, m.missingItems},
			{tableChanges, m.missingBlocks},
		} {
			if !m.tables[step.table] {
				continue
			}
			if err := step.do(); err != nil {
				return err
			}
		}
		return m.finish()
	})
}

// condemn notes the loss of a table, and empties one whose rest must not be trusted or is
// made anew as a whole.
func (m *mender) condemn(name string, c *condition) error {
	m.tables[name] = true
	m.a.unindexed = m.tables[tableHave]
	if err := m.tx.noteLoss(name, c.lost()); err != nil {
		return err
	}
	whole := name == tableHave || name == tableContents && c.stale() || name == tableByHost || name == tableCursors
	if policyOf(name).fate == closed && c.stale() || slices.Contains(revocable, name) && !c.proven() || whole {
		return m.tx.Table(name).Clear()
	}
	return nil
}

// remakeGiven writes the second copies of names and tags from the records of the hosts.
func (m *mender) remakeGiven() error {
	if err := m.tx.Table(tableGiven).Clear(); err != nil {
		return err
	}
	var recs []hostRecord
	err := m.tx.Table(tableHosts).Scan(nil, func(k, v []byte) error {
		rec, err := decodeHost(k, v)
		recs = append(recs, rec)
		return err
	})
	for i := 0; i < len(recs) && err == nil; i++ {
		err = m.tx.keepGiven(recs[i])
	}
	return err
}

// spoil puts a record that cannot be read where one is missing, so that it is healed like
// one that is damaged.
func (m *mender) spoil(table string, key []byte) error {
	t := m.tx.Table(table)
	if err := t.Put(key, nil); err != nil {
		return err
	}
	return t.bucket.Put(bytes.Clone(key), []byte{0})
}

// hostKeys are the keys of all hosts that are not removed, by number.
func (m *mender) hostKeys() (out [][]byte, err error) {
	err = m.tx.Table(tableIndex).Scan(nil, func(k, v []byte) error {
		if len(k) != 4 || len(v) != len(identity.HostID{}) {
			return nil
		}
		rec, ok, err := m.tx.hostRecord(identity.HostID(v))
		if err == nil && ok && rec.RemovedAt == 0 {
			out = append(out, bytes.Clone(k))
		}
		return err
	})
	return out, err
}

// missingStates has the states of those hosts made anew that have none.
func (m *mender) missingStates() error {
	keys, err := m.hostKeys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		v, err := m.tx.Table(tableSections).Get(k)
		if err != nil {
			return err
		}
		if v != nil {
			continue
		}
		if err := m.spoil(tableSections, k); err != nil {
			return err
		}
		if err := m.host(binary.BigEndian.Uint32(k), 0); err != nil {
			return err
		}
	}
	return nil
}

// missingHeld has those sections made anew of which a state tells rows that are not there.
func (m *mender) missingHeld() error {
	keys, err := m.hostKeys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		index := binary.BigEndian.Uint32(k)
		states, err := m.tx.sections(index)
		if errors.Is(err, ErrCorrupt) {
			continue
		}
		if err != nil {
			return err
		}
		for _, st := range states {
			key := sectionKey(index, st.Section)
			v, err := m.tx.Table(tableHeld).Get(key)
			if err != nil {
				return err
			}
			if v != nil || st.Rows == 0 {
				continue
			}
			if err := m.spoil(tableHeld, key); err != nil {
				return err
			}
			if err := m.host(index, st.Section); err != nil {
				return err
			}
		}
	}
	return nil
}

// missingItems doubts all sections that have a row which is not there.
func (m *mender) missingItems() error {
	there := map[uint32]bool{}
	err := m.tx.Table(tableItems).Scan(nil, func(k, _ []byte) error {
		if len(k) == 4 {
			there[binary.BigEndian.Uint32(k)] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	m.tx.forgetItems()
	if err := m.tx.refill(); err != nil {
		return err
	}
	doubts := map[uint32][]facts.ID{}
	err = m.tx.Table(tableHeld).Scan(nil, func(k, v []byte) error {
		h, ok := decodeHeld(m.tx.store.codec, v)
		if !ok || len(k) != 6 {
			return nil // among the damage itself
		}
		for _, it := range h.items {
			if !there[it.id] {
				index := binary.BigEndian.Uint32(k)
				doubts[index] = append(doubts[index], facts.ID(binary.BigEndian.Uint16(k[4:])))
				break
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, index := range slices.Sorted(maps.Keys(doubts)) {
		id, ok, err := m.tx.HostByIndex(index)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		h := m.a.host(id)
		for _, section := range doubts[index] {
			if h.err == nil {
				m.a.doubt(h, section)
			}
		}
	}
	return nil
}

// missingBlocks gives up the log up to the newest gap in it.
func (m *mender) missingBlocks() error {
	last, err := m.tx.meta(metaLastChange)
	if err != nil {
		return err
	}
	next := last + 1 // the number that follows the block which is looked for
	err = m.tx.Table(tableChanges).ScanReverse(nil, nil, func(k, v []byte) error {
		head, err := readBlockHead(k, v)
		if err != nil || head.last()+1 != next {
			return ErrStop
		}
		next = head.first
		return nil
	})
	if err != nil || next <= 1 {
		return err
	}
	return m.block(blockKey(next - 1))
}

// forgetOf has a view that is made from tables of that prefix built anew.
func (m *mender) forgetOf(prefix string) error {
	return m.tx.Table(tableMeta).Delete([]byte("view." + strings.TrimSuffix(prefix, ".")))
}
