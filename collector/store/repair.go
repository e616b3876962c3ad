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

// views are the prefixes of tables that are views over a log, and can be built anew. Of
// ownViews the log is their own, which is written with them: no cursor says how far they read.
var (
	views    = []string{"inventory.", "cmdb.", "assets.", "identity."}
	ownViews = []string{"assets.", "identity."}
)

// Repairable reports whether all that is wrong are single records that Repair can make
// anew, have the hosts tell again, or throw away where the file lies. Other damage takes a
// fresh file, which is made when the file is opened.
func (r Report) Repairable() bool {
	if r.Count > len(r.Damage) {
		return false
	}
	history, records := false, false
	for _, d := range r.Damage {
		p := policyOf(d.Table)
		if d.Table == tableMeta && bytes.HasPrefix(d.Key, []byte("view.")) {
			p.fate = madeAnew
		}
		if !d.Record || p.fate == irreplaceable || d.Table == "" || d.Table == catalogue {
			return false
		}
		history = history || d.Table == "asset.log"
		records = records || strings.HasPrefix(d.Table, "assets.")
		if n, fixed := keyLengths[d.Table]; fixed && d.Key != nil && len(d.Key) != n {
			return false // the key itself is damaged: whose record it was is not known
		}
	}
	return !history || !records // the one is made from the other
}

// keyLengths are the lengths of the keys of tables in which all have one.
var keyLengths = map[string]int{
	tableHosts: 8, tableIndex: 4, tableGiven: 4, tableSeen: 4, tableMarks: 4, tableSections: 4, tableItems: 4, tableHeld: 6,
	tableHave: 7, tableChanges: 8, tableByHost: 12, tableLosses: 4,
}

// Repair mends what Check or Scrub found, in one transaction: what other records tell
// is made anew, the rest is thrown away and asked from the hosts, as whole sections.
// What is lost is logged. Damage that has gone meanwhile is left alone.
func (s *Store) Repair(r Report) error {
	if !r.Repairable() {
		return r.Err()
	}
	return s.ready(func(tx *Tx) error {
		m := newMender(tx)
		for _, d := range r.Damage {
			if err := m.mend(d); err != nil {
				return err
			}
		}
		for _, table := range slices.Sorted(maps.Keys(m.records)) {
			if err := tx.noteLoss(table, m.records[table]); err != nil {
				return err
			}
		}
		return m.finish()
	})
}

// mender is one run of Repair.
type mender struct {
	tx     *Tx
	a      applier
	tables map[string]bool // to be looked at as a whole
	// records counts those that were damaged, by table.
	records map[string]uint64
}

func newMender(tx *Tx) mender {
	return mender{tx: tx, a: applier{tx: tx, hosts: map[identity.HostID]*applying{}}, tables: map[string]bool{}, records: map[string]uint64{}}
}

// mend mends one record, or notes what to do about its table.
func (m *mender) mend(d Damage) error {
	if d.Key == nil {
		return m.tx.Table(d.Table).recount()
	}
	_, err := m.tx.Table(d.Table).Get(d.Key)
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	m.tx.store.log.Error("damaged record "+policyOf(d.Table).fate.verb(), "table", d.Table, "key", d.place(), "damage", d.Detail)
	m.tables[d.Table] = true
	m.records[d.Table]++
	switch d.Table {
	case tableHeld:
		return m.section(d.Key)
	case tableSections:
		return m.host(binary.BigEndian.Uint32(d.Key), 0)
	case tableHave, tableByHost, tableCursors:
		return nil // made anew as a whole
	case tableItems:
		return m.item(d.Key)
	case tableChanges:
		return m.block(d.Key)
	}
	return m.tx.mend(d.Table, d.Key)
}

// strange is the error for a record whose key may itself be damaged: no other record
// speaks of it, so it may have been another's, who would now seem to have nothing.
func strange(table string, key []byte) error {
	return &CorruptError{Table: table, Key: bytes.Clone(key), Detail: "record is damaged, maybe in its key: restore the last backup, the hosts then report again what is newer"}
}

// section has a section of a host made anew.
func (m *mender) section(key []byte) error {
	index, section := binary.BigEndian.Uint32(key), facts.ID(binary.BigEndian.Uint16(key[4:]))
	states, err := m.tx.sections(index)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(states, func(s SectionState) bool { return s.Section == section && s.Rows > 0 }) {
		return strange(tableHeld, key)
	}
	return m.host(index, section)
}

// host looks at a section of a host, which heals it; section 0 is all of them.
func (m *mender) host(index uint32, section facts.ID) error {
	id, ok, err := m.tx.HostByIndex(index)
	if err != nil || !ok {
		return err
	}
	h := m.a.host(id)
	if h.err != nil || section == 0 {
		return nil // of a host that is not known or damaged itself: nothing is told of it
	}
	_, err = m.a.storedRows(h, section)
	return err
}

// item doubts the section of all hosts that have an item that cannot be read. The
// first that tells the row again brings it back under its number.
func (m *mender) item(key []byte) error {
	section, err := m.tx.listedIn(binary.BigEndian.Uint32(key))
	if err == nil && section == 0 {
		err = strange(tableItems, key)
	}
	if err != nil {
		return err
	}
	hosts, err := m.tx.hostsWith(binary.BigEndian.Uint32(key))
	if err != nil {
		return err
	}
	for _, index := range hosts.ToArray() {
		id, _, err := m.tx.HostByIndex(index)
		if err != nil {
			return err
		}
		if h := m.a.host(id); h.err == nil {
			m.a.doubt(h, section)
		}
	}
	return errors.Join(m.tx.mend(tableItems, key), m.tx.refill())
}

// block gives up the log up to a block that cannot be read: what was before is not
// known any more.
func (m *mender) block(key []byte) error {
	if err := m.tx.mend(tableChanges, key); err != nil {
		return err
	}
	var drop [][]byte
	horizon := facts.TimeOf(m.tx.store.now())
	err := m.tx.Table(tableChanges).Scan(nil, func(k, v []byte) error {
		if bytes.Compare(k, key) < 0 {
			drop = append(drop, bytes.Clone(k))
			return nil
		}
		head, err := readBlockHead(k, v)
		horizon = head.low
		if err == nil {
			err = ErrStop
		}
		return err
	})
	if errors.Is(err, ErrCorrupt) {
		err = nil // is among the damage too, and decides
	}
	for _, k := range drop {
		err = errors.Join(err, m.tx.Table(tableChanges).Delete(k))
	}
	history, err2 := m.tx.meta(metaHistory)
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	m.tx.store.log.Error("the past before a damaged block of the change log is lost", "begins", horizon.Time())
	return m.tx.putMeta(metaHistory, max(history, uint64(horizon)))
}

// finish makes anew what depends on whole tables.
func (m *mender) finish() error {
	for table := range m.tables {
		for _, prefix := range views {
			if strings.HasPrefix(table, prefix) {
				if err := m.forgetOf(prefix); err != nil {
					return err
				}
			}
		}
	}
	for _, step := range []struct {
		table string
		do    func() error
	}{
		{tableHosts, m.remakeHosts}, {tableIndex, m.remakeHosts}, {tableContents, m.remakeContents},
		{tableHave, m.remakeHave}, {tableByHost, m.remakeIndex}, {tableCursors, m.forgetViews},
	} {
		if !m.tables[step.table] {
			continue
		}
		if err := step.do(); err != nil {
			return err
		}
	}
	if err := m.tx.flush(); err != nil {
		return err
	}
	return m.a.finish()
}

// remakeHosts brings host records and the list of their numbers together again. Names and
// tags come from their second copy.
func (m *mender) remakeHosts() error {
	known := map[uint32]identity.HostID{}
	err := m.tx.Table(tableHosts).Scan(nil, func(k, v []byte) error {
		rec, err := decodeHost(k, v)
		if err == nil && len(k) == 8 {
			known[rec.Index] = identity.HostID(k)
		}
		return err
	})
	if err != nil {
		return err
	}
	listed := map[uint32]identity.HostID{}
	err = m.tx.Table(tableIndex).Scan(nil, func(k, v []byte) error {
		if len(k) == 4 && len(v) == 8 {
			listed[binary.BigEndian.Uint32(k)] = identity.HostID(v)
		}
		return nil
	})
	for index, id := range listed {
		if _, ok := known[index]; !ok && err == nil {
			rec, whole := m.tx.recall(index)
			if !whole {
				rec = hostRecord{Index: index, Name: id.String()}
			}
			m.tx.store.log.Error("damaged record of a host made anew", "host", id.String(), "with_name_and_tags", whole)
			err = m.tx.putHostRecord(id, rec)
		}
	}
	for index, id := range known {
		if _, ok := listed[index]; !ok && err == nil {
			err = m.tx.Table(tableIndex).Put(indexKey(index), id[:])
		}
	}
	return err
}

// remakeHave makes the inverted index anew from what hosts have.
func (m *mender) remakeHave() error {
	t := m.tx.Table(tableHave)
	if err := t.Clear(); err != nil {
		return err
	}
	n := 0
	err := m.tx.Table(tableHeld).Scan(nil, func(k, v []byte) error {
		h, ok := decodeHeld(m.tx.store.codec, v)
		if !ok || len(k) != 6 {
			return &CorruptError{Table: tableHeld, Key: bytes.Clone(k), Detail: "not decodable"}
		}
		for _, it := range h.items {
			m.tx.have(binary.BigEndian.Uint32(k), it.id, true)
		}
		if n++; n%2000 == 0 {
			return m.tx.flushHave()
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.tx.flushHave()
}

// remakeContents lists all items by content that are not listed. By the places that are left
// items which cannot be read get their numbers again.
func (m *mender) remakeContents() error {
	var items []Item
	err := m.tx.Table(tableItems).Scan(nil, func(k, _ []byte) error {
		it, err := m.tx.item(binary.BigEndian.Uint32(k))
		items = append(items, it)
		return err
	})
	if err != nil {
		return err
	}
	for _, it := range items {
		id, place, err := m.tx.findItem(it.Section, it.Key, it.Data)
		if err == nil && id == 0 {
			err = m.tx.Table(tableContents).Put(place, itemKey(it.ID))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remakeIndex makes the index of the log by host anew.
func (m *mender) remakeIndex() error {
	if err := m.tx.Table(tableByHost).Clear(); err != nil {
		return err
	}
	w := m.tx.walkLog(false, everyBlock)
	return m.tx.Table(tableChanges).Scan(nil, func(k, v []byte) error {
		first := binary.BigEndian.Uint64(k)
		return w.block(k, v, func(g group) error {
			return m.tx.noteBlock(g.host, first)
		})
	})
}

// forgetViews has the views over the change log built anew, because it is not known how far
// they had read.
func (m *mender) forgetViews() error {
	if err := m.tx.Table(tableCursors).Clear(); err != nil {
		return err
	}
	for _, prefix := range views {
		if slices.Contains(ownViews, prefix) {
			continue
		}
		if err := m.forgetOf(prefix); err != nil {
			return err
		}
	}
	return nil
}
