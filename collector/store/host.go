package store

import (
	"bytes"
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

// The tables of this package.
const (
	tableMeta     = "store.meta"     // name -> number
	tableHosts    = "store.hosts"    // host id -> Host as JSON
	tableIndex    = "store.index"    // host index -> host id
	tableGiven    = "store.given"    // host index -> name and tags as JSON, a second copy for repairs
	tableSeen     = "store.seen"     // host index -> milliseconds of the last sign of life
	tableMarks    = "store.marks"    // host index -> which batches are known, see marks
	tableSections = "store.sections" // host index -> the states of its sections
	tableItems    = "store.items"    // item number -> section, key, row, see Item
	tableContents = "store.contents" // section, key, hash of the row -> item number
	tableHeld     = "store.held"     // host index, section -> rows, see held
	tableHave     = "store.have"     // piece, item number -> set of hosts
	tableChanges  = "store.log"      // number of the first change -> block, see blockHead
	tableByHost   = "store.log_by"   // host index, block -> further blocks of the host
	tableLosses   = "store.losses"   // host index -> newest losses as JSON
	tableCursors  = "store.cursors"  // view -> number of the last change it has read
)

// The entries of tableMeta.
const (
	metaVersion    = "version"     // formatVersion of the file
	metaHosts      = "hosts"       // host indexes given so far
	metaItems      = "items"       // item numbers given so far
	metaLastChange = "last_change" // number of the newest change
	metaReceived   = "received"    // milliseconds: of the newest change, see inOrder
	metaSetBacks   = "set_backs"   // of the clock, see setBack
	metaDated      = "dated"       // 1: the records of hosts say from when on they are known
	metaHistory    = "history"     // milliseconds: the past is known from then on; 0: from the beginning
)

// seenEvery is how often moments of Seen are written: after a crash a host looks at
// most that much longer silent than it was.
const seenEvery = time.Minute

// Host is what the store itself keeps of a host.
type Host struct {
	ID           identity.HostID
	Name         string
	OS, Arch     string // GOOS and GOARCH of its agent
	AgentVersion string
	EnrolledAt   time.Time
	MachineID    string        // hash, to notice clones
	ClockOffset  time.Duration // agent's clock minus ours
	Interval     time.Duration // between metric readings
	Tags         []string      // given by administrators, sorted

	// The rest is the store's own: PutHost ignores it, but for a LastSeen later than the known one.

	Index       uint32    // short number of the host within this state file, from 1, never reused
	LastSeen    time.Time // last message or batch
	LossBatches uint64    // that the host's spool dropped before they came here
	RemovedAt   time.Time // zero: the host is active; else its record stays as a tombstone
	RemovedWhy  string    // what RemoveHost was told
	// KnownFrom is when the host enrolled, or when the first of its facts came about where
	// that is earlier: a spool, or a simulated past, tells of the time before.
	KnownFrom time.Time
	// Away is when it had been removed before it was brought back, oldest first.
	Away []Span
}

// Span is from a moment on until another, which is not in it.
type Span struct {
	From  facts.Time `json:"from"`
	Until facts.Time `json:"until"`
}

// maxAway bounds the spans of a host, the newest: one that is removed and enrols again every
// day has two weeks of them.
const maxAway = 16

// hostRecord is Host as stored.
type hostRecord struct {
	Index        uint32        `json:"index"`
	Name         string        `json:"name"`
	OS           string        `json:"os,omitempty"`
	Arch         string        `json:"arch,omitempty"`
	AgentVersion string        `json:"agent_version,omitempty"`
	EnrolledAt   facts.Time    `json:"enrolled_at,omitzero"`
	MachineID    string        `json:"machine_id,omitempty"`
	ClockOffset  time.Duration `json:"clock_offset,omitempty"`
	Interval     time.Duration `json:"interval,omitempty"`
	Tags         []string      `json:"tags,omitempty"`
	LossBatches  uint64        `json:"loss_batches,omitempty"`
	RemovedAt    facts.Time    `json:"removed_at,omitzero"`
	RemovedWhy   string        `json:"removed_why,omitempty"`
	Had          *had          `json:"had,omitempty"`
	FirstAt      facts.Time    `json:"first_at,omitzero"` // of its facts, where that is before EnrolledAt
	Away         []Span        `json:"away,omitempty"`
}

// had is where the facts of a removed host are.
type had struct {
	After  uint64 `json:"after"`  // number of the last change before it was removed
	States []byte `json:"states"` // of its sections then, see encodeSections: the log has no times of readings
}

// knownFrom is Host.KnownFrom.
func (rec hostRecord) knownFrom() facts.Time {
	if rec.FirstAt != 0 {
		return min(rec.FirstAt, rec.EnrolledAt)
	}
	return rec.EnrolledAt
}

// date notes that a fact of the host came about then; true: before all that is known.
func (rec *hostRecord) date(at facts.Time) bool {
	if at >= rec.knownFrom() {
		return false
	}
	rec.FirstAt = at
	return true
}

func (tx *Tx) meta(name string) (uint64, error) {
	v, err := tx.Table(tableMeta).Get([]byte(name))
	if err != nil || v == nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, &CorruptError{Table: tableMeta, Key: []byte(name), Detail: "wrong length"}
	}
	return binary.BigEndian.Uint64(v), nil
}

func (tx *Tx) putMeta(name string, v uint64) error {
	return tx.Table(tableMeta).Put([]byte(name), binary.BigEndian.AppendUint64(nil, v))
}

func indexKey(index uint32) []byte { return binary.BigEndian.AppendUint32(nil, index) }

// Host returns a host; false when it is unknown.
func (tx *Tx) Host(id identity.HostID) (Host, bool, error) {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return Host{}, false, err
	}
	h, err := tx.wholeHost(id, rec)
	return h, err == nil, err
}

func (tx *Tx) hostRecord(id identity.HostID) (hostRecord, bool, error) {
	v, err := tx.Table(tableHosts).Get(id[:])
	if err != nil || v == nil {
		return hostRecord{}, false, err
	}
	rec, err := decodeHost(id[:], v)
	return rec, err == nil, err
}

func decodeHost(key, v []byte) (hostRecord, error) {
	var plain hostRecord
	if plain.plain(v) {
		return plain, nil
	}
	var rec hostRecord
	if err := json.Unmarshal(v, &rec); err != nil {
		return rec, &CorruptError{Table: tableHosts, Key: bytes.Clone(key), Detail: err.Error()}
	}
	return rec, nil
}

// host is what the record says, without the id.
func (rec *hostRecord) host() Host {
	return Host{
		Name: rec.Name, OS: rec.OS, Arch: rec.Arch, AgentVersion: rec.AgentVersion,
		EnrolledAt: rec.EnrolledAt.Time(), MachineID: rec.MachineID, ClockOffset: rec.ClockOffset,
		Interval: rec.Interval, Tags: rec.Tags, Index: rec.Index, LossBatches: rec.LossBatches,
		RemovedAt: rec.RemovedAt.Time(), RemovedWhy: rec.RemovedWhy, KnownFrom: rec.knownFrom().Time(), Away: rec.Away,
	}
}

// wholeHost joins a host's record with what is kept apart because it changes often.
func (tx *Tx) wholeHost(id identity.HostID, rec hostRecord) (h Host, err error) {
	h = rec.host()
	h.ID = id
	h.LastSeen, err = tx.lastSeen(id, rec.Index)
	return h, err
}

func (tx *Tx) lastSeen(id identity.HostID, index uint32) (time.Time, error) {
	v, err := tx.Table(tableSeen).Get(indexKey(index))
	if err != nil {
		return time.Time{}, err
	}
	var at time.Time
	if len(v) == 8 {
		at = facts.Time(binary.BigEndian.Uint64(v)).Time()
	}
	tx.store.mu.Lock()
	defer tx.store.mu.Unlock()
	if m, ok := tx.store.seen[id]; ok && m.After(at) {
		at = m
	}
	return at, nil
}

// PutHost adds a host or changes what is known of it.
func (tx *Tx) PutHost(h Host) error {
	rec, known, err := tx.hostRecord(h.ID)
	if err != nil {
		return err
	}
	if !known {
		if rec.Index, err = tx.newIndex(h.ID); err != nil {
			return err
		}
	}
	rec = hostRecord{
		Index: rec.Index, LossBatches: rec.LossBatches, Name: h.Name, OS: h.OS, Arch: h.Arch,
		AgentVersion: h.AgentVersion, EnrolledAt: facts.TimeOf(h.EnrolledAt), MachineID: h.MachineID,
		ClockOffset: h.ClockOffset, Interval: h.Interval, Tags: h.Tags,
		RemovedAt: rec.RemovedAt, RemovedWhy: rec.RemovedWhy, Had: rec.Had, FirstAt: rec.FirstAt, Away: rec.Away,
	}
	if err := tx.putHostRecord(h.ID, rec); err != nil {
		return err
	}
	seen, err := tx.lastSeen(h.ID, rec.Index)
	if err != nil || !h.LastSeen.After(seen) {
		return err
	}
	return tx.putSeen(rec.Index, h.LastSeen)
}

// given is what cannot be told again by the agent, or is what people know a host by.
type given struct {
	Name       []byte     `json:"n"` // not as the record has it: a search in the file finds one place
	Tags       []string   `json:"tags,omitempty"`
	EnrolledAt facts.Time `json:"enrolled_at,omitzero"`
	RemovedAt  facts.Time `json:"removed_at,omitzero"`
	RemovedWhy string     `json:"removed_why,omitempty"`
	FirstAt    facts.Time `json:"first_at,omitzero"`
	Away       []Span     `json:"away,omitempty"`
}

// keepGiven writes the second copy where it differs from the first.
func (tx *Tx) keepGiven(rec hostRecord) error {
	v, err := json.Marshal(given{[]byte(rec.Name), rec.Tags, rec.EnrolledAt, rec.RemovedAt, rec.RemovedWhy, rec.FirstAt, rec.Away})
	if err != nil {
		return fmt.Errorf("encode name and tags of %q: %w", rec.Name, err)
	}
	was, err := tx.Table(tableGiven).Get(indexKey(rec.Index))
	if err == nil && bytes.Equal(was, v) {
		return nil
	}
	return tx.Table(tableGiven).Put(indexKey(rec.Index), v) // also over one that is damaged
}

// recall makes a host's record from the second copy of what people know it by; false:
// there is none.
func (tx *Tx) recall(index uint32) (rec hostRecord, ok bool) {
	v, err := tx.Table(tableGiven).Get(indexKey(index))
	var g given
	if err != nil || v == nil || json.Unmarshal(v, &g) != nil {
		return rec, false
	}
	return hostRecord{Index: index, Name: string(g.Name), Tags: g.Tags, EnrolledAt: g.EnrolledAt, RemovedAt: g.RemovedAt, RemovedWhy: g.RemovedWhy, FirstAt: g.FirstAt, Away: g.Away}, true
}

func (tx *Tx) putHostRecord(id identity.HostID, rec hostRecord) error {
	if err := tx.keepGiven(rec); err != nil {
		return err
	}
	v, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("encode host %s: %w", id, err)
	}
	return tx.Table(tableHosts).Put(id[:], v)
}

func (tx *Tx) newIndex(id identity.HostID) (uint32, error) {
	n, err := tx.meta(metaHosts)
	if err != nil {
		return 0, err
	}
	n++
	if n > 1<<32-1 {
		return 0, fmt.Errorf("host %s: all host indexes are used", id)
	}
	if err := tx.Table(tableIndex).Put(indexKey(uint32(n)), id[:]); err != nil {
		return 0, err
	}
	return uint32(n), tx.putMeta(metaHosts, n)
}

// HostByIndex returns the id of the host with that Index; false when there is none.
func (tx *Tx) HostByIndex(index uint32) (identity.HostID, bool, error) {
	v, err := tx.Table(tableIndex).Get(indexKey(index))
	if err != nil || len(v) != len(identity.HostID{}) {
		return identity.HostID{}, false, err
	}
	return identity.HostID(v), true, nil
}

// HostName returns the id and the name of a host by its number; false when there is none.
func (tx *Tx) HostName(index uint32) (id identity.HostID, name string, ok bool, err error) {
	id, rec, ok, err := tx.recordAt(index)
	return id, rec.Name, ok, err
}

func (tx *Tx) recordAt(index uint32) (id identity.HostID, rec hostRecord, ok bool, err error) {
	if id, ok, err = tx.HostByIndex(index); err == nil && ok {
		rec, ok, err = tx.hostRecord(id)
	}
	return id, rec, ok, err
}

// HostIndex returns the number of a host, 0 when there is none.
func (tx *Tx) HostIndex(id identity.HostID) (uint32, error) {
	rec, _, err := tx.hostRecord(id)
	return rec.Index, err
}

// HostSection returns a host by its number, with what its record says alone (its id, name
// and clock offset among it), and the state of one of its sections.
func (tx *Tx) HostSection(index uint32, section facts.ID) (h Host, st SectionState, ok bool, err error) {
	id, rec, ok, err := tx.recordAt(index)
	if err != nil || !ok {
		return h, st, false, err
	}
	st, err = tx.section(index, section)
	return Host{ID: id, Name: rec.Name, ClockOffset: rec.ClockOffset, Index: index, RemovedAt: rec.RemovedAt.Time()}, st, err == nil, err
}

// Hosts calls fn for all active hosts in the order of their ids. ErrStop ends it early.
func (tx *Tx) Hosts(fn func(Host) error) error {
	return tx.HostsFrom(identity.HostID{}, fn)
}

// CountHosts returns how many active hosts there are. It reads the records of those only
// that seem to be removed.
func (tx *Tx) CountHosts() (n int, err error) {
	err = tx.Table(tableHosts).Scan(nil, func(k, v []byte) error {
		n++
		if !bytes.Contains(v, []byte(`"removed_at":`)) {
			return nil
		}
		rec, err := decodeHost(k, v)
		if rec.RemovedAt != 0 {
			n--
		}
		return err
	})
	return n, err
}

// HostsFrom is Hosts from the first host whose id is not below from.
func (tx *Tx) HostsFrom(from identity.HostID, fn func(Host) error) error {
	return tx.AllHosts(from, func(h Host) error {
		if !h.RemovedAt.IsZero() {
			return nil
		}
		return fn(h)
	})
}

// AllHosts is HostsFrom with the removed hosts.
func (tx *Tx) AllHosts(from identity.HostID, fn func(Host) error) error {
	return tx.Table(tableHosts).ScanFrom(nil, from[:], func(k, v []byte) error {
		if len(k) != len(identity.HostID{}) {
			return &CorruptError{Table: tableHosts, Key: bytes.Clone(k), Detail: "not a host id"}
		}
		rec, err := decodeHost(k, v)
		if err != nil {
			return err
		}
		h, err := tx.wholeHost(identity.HostID(k), rec)
		if err != nil {
			return err
		}
		return fn(h)
	})
}

// Hello takes what a host says of itself when it connects and returns the highest
// batch of its epoch up to which all are durable, 0 when there is none. It refuses a
// host that was never enrolled with ErrUnknownHost.
func (s *Store) Hello(id identity.HostID, h wire.Hello, at time.Time) (highSeq uint64, err error) {
	err = s.Update(func(tx *Tx) error {
		highSeq, err = tx.Hello(id, h, at)
		return err
	})
	return highSeq, err
}

// Hello is Store.Hello within a transaction.
func (tx *Tx) Hello(id identity.HostID, h wire.Hello, at time.Time) (highSeq uint64, err error) {
	host, ok, err := tx.Host(id)
	if err != nil {
		return 0, err
	}
	if !ok || !host.RemovedAt.IsZero() {
		return 0, fmt.Errorf("%w: %s", ErrUnknownHost, id)
	}
	host.Name, host.OS, host.Arch, host.AgentVersion = h.Hostname, h.OS, h.Arch, h.AgentVersion
	host.MachineID, host.Interval = h.MachineID, time.Duration(h.IntervalMillis)*time.Millisecond
	host.ClockOffset = facts.Time(h.At).Time().Sub(at).Truncate(time.Millisecond)
	host.LastSeen = at
	tx.store.askAnew(host.Index)
	if highSeq, _, err = tx.HighSeq(host.Index, h.Epoch); err != nil {
		return 0, err
	}
	return highSeq, tx.PutHost(host)
}

// HighSeq returns the number of the batch up to which all of an epoch of a host are
// durable, 0 when there is none, and its checksum, 0 when that is not known.
func (tx *Tx) HighSeq(index uint32, epoch uint64) (seq uint64, sum uint32, err error) {
	m, err := tx.marks(index)
	mark := m.of(epoch)
	if n := len(mark.recent); n > 0 {
		sum = mark.recent[n-1]
	}
	return mark.high, sum, err
}

// Seen notes a sign of life of a host. It is written within a minute.
func (s *Store) Seen(id identity.HostID, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at.After(s.seen[id]) {
		s.seen[id] = at
	}
}

// takeSeen hands out the moments that wait to be written.
func (s *Store) takeSeen() map[[8]byte]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.seen
	s.seen = map[[8]byte]time.Time{}
	s.flushed = s.now()
	return out
}

func (s *Store) seenDue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen) > 0 && s.now().Sub(s.flushed) >= seenEvery
}

func (tx *Tx) flushSeen(seen map[[8]byte]time.Time) error {
	byIndex := make(map[uint32]time.Time, len(seen))
	for id, at := range seen {
		rec, ok, err := tx.hostRecord(id)
		if !ok && (err == nil || errors.Is(err, ErrCorrupt)) {
			continue // a damaged host must not hold up the others
		}
		if err != nil {
			return err
		}
		byIndex[rec.Index] = at
	}
	for _, index := range slices.Sorted(maps.Keys(byIndex)) { // in order they fill their pages
		if err := tx.putSeen(index, byIndex[index]); err != nil {
			return err
		}
	}
	return nil
}

// PutSeen says when a host gave its last sign of life: unlike PutHost also a moment
// before the one that is known.
func (tx *Tx) PutSeen(id identity.HostID, at time.Time) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return orUnknown(err, id)
	}
	tx.store.mu.Lock()
	delete(tx.store.seen, id)
	tx.store.mu.Unlock()
	return tx.putSeen(rec.Index, at)
}

func (tx *Tx) putSeen(index uint32, at time.Time) error {
	return tx.Table(tableSeen).Put(indexKey(index), binary.BigEndian.AppendUint64(nil, uint64(facts.TimeOf(at))))
}
