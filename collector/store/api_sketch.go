// Package store is the only door to the collector's state file: transactions,
// facts with their change log, duplicate removal, and tables for other packages.
//
// The file is bbolt. Every value carries a checksum over table, key and value that
// is verified on each read; a mismatch is ErrCorrupt and never a value.
package store

import (
	"errors"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// ErrCorrupt: a stored value does not match its checksum.
var ErrCorrupt = errors.New("stored value is damaged")

// Host is what the store itself keeps of a host.
type Host struct {
	ID           identity.HostID
	Name         string
	OS, Arch     string
	AgentVersion string
	EnrolledAt   time.Time
	LastSeen     time.Time // last message or batch
	MachineID    string
	ClockOffset  time.Duration // agent's clock minus ours
	Interval     time.Duration // between metric readings
	Epoch        uint64
	HighSeq      uint64
	LossBatches  uint64
}

// ChangeKind says what happened to a row.
type ChangeKind uint8

const (
	Added   ChangeKind = 1
	Changed ChangeKind = 2
	Removed ChangeKind = 3
	// StatusChanged: the status of a section changed; Key is "", Old and New are
	// the two states encoded by the store.
	StatusChanged ChangeKind = 4
)

// Change is one entry of the change log. Seq is its number, from 1, without gaps.
type Change struct {
	Seq             uint64
	Host            identity.HostID
	Section         facts.ID
	Kind            ChangeKind
	Key             string
	Old, New        []byte    // rows in their encoding; nil where there is none
	Observed        time.Time // agent's clock
	Received        time.Time // ours
	Epoch, BatchSeq uint64
}

// SectionState is the state of a section of a host, beside its rows.
type SectionState struct {
	Section    facts.ID
	Status     facts.Status
	Reason     string
	ObservedAt time.Time // last reading, successful or not
	KnownAt    time.Time // last reading that gave the rows
	Digest     facts.Digest
	Rows       int
}

// Delivery is a batch with the host whose certificate sent it.
type Delivery struct {
	Host     identity.HostID
	Batch    wire.Batch
	Received time.Time
}

// Outcome of one delivery.
type Outcome struct {
	Duplicate bool
	Resync    []facts.ID // sections whose digest does not match
	Err       error      // this delivery alone was refused
}

/*
type Config struct { Path string; Now func() time.Time; Log *slog.Logger; NoSync bool }
func Open(Config) (*Store, error)      // creates aside + rename; refuses when another process holds the file, naming the pid
func (s *Store) Close() error
func (s *Store) View(func(*Tx) error) error
func (s *Store) Update(func(*Tx) error) error
func (s *Store) Apply([]Delivery) ([]Outcome, error)  // one transaction; calls nothing outside
func (s *Store) Changed() <-chan struct{}  // closed at the next commit that added changes (broadcast)

tables for other packages (enroll, auth, cmdb, inventory, alert):
func (tx *Tx) Table(name string) Table
func (t Table) Get(key []byte) ([]byte, error)         // nil, nil when absent; valid during the transaction
func (t Table) Put(key, value []byte) error
func (t Table) Delete(key []byte) error
func (t Table) Scan(prefix []byte, fn func(key, value []byte) error) error   // ordered; store.Stop ends early
func (t Table) ScanFrom / ScanReverse
func (t Table) Clear() error
func Key(parts ...[]byte) []byte   // length-prefixed parts

facts:
func (tx *Tx) Host(id) (Host, bool, error); PutHost(Host) error; Hosts(fn) error
func (tx *Tx) Rows(host, section, fn func(key string, data []byte) error) error
func (tx *Tx) Row(host, section, key) ([]byte, error)
func (tx *Tx) Sections(host) ([]SectionState, error)
func (tx *Tx) Changes(after uint64, limit int, fn func(Change) error) error       // from the log in order
func (tx *Tx) HostChanges(host, ChangeQuery{After uint64; From, To time.Time; Section; Limit; Newest first}, fn)
func (tx *Tx) LastChange() uint64
*/
