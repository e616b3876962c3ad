package query

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"modernc.org/sqlite"

	"atalaya/collector/store"
	"atalaya/shared/identity"
)

// clockSlack is how far the clock of who asks may be ahead of ours.
const clockSlack = time.Minute

// session is the data that one query sees.
type session struct {
	ctx     context.Context
	tx      *store.Tx
	asOf    time.Time
	now     time.Time
	limit   int64
	scanned int64
	// collates says that the text names a way to compare other than byte by byte, which
	// tables are not told of: they give all rows, and SQLite compares.
	collates bool
	// lists says that the text may compare with a list (column in (...)), which tables are
	// given one value at a time, as if it were the only one.
	lists    bool
	failed   error // of a table or function; SQLite keeps only its text
	states   map[time.Time]*store.State
	hosts    map[uint32]*hostName
	hostRows map[hostAt][]any
	changed  map[uint32]*changedItem
	byName   map[string][]uint32 // nil until it is needed
	indexes  map[identity.HostID]uint32
	items    map[itemsOf][]knownItem
	kept     int                    // entries that items has, or would have without its limit
	read     map[reading]*hostsRead // sections whose tables were read
	// written is the moment that was written last: many changes came about together.
	written     time.Time
	writtenText any
	// patterns are the regular expressions that were compiled.
	patterns map[string]*regexp.Regexp
	sql      string
	literals map[[2]string]bool // of sql: function and first argument; nil until needed
	tallies  []tally            // of functions, in their order
	// made are what tables keep for the rest of the query, see Once.
	made map[any]any
}

// hostName is what every row of facts says of its host.
type hostName struct{ id, name string }

var wordIn = regexp.MustCompile(`(?i)\bin\b`)

func newSession(ctx context.Context, tx *store.Tx, r Request, now time.Time) *session {
	return &session{
		ctx: ctx, tx: tx, asOf: r.AsOf, now: now, limit: r.Limits.Scanned, collates: strings.Contains(strings.ToLower(r.SQL), "collate"), lists: wordIn.MatchString(r.SQL),
		read: map[reading]*hostsRead{}, states: map[time.Time]*store.State{}, hosts: map[uint32]*hostName{}, hostRows: map[hostAt][]any{}, changed: map[uint32]*changedItem{},
		indexes: map[identity.HostID]uint32{}, items: map[itemsOf][]knownItem{}, patterns: map[string]*regexp.Regexp{}, made: map[any]any{},
		sql: r.SQL, tallies: make([]tally, len(functions)),
	}
}

// state returns the fleet at a moment; zero: that of the query.
func (s *session) state(at time.Time) (*store.State, error) {
	if at.IsZero() {
		at = s.asOf
	}
	if st := s.states[at]; st != nil {
		return st, nil
	}
	st := s.tx.Now()
	if !at.IsZero() {
		if at.After(s.now.Add(clockSlack)) {
			return nil, fmt.Errorf("%w: %s is in the future, it is %s now", ErrQuery, Time(at), Time(s.now))
		}
		err := s.tx.Reaches(at)
		if err == nil {
			st, err = s.tx.AsOf(at)
		}
		if err != nil {
			return nil, err
		}
	}
	s.states[at] = st
	return st, nil
}

// count counts a row against the limit and looks whether the query is to stop.
func (s *session) count() error {
	if s.scanned++; s.scanned > s.limit {
		return fmt.Errorf("%w: more than %d rows had to be looked at; ask by host or by name", ErrLimit, s.limit)
	}
	if s.scanned&0x3ff == 0 {
		return s.ctx.Err()
	}
	return nil
}

// host returns the name of a host.
func (s *session) host(index uint32) (*hostName, error) {
	if h := s.hosts[index]; h != nil {
		return h, nil
	}
	id, name, ok, err := s.tx.HostName(index)
	if err != nil || !ok {
		return nil, errors.Join(err, fmt.Errorf("host number %d is not known", index))
	}
	return s.meet(id, index, name), nil
}

// meet remembers the name of a host that a scan has come to.
func (s *session) meet(id identity.HostID, index uint32, name string) *hostName {
	n := s.hosts[index]
	if n == nil {
		n = &hostName{id.String(), name}
		s.hosts[index], s.indexes[id] = n, index
	}
	return n
}

// index returns the short number of a host, 0 when there is none.
func (s *session) index(id identity.HostID) (uint32, error) {
	index, ok := s.indexes[id]
	if !ok {
		var err error
		if index, err = s.tx.HostIndex(id); err != nil {
			return 0, err
		}
		s.indexes[id] = index
	}
	return index, nil
}

// named returns the hosts of a name, removed ones too: the past has them still.
func (s *session) named(name string) ([]uint32, error) {
	if s.byName == nil {
		s.byName = map[string][]uint32{}
		err := s.tx.AllHosts([8]byte{}, func(h store.Host) error {
			s.byName[h.Name] = append(s.byName[h.Name], h.Index)
			s.meet(h.ID, h.Index, h.Name)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return s.byName[name], nil
}

// fail keeps an error that SQLite would turn into text.
func (s *session) fail(err error) error {
	if s.failed == nil {
		s.failed = err
	}
	return err
}

// explain prefers our own error to SQLite's, and says of SQLite's what they are.
func (s *session) explain(err error) error {
	var lite *sqlite.Error
	switch {
	case err == nil:
		return nil
	case s.failed != nil:
		return s.failed
	case !errors.As(err, &lite):
		return err
	}
	text := strings.TrimPrefix(lite.Error(), "SQL logic error: ")
	if i := strings.LastIndex(text, " ("); i > 0 { // the number of the error
		text = text[:i]
	}
	if table, rest, ok := strings.Cut(strings.TrimPrefix(text, "too many arguments on "), "()"); ok && rest == " - max 0" {
		return noPast(table)
	}
	if strings.Contains(text, "out of memory") {
		return fmt.Errorf("%w: it needs more memory than %d MiB; sort or group fewer rows", ErrLimit, maxMemory>>20)
	}
	if strings.Contains(text, "not authorized") {
		return fmt.Errorf("%w: only SELECT is allowed", ErrQuery)
	}
	if strings.Contains(text, "no such table") || strings.Contains(text, "no such column") {
		text += " (`atalaya query --schema` lists them)"
	}
	return fmt.Errorf("%w: %s", ErrQuery, text)
}

// timeLayout is how tables give a moment: to the second, in UTC, so that text compares
// as time, with what people write, too. As the moment of a table it is the end of that
// second, see v1.ParseState.
const timeLayout = "2006-01-02T15:04:05Z"

// Time is a moment as tables give it; nil for none.
func Time(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format(timeLayout)
}

// time is Time for moments that come again and again.
func (s *session) time(t time.Time) any {
	if s.writtenText == nil || !s.written.Equal(t) {
		s.written, s.writtenText = t, Time(t)
	}
	return s.writtenText
}
