package store

import (
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// ChangeKind says what happened to a row.
type ChangeKind uint8

// The kinds of changes. The numbers are in the state file.
const (
	Added   ChangeKind = 1
	Changed ChangeKind = 2
	Removed ChangeKind = 3
	// StatusChanged: the status of a section changed; Key is empty, Old and New are
	// the two as DecodeStatus reads them.
	StatusChanged ChangeKind = 4
	// Baseline: the first reading of a section, in one entry for its Rows rows. New is
	// the status. Followers get an Added for each row instead.
	Baseline ChangeKind = 5
	// Cleared: a section went away whole with its Rows rows, because its host was
	// removed. Followers get a Removed for each row instead.
	Cleared ChangeKind = 6
)

var changeNames = [...]string{"", "added", "changed", "removed", "status", "baseline", "cleared"}

// String returns the kind as it stands in JSON.
func (k ChangeKind) String() string {
	if int(k) < len(changeNames) {
		return changeNames[k]
	}
	return "unknown"
}

// MarshalText makes kinds words in JSON.
func (k ChangeKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Change is one entry of the change log. Seq is its number, from 1, without gaps.
// Prune takes the oldest entries out.
type Change struct {
	Seq              uint64
	Host             identity.HostID
	Section          facts.ID
	Kind             ChangeKind
	Key              string
	Old, New         []byte    // rows in their encoding; nil where there is none
	OldItem, NewItem uint32    // numbers of the items that these rows are of; 0: of the host's own
	Observed         time.Time // agent's clock
	At               time.Time // when it came about, by our clock; what AsOf goes by
	Received         time.Time // our clock
	Epoch, BatchSeq  uint64
	Rows             int  // of Baseline and Cleared
	Lost             bool // to damage: of Baseline what the section was before, else the row of a side or of both
}

// EncodeStatus is the form of a status in a change.
func EncodeStatus(s facts.Status, reason string) []byte {
	return append([]byte{byte(s)}, reason...)
}

// DecodeStatus is the inverse of EncodeStatus; nothing gives StatusUnknown.
func DecodeStatus(b []byte) (facts.Status, string) {
	if len(b) == 0 {
		return facts.StatusUnknown, ""
	}
	return facts.Status(b[0]), string(b[1:])
}

// SectionState is the state of a section of a host, beside its rows.
type SectionState struct {
	Section    facts.ID
	Status     facts.Status // of the last reading
	Reason     string
	ObservedAt time.Time // last reading, successful or not; agent's clock
	KnownAt    time.Time // last reading that gave the rows; agent's clock
	At         time.Time // last reading, by our clock; never goes back
	Digest     facts.Digest
	Rows       int
	Since      uint64 // number of the change that brought the status
	Doubtful   bool   // the state was set back or damaged: rows are asked for again
}

// Stale reports whether the rows are from an earlier reading than the status.
func (s SectionState) Stale() bool { return s.Rows > 0 && !carriesRows(s.Status) }

// carriesRows reports whether a reading with that status tells the rows.
func carriesRows(s facts.Status) bool {
	return s == facts.StatusOK || s == facts.StatusPartial || s == facts.StatusEmpty
}

// Delivery is a batch with the host whose certificate sent it.
type Delivery struct {
	Host     identity.HostID
	Batch    wire.Batch
	Received time.Time
}

// Outcome of one delivery.
type Outcome struct {
	Duplicate bool       // known before; nothing was changed
	Resync    []facts.ID // sections to be sent as a whole: their digest does not match, or they were damaged
	// Err refuses this delivery for good: ErrUnknownHost, ErrMalformed or ErrReused.
	Err error
	// Failed, an ErrCorrupt, says that the host's records are damaged and the delivery
	// was not taken. It must not be acknowledged: the host is to keep it until the
	// records are mended.
	Failed error
}
