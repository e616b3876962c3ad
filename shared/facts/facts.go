// Package facts defines what a host reports about itself: sections of rows, the
// canonical order of rows, their digest and the difference between two states.
//
// A section is a kind of fact (packages, users, ...). Its rows are Go structs that
// carry three things: the JSON name of each column (stable for scripts), the CBOR
// number of each column (stable for the wire and the store, never reused), and a
// Key that names the row within its section. Facts hold no clocks and no counters:
// whatever differs on every reading belongs to package metric.
//
// facts is what a host says; what the collector concludes from it is inventory.
// The sections are listed in docs/data-model.md.
package facts

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// Row is one fact. Rows are pointers to the structs of this package.
type Row interface {
	// Key names the row within its section of one host. Two readings of the same
	// thing have the same key; a changed row keeps its key.
	Key() string
}

// ID is the number of a section on the wire and in the store. Never reused.
type ID uint16

// Status says how a reading of a section ended. Nothing found and not able to
// look are different facts.
type Status uint8

// The statuses. The numbers are on the wire.
const (
	StatusUnknown     Status = 0 // never reported
	StatusOK          Status = 1 // complete
	StatusPartial     Status = 2 // some rows are missing; Reason says which
	StatusEmpty       Status = 3 // looked, and there is nothing
	StatusUnsupported Status = 4 // this system has no such thing, or we cannot read it here
	StatusDenied      Status = 5 // the rights of the agent do not suffice
	StatusFailed      Status = 6 // the reading failed; earlier rows stand
	StatusStale       Status = 7 // the rows are from an earlier reading
)

var statusNames = [...]string{"unknown", "ok", "partial", "empty", "unsupported", "denied", "failed", "stale"}

// String returns the status as it stands in JSON.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status(%d)", uint8(s))
}

// MarshalText makes statuses words in JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (s *Status) UnmarshalText(b []byte) error {
	i := slices.Index(statusNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("unknown section status %q", b)
	}
	*s = Status(i)
	return nil
}

// Complete reports whether rows that are missing from the reading are really gone.
func (s Status) Complete() bool { return s == StatusOK || s == StatusEmpty }

// Time is a moment in milliseconds since 1970 UTC; zero means not known.
// In JSON it is RFC 3339.
type Time int64

// TimeOf converts t; the zero time.Time gives zero.
func TimeOf(t time.Time) Time {
	if t.IsZero() {
		return 0
	}
	return Time(t.UnixMilli())
}

// Time converts back; zero gives the zero time.Time.
func (t Time) Time() time.Time {
	if t == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(t)).UTC()
}

// MarshalText formats t as RFC 3339, to the second where it has no fraction.
func (t Time) MarshalText() ([]byte, error) {
	return []byte(t.Time().Format("2006-01-02T15:04:05.999Z07:00")), nil
}

// UnmarshalText is the inverse of MarshalText.
func (t *Time) UnmarshalText(b []byte) error {
	v, err := time.Parse(time.RFC3339Nano, string(b))
	if err != nil {
		return err
	}
	*t = TimeOf(v)
	return nil
}

// Reading is the outcome of one look at a section.
type Reading struct {
	Section ID
	Status  Status
	Reason  string // for people: what is missing and why; with ok a column that is not known
	At      Time
	Rows    []Row // sorted by key, keys distinct
	// Revision names the state of the rows, where their probe knows it: two readings of a
	// section in one process with the same number have the same rows, which then need
	// not be compared. 0: not known.
	Revision uint64
	// Gone tells of a partial reading which rows that it lacks are gone: those of the parts
	// that were read completely. nil: none of them.
	Gone func(Row) bool
}

// Sort brings rows into canonical order (by key) and drops all but the last of
// rows with equal keys. It may change the order of the slice it is given.
func Sort(rows []Row) []Row {
	type keyed struct {
		key string
		row Row
	}
	list := make([]keyed, len(rows)) // keys are made once: making one may allocate
	for i, r := range rows {
		list[i] = keyed{r.Key(), r}
	}
	sort.SliceStable(list, func(i, j int) bool { return list[i].key < list[j].key }) // smaller in the agent than slices' copy for this type
	out := rows[:0]
	for i, k := range list {
		if i+1 == len(list) || list[i+1].key != k.key {
			out = append(out, k.row)
		}
	}
	return out
}

// Item is a row in the form in which it is compared, stored and sent: its key and
// its canonical encoding (see wire.EncodeRow).
type Item struct {
	Key  string
	Data []byte
}

// Digest identifies the content of a section: the sum modulo 2^64 of the hashes of
// its items. A sum, so that both sides keep it up to date from the changed items
// alone. It tells states of one honest host apart; it is no defence against forgery.
type Digest uint64

// Plus returns the digest of the section with the item added.
func (d Digest) Plus(it Item) Digest { return d + Digest(it.hash()) }

// Minus returns the digest of the section with the item taken out.
func (d Digest) Minus(it Item) Digest { return d - Digest(it.hash()) }

// DigestOf returns the digest of a whole section.
func DigestOf(items []Item) Digest {
	var d Digest
	for _, it := range items {
		d = d.Plus(it)
	}
	return d
}

func (it Item) hash() uint64 {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(it.Key)))
	h.Write(n[:])
	h.Write([]byte(it.Key))
	h.Write(it.Data)
	var sum [sha256.Size]byte
	return binary.BigEndian.Uint64(h.Sum(sum[:0]))
}

// Delta turns one state of a section into another.
type Delta struct {
	Put     []Item   // added or changed
	Removed []string // keys
}

// Diff returns the delta that leads from old to new. Both are sorted by key.
func Diff(old, new []Item) Delta {
	var d Delta
	for len(old) > 0 || len(new) > 0 {
		switch {
		case len(new) == 0 || len(old) > 0 && old[0].Key < new[0].Key:
			d.Removed = append(d.Removed, old[0].Key)
			old = old[1:]
		case len(old) == 0 || new[0].Key < old[0].Key:
			d.Put = append(d.Put, new[0])
			new = new[1:]
		default:
			if string(old[0].Data) != string(new[0].Data) {
				d.Put = append(d.Put, new[0])
			}
			old, new = old[1:], new[1:]
		}
	}
	return d
}

// KeyParts returns the parts of a key, for people.
func KeyParts(key string) []string {
	parts := strings.Split(strings.ReplaceAll(key, "\x00\x01", "\x01"), "\x00")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, "\x01", "\x00")
	}
	return parts
}

// key joins the parts of a compound key. Parts cannot run into each other: NUL
// separates them and is escaped inside them.
func key(parts ...string) string {
	if len(parts) == 1 {
		return parts[0]
	}
	for i, p := range parts {
		if strings.IndexByte(p, 0) >= 0 {
			parts[i] = strings.ReplaceAll(p, "\x00", "\x00\x01")
		}
	}
	return strings.Join(parts, "\x00")
}
