package store

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/shared/facts"
)

// State is what is known of the fleet at one moment, now or in the past, within a
// transaction. The past is the present with the changes since then undone: of what
// came about by Change.At. What a spool brings late, it brings into the past.
type State struct {
	tx *Tx
	at facts.Time // 0: now
	// cut is the number of the newest change that counts whatever its moment: the clock
	// was set back after it.
	cut uint64
	// after is the number of the newest change that counts; used instead of at to
	// replay the log. Set together with bySeq.
	after uint64
	bySeq bool

	hosts    map[uint32]map[facts.ID][]undo // by host: what to undo, newest first
	walked   map[uint32]bool                // hosts of which all sections were looked at
	sections map[facts.ID]bool              // sections of which all hosts were looked at
	turned   map[facts.ID]*turned
}

// undo is an entry that came after the moment.
type undo struct {
	entry
	seq uint64
}

// beginsAt refuses a moment before the history begins, and names one to the second that is
// not refused, as the end of that second nor as the moment before it.
func beginsAt(from time.Time) error {
	return fmt.Errorf("%w: it begins at %s", ErrHistory, from.Add(time.Second).Truncate(time.Second).UTC().Format(time.RFC3339))
}

// ErrHistory: the moment lies before what the log still knows.
var ErrHistory = errors.New("history does not reach back that far")

// Now returns the present state.
func (tx *Tx) Now() *State { return &State{tx: tx} }

// AsOf returns the state at a moment by our clock. Moments before HistoryFrom are
// refused with ErrHistory.
func (tx *Tx) AsOf(at time.Time) (*State, error) {
	from, err := tx.HistoryFrom()
	if err != nil {
		return nil, err
	}
	if at.Before(from) {
		return nil, beginsAt(from)
	}
	cut, err := tx.cutAt(facts.TimeOf(at))
	return tx.past(State{at: facts.TimeOf(at), cut: cut}), err
}

// asOfChange returns the state after the change of that number.
func (tx *Tx) asOfChange(seq uint64) *State { return tx.past(State{after: seq, bySeq: true}) }

func (tx *Tx) past(s State) *State {
	s.tx, s.hosts, s.walked = tx, map[uint32]map[facts.ID][]undo{}, map[uint32]bool{}
	s.sections, s.turned = map[facts.ID]bool{}, map[facts.ID]*turned{}
	return &s
}

// At returns the moment; zero: now.
func (s *State) At() time.Time { return s.at.Time() }

func (s *State) now() bool { return s.at == 0 && !s.bySeq }

// later reports whether an entry came after the moment.
func (s *State) later(e *entry, seq uint64) bool {
	if s.bySeq {
		return seq > s.after
	}
	return e.at > s.at && seq > s.cut
}

// Hosts calls fn for the hosts that were there, in the order of their ids: known by then
// (Host.KnownFrom) and not removed by then. What is not a fact (name, tags, last sign of life)
// is as it is now. ErrStop ends it early.
func (s *State) Hosts(fn func(Host) error) error {
	if s.now() {
		return s.tx.Hosts(fn)
	}
	return s.tx.AllHosts([8]byte{}, func(h Host) error {
		if !s.there(h) {
			return nil
		}
		return fn(h)
	})
}

// past returns what to undo of a section of a host, newest first.
func (s *State) past(index uint32, section facts.ID) ([]undo, error) {
	if s.now() {
		return nil, nil
	}
	if !s.sections[section] && !s.walked[index] {
		if err := s.walk(index, section); err != nil {
			return nil, err
		}
	}
	return s.hosts[index][section], nil
}

// manyHosts is from how many hosts on the log is read once for all of them.
const manyHosts = 16

// walk reads the log of one host, or the log of a section for the whole fleet once
// many hosts were asked for.
func (s *State) walk(index uint32, section facts.ID) error {
	if section != 0 && len(s.walked) >= manyHosts {
		s.sections[section] = true
		for _, of := range s.hosts {
			delete(of, section) // read again with the others
		}
		return s.fleet(section, false, s.note)
	}
	s.walked[index] = true
	done := map[facts.ID]bool{}
	return s.tx.walkLog(true, everyBlock).host(index, func(g group) error {
		s.undone(g, done, func(u undo) {
			if !s.sections[u.section] {
				_ = s.note(g.host, &u.entry, u.seq) // never fails
			}
		})
		if s.reached(g.received, g.first) {
			return ErrStop
		}
		return nil
	})
}

func (s *State) note(index uint32, e *entry, seq uint64) error {
	if s.hosts[index] == nil {
		s.hosts[index] = map[facts.ID][]undo{}
	}
	s.hosts[index][e.section] = append(s.hosts[index][e.section], undo{*e, seq})
	return nil
}

// reached reports whether neither the change of that number, received then, nor one before
// it came after the moment.
func (s *State) reached(received facts.Time, seq uint64) bool {
	if s.bySeq {
		return seq <= s.after
	}
	return received <= s.at || seq <= s.cut
}

// undone calls fn for the entries of a group that came after the moment, newest first.
// A section is done with its first entry that did not.
func (s *State) undone(g group, done map[facts.ID]bool, fn func(undo)) {
	for i, e := range slices.Backward(g.entries) {
		if seq := g.first + uint64(i); done[e.section] {
			continue
		} else if s.later(&e, seq) {
			fn(undo{e, seq})
		} else {
			done[e.section] = true
		}
	}
}

// fleet calls fn for all entries of a section that came after the moment, newest first.
// Bare ones lack the hosts' own columns and hold until fn returns.
func (s *State) fleet(section facts.ID, bare bool, fn func(index uint32, e *entry, seq uint64) error) error {
	done := map[uint32]bool{}
	blocks := blockReader{codec: s.tx.store.codec, bare: bare}
	return s.tx.Table(tableChanges).ScanReverse(nil, nil, func(k, v []byte) error {
		head, err := readBlockHead(k, v)
		if err != nil {
			return err
		}
		if s.reached(head.high, head.last()) {
			return ErrStop
		}
		if head.sections&sectionBit(section) == 0 {
			return nil
		}
		groups, err := blocks.read(head)
		if err != nil {
			return err
		}
		for _, g := range slices.Backward(groups) {
			if done[g.host] {
				continue
			}
			if done[g.host], err = s.undoneOf(g, section, fn); err != nil {
				return err
			}
		}
		return nil
	})
}

// undoneOf calls fn for the entries of a section in a group that came after the moment,
// newest first; done: there are none before them.
func (s *State) undoneOf(g group, section facts.ID, fn func(index uint32, e *entry, seq uint64) error) (done bool, err error) {
	for i := len(g.entries) - 1; i >= 0; i-- {
		e, seq := &g.entries[i], g.first+uint64(i)
		if e.section != section {
			continue
		}
		if !s.later(e, seq) {
			return true, nil
		}
		if err := fn(g.host, e, seq); err != nil {
			return false, err
		}
	}
	return false, nil
}

// errLost: what the section was at the moment is lost to damage.
var errLost = errors.New("what was known then is lost to damage")

// held returns what a host had of a section.
func (s *State) held(index uint32, section facts.ID) (*held, error) {
	undos, err := s.past(index, section)
	if err != nil {
		return nil, err
	}
	h, err := s.tx.held(index, section)
	if err != nil {
		return nil, err
	}
	for _, u := range undos {
		switch u.kind {
		case Added:
			h.drop(u.new)
		case Removed:
			h.put(u.old)
		case Changed:
			h.drop(u.new)
			h.put(u.old)
		case Baseline:
			if u.lost {
				return &held{}, errLost
			}
			h = &held{}
		case Cleared:
			was, ok := decodeHeld(s.tx.store.codec, u.content)
			if !ok {
				return nil, &CorruptError{Table: tableChanges, Key: blockKey(u.seq), Detail: "content is not decodable"}
			}
			h = was
		}
	}
	return h, nil
}

// Rows calls fn for the rows of a section of a host, sorted by key. data is valid
// during the transaction; wire.DecodeRow reads it. ErrStop ends it early.
func (s *State) Rows(index uint32, section facts.ID, fn func(key string, data []byte) error) error {
	h, err := s.held(index, section)
	if err != nil && !errors.Is(err, errLost) {
		return err
	}
	rows, err := s.tx.storedRows(section, h)
	if errors.Is(err, ErrCorrupt) {
		rows, err = s.readable(index, section, h)
	}
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := fn(r.Key, r.Data); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// keys calls fn for the keys of the rows of a section of a host, in no order.
func (s *State) keys(index uint32, section facts.ID, fn func(key string) error) error {
	h, err := s.held(index, section)
	if err != nil && !errors.Is(err, errLost) {
		return err
	}
	for _, it := range h.items {
		item, err := s.tx.item(it.id)
		if lost(err) {
			s.tx.lacks = true
			continue
		}
		if err == nil {
			err = fn(item.Key)
		}
		if err != nil {
			return err
		}
	}
	for _, it := range h.own {
		if err := fn(it.Key); err != nil {
			return err
		}
	}
	return nil
}

// readable returns the rows of a section but for those that healing noted as lost: its host
// was asked for the whole of it. What is damaged otherwise is left out of a present section
// that is in doubt; of others it is the answer.
func (s *State) readable(index uint32, section facts.ID, h *held) ([]storedRow, error) {
	doubtful := false
	if s.now() {
		st, err := s.tx.section(index, section)
		if err != nil {
			return nil, err
		}
		doubtful = st.Doubtful
	}
	sound := &held{own: h.own}
	for _, it := range h.items {
		switch _, err := s.tx.item(it.id); {
		case err == nil:
			sound.items = append(sound.items, it)
		case !lost(err) && !(doubtful && errors.Is(err, ErrCorrupt)):
			return nil, err
		}
	}
	s.tx.lacks = true
	return s.tx.storedRows(section, sound)
}

// Row returns one row of a host, nil when there is none.
func (s *State) Row(index uint32, section facts.ID, key string) ([]byte, error) {
	h, err := s.held(index, section)
	if err != nil && !errors.Is(err, errLost) {
		return nil, err
	}
	_, data, err := s.tx.stored(section, h, key)
	return data, err
}

// Sections returns the states of the sections that a host had reported, by number. Of
// the past the times of readings and the digest are not known, but for when the
// status began.
func (s *State) Sections(index uint32) ([]SectionState, error) {
	states, err := s.tx.sections(index)
	if err != nil || s.now() {
		return states, err
	}
	if !s.walked[index] {
		if err := s.walk(index, 0); err != nil {
			return nil, err
		}
	}
	for section := range s.hosts[index] {
		states, _ = stateOf(states, section)
	}
	var out []SectionState
	for _, st := range states {
		if st, err = s.sectionState(index, st); err != nil {
			return nil, err
		}
		if st.Status != facts.StatusUnknown || st.Rows > 0 { // rows without a status: it was lost to damage
			out = append(out, st)
		}
	}
	slices.SortFunc(out, func(a, b SectionState) int { return cmp.Compare(a.Section, b.Section) })
	return out, nil
}

func (s *State) sectionState(index uint32, st SectionState) (SectionState, error) {
	undos, err := s.past(index, st.Section)
	if err != nil || len(undos) == 0 {
		return st, err
	}
	st = SectionState{Section: st.Section, Status: st.Status, Reason: st.Reason}
	for _, u := range undos {
		if u.kind == StatusChanged || u.kind == Baseline || u.kind == Cleared {
			st.Status, st.Reason = DecodeStatus(u.was)
		}
	}
	h, err := s.held(index, st.Section)
	if errors.Is(err, errLost) {
		st.Status, st.Reason = facts.StatusFailed, errLost.Error()
		return st, nil
	}
	if err != nil {
		return st, err
	}
	st.Rows = h.rows()
	return st, nil
}

// HostsWith returns the hosts that have an item.
func (s *State) HostsWith(it Item) (HostSet, error) {
	b, err := s.tx.hostsWith(it.ID)
	if err != nil || s.now() {
		return HostSet{b}, err
	}
	t, err := s.turn(it.Section)
	if err != nil {
		return HostSet{}, err
	}
	t.apply(it.ID, b)
	return HostSet{b}, nil
}

// Count returns how many hosts have an item.
func (s *State) Count(it Item) (int, error) {
	hosts, err := s.HostsWith(it)
	return hosts.Len(), err
}

// Items calls fn for the items of a section that hosts may have, by key; only those
// whose keys begin with prefix. Some may have no host at that moment. ErrStop ends it
// early.
func (s *State) Items(section facts.ID, prefix string, fn func(Item) error) error {
	return s.tx.eachItem(section, prefix, fn)
}

// ItemsNamed is Items for those whose column "name" has that value.
func (s *State) ItemsNamed(section facts.ID, name string, fn func(Item) error) error {
	return s.tx.eachNamed(section, name, fn)
}

// ItemOf returns the item that a row is an instance of; false: there is none, because
// the section is not shared or the item is known no more.
func (s *State) ItemOf(section facts.ID, key string, row []byte) (it Item, found bool, err error) {
	common, _, ok := layouts[section].split(row)
	if !ok {
		return it, false, nil
	}
	err = s.tx.itemsOfKey(section, key, func(id uint32) error {
		if it, err = s.tx.item(id); err != nil {
			if lost(err) {
				err = nil // another may have the key too
			}
			return err
		}
		if found = string(it.Data) == string(common); found {
			return ErrStop
		}
		return nil
	})
	return it, found, err
}

// HostRow returns the row that an item is on a host, with the host's own columns; nil
// when the host has it not.
func (s *State) HostRow(index uint32, it Item) ([]byte, error) {
	h, err := s.held(index, it.Section)
	if err != nil && !errors.Is(err, errLost) {
		return nil, err
	}
	i, ok := h.findItem(it.ID)
	if !ok {
		return nil, nil
	}
	_, data, err := s.tx.row(it.Section, ref{item: it.ID, data: h.items[i].pairs})
	return data, err
}
