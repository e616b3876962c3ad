// Package ledger keeps what package identity concludes: a record for each host, an
// index of the facts by which hosts are found again, and the merges of hosts with what
// is needed to undo them. All of it lies in the state file, in the transaction of the
// caller, so that backups and restores take it along.
package ledger

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/identity"
	"atalaya/collector/store"
	hostid "atalaya/shared/identity"
)

// The tables of this package.
const (
	tableHosts  = "identity.hosts"  // host id -> identity.Record as JSON
	tableFacts  = "identity.facts"  // kind, value -> host ids that have it, up to maxSharers
	tableMerges = "identity.merges" // number -> Merge as JSON
)

// Hosts that have the same value.
const (
	// junkSharers is from how many hosts on a value tells nothing of either: two are a
	// machine and its copy, or one with two systems.
	junkSharers = 3
	maxSharers  = 8
)

// Record returns what is known of the identity of a host; empty when nothing is.
func Record(tx *store.Tx, id hostid.HostID) (r identity.Record, err error) {
	_, err = read(tx, tableHosts, id[:], &r)
	return r, err
}

// put writes a record and brings the index of facts up to date.
func put(tx *store.Tx, id hostid.HostID, was []hostid.Fact, r identity.Record) error {
	for _, f := range was {
		if !slices.Contains(r.Facts, f) {
			if err := share(tx, f, id, false); err != nil {
				return err
			}
		}
	}
	for _, f := range r.Facts {
		if !slices.Contains(was, f) {
			if err := share(tx, f, id, true); err != nil {
				return err
			}
		}
	}
	return write(tx, tableHosts, id[:], r)
}

// The index of facts is a view over the records.
const (
	viewName    = "identity"
	viewVersion = 1
)

// CatchUp makes the index of facts anew where damage to the state file took something of
// it or of the records. It is to be called when the file is opened and after it was mended.
func CatchUp(s *store.Store) error {
	whole := false
	err := s.View(func(tx *store.Tx) error {
		version, err := tx.ViewVersion(viewName)
		whole = version == viewVersion
		return err
	})
	if err != nil || whole {
		return err
	}
	return s.Update(func(tx *store.Tx) error {
		if err := tx.Table(tableFacts).Clear(); err != nil {
			return err
		}
		err := Each(tx, func(id hostid.HostID, r identity.Record) error {
			for _, f := range r.Facts {
				if err := share(tx, f, id, true); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return tx.SetViewVersion(viewName, viewVersion)
	})
}

// change reads a record, has it changed, and writes it.
func change(tx *store.Tx, id hostid.HostID, fn func(*identity.Record)) error {
	r, err := Record(tx, id)
	if err != nil {
		return err
	}
	was := slices.Clone(r.Facts)
	fn(&r)
	return put(tx, id, was, r)
}

func factKey(f hostid.Fact) []byte { return append([]byte{byte(f.Kind)}, f.Value...) }

// share notes that a host has a value, or has it no more.
func share(tx *store.Tx, f hostid.Fact, id hostid.HostID, has bool) error {
	if f.Junk() != "" {
		return nil
	}
	ids, err := sharers(tx, f)
	if err != nil {
		return err
	}
	i := slices.Index(ids, id)
	switch {
	case has && i < 0 && len(ids) < maxSharers:
		ids = append(ids, id)
	case !has && i >= 0:
		ids = slices.Delete(ids, i, i+1)
	default:
		return nil
	}
	if len(ids) == 0 {
		return tx.Table(tableFacts).Delete(factKey(f))
	}
	var v []byte
	for _, id := range ids {
		v = append(v, id[:]...)
	}
	return tx.Table(tableFacts).Put(factKey(f), v)
}

// sharers are the hosts that have a value.
func sharers(tx *store.Tx, f hostid.Fact) (ids []hostid.HostID, err error) {
	v, err := tx.Table(tableFacts).Get(factKey(f))
	for id := range slices.Chunk(v, len(hostid.HostID{})) {
		if len(id) == len(hostid.HostID{}) {
			ids = append(ids, hostid.HostID(id))
		}
	}
	return ids, err
}

// judge says which values are junk: those that no machine is known by, and those that
// many of this fleet have. A failure to read counts as nothing learned.
func judge(tx *store.Tx) identity.Judge {
	return func(f hostid.Fact) string {
		if why := f.Junk(); why != "" {
			return why
		}
		if ids, err := sharers(tx, f); err == nil && len(ids) >= junkSharers {
			return fmt.Sprintf("%d hosts or more of this fleet have it", len(ids))
		}
		return ""
	}
}

// Greet judges a machine that begins a session as a host and notes what comes of it.
func Greet(tx *store.Tx, id hostid.HostID, g identity.Greeting) (identity.Answer, error) {
	r, err := Record(tx, id)
	if err != nil {
		return identity.Answer{}, err
	}
	was := slices.Clone(r.Facts)
	a := r.Greet(g, judge(tx))
	if !a.Changed {
		return a, nil
	}
	return a, put(tx, id, was, r)
}

// ErrNoCopy: no machine was refused as a copy of the host.
var ErrNoCopy = errors.New("no machine was refused as a copy of this host")

// Accept gives a host to the machine that was refused last, and says which that is.
func Accept(tx *store.Tx, id hostid.HostID, by string, at time.Time) (text string, err error) {
	done := false
	err = change(tx, id, func(r *identity.Record) {
		if done = r.Accept(at, by); done {
			text = r.Events[len(r.Events)-1].Text
		}
	})
	if err == nil && !done {
		err = ErrNoCopy
	}
	return text, err
}

// Compare says whether two hosts may be one machine.
func Compare(tx *store.Tx, a, b hostid.HostID) (identity.Verdict, error) {
	x, err1 := Record(tx, a)
	y, err2 := Record(tx, b)
	if err := errors.Join(err1, err2); err != nil {
		return identity.Verdict{}, err
	}
	return identity.SameMachine(x.Facts, y.Facts, judge(tx)), nil
}

// Weigh says what each fact of a host counts.
func Weigh(tx *store.Tx, facts []hostid.Fact) []identity.Line {
	return identity.Compare(facts, facts, judge(tx)).Lines
}

// Note adds an event to a host.
func Note(tx *store.Tx, id hostid.HostID, e identity.Event) error {
	return change(tx, id, func(r *identity.Record) { r.Add(e) })
}

func read(tx *store.Tx, table string, key []byte, v any) (found bool, err error) {
	b, err := tx.Table(table).Get(key)
	if err != nil || b == nil {
		return false, err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, &store.CorruptError{Table: table, Key: slices.Clone(key), Detail: err.Error()}
	}
	return true, nil
}

func write(tx *store.Tx, table string, key []byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode record of %q: %w", table, err)
	}
	return tx.Table(table).Put(key, b)
}

func mergeKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func mergeNumber(key []byte) uint64 {
	if len(key) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(key)
}

// Each calls fn for the hosts of whose identity something is known, removed ones too, in
// the order of their numbers. store.ErrStop ends it.
func Each(tx *store.Tx, fn func(hostid.HostID, identity.Record) error) error {
	return tx.Table(tableHosts).Scan(nil, func(k, v []byte) error {
		var r identity.Record
		if len(k) != len(hostid.HostID{}) {
			return &store.CorruptError{Table: tableHosts, Key: slices.Clone(k), Detail: "wrong length"}
		}
		if err := json.Unmarshal(v, &r); err != nil {
			return &store.CorruptError{Table: tableHosts, Key: slices.Clone(k), Detail: err.Error()}
		}
		return fn(hostid.HostID(k), r)
	})
}
