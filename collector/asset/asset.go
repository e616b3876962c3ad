// Package asset keeps what people declare about things they own: machines with an
// agent, and those that have none or not yet (planned, in stock, monitors, printers).
// Agents never write here; what a host observes stands beside it in the facts.
//
// The truth is one log in the state file, an entry for each change of an asset with
// who, when, old and new. It is never pruned. Records, keys and the index of the log by
// asset are made from it and can be made anew, so that damage to one of them costs
// nothing; the state at any moment is the present with the entries since then undone.
//
// Values are text in one canonical form for each type of field (see Field), so that two
// equal values are the same text. The package starts no goroutine but that of Run.
package asset

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// The tables. Those of tableLog are the truth, the others are made from it; their
// prefix is among the views that the store repairs.
const (
	tableLog     = "asset.log"      // number -> Change as JSON
	tableRecords = "assets.records" // asset -> Record as JSON
	tableKeys    = "assets.keys"    // kind of key, its folded value, asset -> nothing
	tableByAsset = "assets.log_by"  // asset, number of a change -> nothing
	tableFields  = "assets.fields"  // name of a custom field -> Field as JSON

	viewName    = "assets"
	viewVersion = 1 // of the tables that are made from the log
)

// What callers branch on.
var (
	// ErrNotFound: no asset, host or field of that name.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: a value, name or file that cannot be taken.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: the asset is not in a state that allows it: a lock, a key that another
	// has, a step of the life cycle that is not one.
	ErrConflict = errors.New("conflict")
	// ErrRepair: records are being made anew after damage; it takes a moment.
	ErrRepair = errors.New("asset records are being made anew: try again in a moment")
)

// ID numbers an asset, from 1, never reused. Zero is none.
type ID uint32

// String gives the number as people write it: A12.
func (id ID) String() string { return "A" + strconv.FormatUint(uint64(id), 10) }

// ParseID reads the number of an asset; false: it is none.
func ParseID(s string) (ID, bool) {
	if len(s) < 2 || s[0] != 'A' && s[0] != 'a' {
		return 0, false
	}
	n, err := strconv.ParseUint(s[1:], 10, 32)
	return ID(n), err == nil && n > 0
}

func idKey(id ID) []byte { return binary.BigEndian.AppendUint32(nil, uint32(id)) }

func seqKey(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }

// Record is what is declared of an asset.
type Record struct {
	ID        ID                `json:"-"`
	Values    map[string]string `json:"values,omitempty"` // by name of the field, canonical; absent: not declared
	Locks     map[string]Lock   `json:"locks,omitempty"`  // by name of the field
	AddedAt   facts.Time        `json:"added_at"`
	ChangedAt facts.Time        `json:"changed_at"`
	ChangedBy string            `json:"changed_by,omitempty"`
}

// Lock keeps a field from edits and imports.
type Lock struct {
	By  string     `json:"by"`
	At  facts.Time `json:"at"`
	Why string     `json:"why,omitempty"`
}

// Host returns the host that the asset is; false: none.
func (r Record) Host() (identity.HostID, bool) {
	id, err := identity.ParseHostID(r.Values[FieldHost])
	return id, err == nil
}

// Label is the asset as messages name it: its number and what people know it by.
func (r Record) Label() string {
	for _, name := range []string{FieldTag, FieldName, FieldSerial} {
		if v := r.Values[name]; v != "" {
			return r.ID.String() + " (" + v + ")"
		}
	}
	return r.ID.String()
}

// Kind says what a Change did.
type Kind string

// The kinds of changes.
const (
	Added    Kind = "added"
	Changed  Kind = "changed"
	Removed  Kind = "removed"
	Locked   Kind = "locked"
	Unlocked Kind = "unlocked"
	Defined  Kind = "defined"   // a custom field; Asset is zero
	Forgot   Kind = "forgotten" // a custom field; Asset is zero
	Lost     Kind = "lost"      // stands where damage took a change, no earlier than that was
)

// Change is an entry of the log: what one transaction did to one asset.
type Change struct {
	Seq    uint64        `json:"-"`
	Asset  ID            `json:"asset,omitempty"`
	At     facts.Time    `json:"at"` // by the collector's clock, never before the entry before
	By     string        `json:"by"`
	Kind   Kind          `json:"kind"`
	Note   string        `json:"note,omitempty"`   // reason, or the file of an import
	Fields []FieldChange `json:"fields,omitempty"` // in the order of Fields
	State  *Record       `json:"state,omitempty"`  // of the newest that is Lost: the record as of the repair
}

// FieldChange is what became of one field; empty text is "not declared".
type FieldChange struct {
	Field string `json:"field"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
	Lock  *Lock  `json:"lock,omitempty"` // that was taken away
}

// Book is the asset records of a state file. Its methods may be called from any goroutine.
type Book struct{ store *store.Store }

// New returns the book of a state file.
func New(s *store.Store) *Book { return &Book{s} }

// view runs fn on records that are whole.
func (b *Book) view(fn func(*store.Tx) error) error {
	return b.store.View(func(tx *store.Tx) error {
		if err := whole(tx); err != nil {
			return err
		}
		return fn(tx)
	})
}

// whole refuses records that damage took something of, until CatchUp has mended them.
func whole(tx *store.Tx) error {
	version, err1 := tx.ViewVersion(viewName)
	lines, err2 := tx.Table(tableLog).Count()
	indexed, err3 := tx.Table(tableByAsset).Count()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if version == viewVersion && lines == indexed || lines == 0 && indexed == 0 { // or there is nothing yet
		return nil
	}
	return ErrRepair
}

func readRecord(tx *store.Tx, id ID) (Record, bool, error) {
	v, err := tx.Table(tableRecords).Get(idKey(id))
	if err != nil || v == nil {
		return Record{}, false, err
	}
	r, err := decodeRecord(id, v)
	return r, err == nil, err
}

func decodeRecord(id ID, v []byte) (Record, error) {
	r := Record{ID: id}
	if err := json.Unmarshal(v, &r); err != nil {
		return r, &store.CorruptError{Table: tableRecords, Key: idKey(id), Detail: err.Error()}
	}
	return r, nil
}

// Each calls fn for all assets from a number on, in the order of their numbers.
// store.ErrStop ends it early.
func Each(tx *store.Tx, from ID, fn func(Record) error) error {
	if err := whole(tx); err != nil {
		return err
	}
	return tx.Table(tableRecords).ScanFrom(nil, idKey(from), func(k, v []byte) error {
		r, err := decodeRecord(ID(binary.BigEndian.Uint32(k)), v)
		if err != nil {
			return err
		}
		return fn(r)
	})
}

// The keys by which assets are found.
const (
	keyTag    = "tag"
	keySerial = "serial"
	keyName   = "name"
	keyHost   = "host"
)

var keyFields = []struct{ kind, field string }{
	{keyTag, FieldTag}, {keySerial, FieldSerial}, {keyName, FieldName}, {keyHost, FieldHost},
}

func foldKey(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// byKey returns the assets that have a value in the field of that kind.
func byKey(tx *store.Tx, kind, value string) (ids []ID, err error) {
	if value = foldKey(value); value == "" {
		return nil, nil
	}
	err = tx.Table(tableKeys).Scan(store.Key([]byte(kind), []byte(value)), func(k, _ []byte) error {
		if len(k) < 4 {
			return &store.CorruptError{Table: tableKeys, Key: k, Detail: "wrong length"}
		}
		ids = append(ids, ID(binary.BigEndian.Uint32(k[len(k)-4:])))
		return nil
	})
	return ids, err
}

// OfHost returns the asset that a host is; false: none is linked.
func OfHost(tx *store.Tx, host identity.HostID) (Record, bool, error) {
	if err := whole(tx); err != nil {
		return Record{}, false, err
	}
	ids, err := byKey(tx, keyHost, host.String())
	if err != nil || len(ids) == 0 {
		return Record{}, false, err
	}
	return readRecord(tx, ids[0])
}

func moment(t facts.Time) time.Time { return t.Time().UTC() }

func invalidf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

func conflictf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConflict}, args...)...)
}

// ByID returns the asset of that number; false: there is none.
func ByID(tx *store.Tx, id ID) (Record, bool, error) {
	if err := whole(tx); err != nil {
		return Record{}, false, err
	}
	return readRecord(tx, id)
}
