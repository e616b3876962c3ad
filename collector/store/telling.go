package store

import (
	"errors"
	"sync"

	"atalaya/shared/facts"
)

// Telling is how many hosts there are and with which status they last told a section;
// StatusUnknown counts those that never did.
type Telling struct {
	Hosts    int
	ByStatus map[facts.Status]int
}

// Telling counts how the hosts that were there told a section: all of them, or those of a
// set where one is given.
func (s *State) Telling(section facts.ID, only *HostSet) (Telling, error) {
	if only == nil && s.now() {
		all, err := s.tx.tellings()
		if err != nil {
			return Telling{}, err
		}
		t := Telling{all.hosts, map[facts.Status]int{}}
		told := 0
		for as, n := range all.told {
			if as.section == section {
				t.ByStatus[as.status], told = n, told+n
			}
		}
		if silent := all.hosts - told; silent > 0 {
			t.ByStatus[facts.StatusUnknown] = silent
		}
		return t, nil
	}
	t := Telling{ByStatus: map[facts.Status]int{}}
	take := func(rec hostRecord) error {
		if !s.there(rec.host()) {
			return nil
		}
		status, err := s.statusOf(rec.Index, section)
		t.Hosts++
		t.ByStatus[status]++
		return err
	}
	if only == nil {
		if _, err := s.turn(section); err != nil { // one look at the log for all
			return t, err
		}
		return t, s.tx.Table(tableHosts).Scan(nil, func(k, v []byte) error {
			rec, err := decodeHost(k, v)
			if err != nil {
				return err
			}
			return take(rec)
		})
	}
	for index := range only.All() {
		_, rec, ok, err := s.tx.recordAt(index)
		if err == nil && ok {
			err = take(rec)
		}
		if err != nil {
			return t, err
		}
	}
	return t, nil
}

// statusOf returns the status of a section of a host.
func (s *State) statusOf(index uint32, section facts.ID) (facts.Status, error) {
	st, err := s.tx.section(index, section)
	if err != nil || s.now() {
		return st.Status, err
	}
	if t := s.turned[section]; t != nil {
		if was, differs := t.status[index]; differs {
			return was, nil
		}
		return st.Status, nil
	}
	undos, err := s.past(index, section)
	for _, u := range undos {
		if u.status() {
			st.Status, _ = DecodeStatus(u.was)
		}
	}
	return st.Status, err
}

// status reports whether an entry brought another status.
func (e *entry) status() bool {
	return e.kind == StatusChanged || e.kind == Baseline || e.kind == Cleared
}

// tellings counts the active hosts and the statuses of their sections.
type tellings struct {
	hosts int
	told  map[toldAs]int

	last  uint64     // number of the newest change that they know of
	given tableTotal // of tableGiven, which changes with the hosts
}

// toldAs is a status of a section.
type toldAs struct {
	section facts.ID
	status  facts.Status
}

// lastTellings keeps what was counted last: it holds until a host comes or goes or the log
// tells of another status, which is seldom beside changes of rows.
type lastTellings struct {
	mu sync.Mutex
	*tellings
}

func (l *lastTellings) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellings = nil
}

// manyChanges is from how many new changes on the statuses are counted again rather than
// looked for in the log.
const manyChanges = 20_000

func (tx *Tx) tellings() (*tellings, error) {
	if tx.b.Writable() {
		return tx.countTellings()
	}
	last, err1 := tx.LastChange()
	given, err2 := tx.total(tableGiven)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	kept := &tx.store.told
	kept.mu.Lock()
	defer kept.mu.Unlock()
	t := kept.tellings
	if t != nil && t.given == given && last >= t.last && last-t.last < manyChanges {
		same, err := tx.sameStatuses(t.last, last)
		if err != nil {
			return nil, err
		}
		if same {
			t = &tellings{t.hosts, t.told, last, given}
			kept.tellings = t
			return t, nil
		}
	}
	t, err := tx.countTellings()
	if err != nil {
		return nil, err
	}
	t.last, t.given = last, given
	if kept.tellings == nil || kept.last <= last {
		kept.tellings = t
	}
	return t, nil
}

// sameStatuses reports whether no change after one brought another status.
func (tx *Tx) sameStatuses(after, last uint64) (same bool, err error) {
	if after == last {
		return true, nil
	}
	same = true
	err = tx.groupsAfter(after, func(g group) error {
		for i := range g.entries {
			if g.first+uint64(i) > after && g.entries[i].status() {
				same = false
				return ErrStop
			}
		}
		return nil
	})
	return same, err
}

func (tx *Tx) countTellings() (*tellings, error) {
	t := &tellings{told: map[toldAs]int{}}
	err := tx.Table(tableHosts).Scan(nil, func(k, v []byte) error {
		rec, err := decodeHost(k, v)
		if err == nil && rec.RemovedAt == 0 {
			t.hosts++
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = tx.Table(tableSections).Scan(nil, func(_, v []byte) error {
		d, last := decoder{b: v}, facts.Time(0)
		for len(d.b) > 0 && !d.bad {
			if st := d.section(&last); !d.bad {
				t.told[toldAs{st.Section, st.Status}]++
			}
		}
		return nil // what is damaged was not told
	})
	return t, err
}
