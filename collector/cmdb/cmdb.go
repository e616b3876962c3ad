// Package cmdb keeps the configuration items and their relations: what there is, what
// it runs on, what it is part of, and what is hit when something fails.
//
// Each row of facts says, by a pure function (derive_*.go), that an item is there and
// how it is related (relations.go). Items of one host, and all relations, are made
// from the store's facts and log when they are asked for (see memory): they are
// remembered with first and last seen as far back as the log goes, and cost nothing
// to keep. Of items that the fleet shares a view over the change log counts the rows
// that say they are there; the same log gives the same tables, however it is cut.
// Hosts are items from their enrolment on and live in the store itself.
//
// Ids are stable texts: host/<host>, operating_system/<host>, service/<host>/<name>,
// network_address/<host>/<address>, software/<source>/<name>, where <host> is the
// host's id.
package cmdb

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// The tables of the view.
const (
	tableShared = "cmdb.shared" // class and name -> sharedRecord
	tableCounts = "cmdb.counts" // class -> number of rows that say an item of one host
)

// View answers for the CMDB. Its methods may be called from any goroutine.
type View struct{ store *store.Store }

// New returns the view over a store. It answers at once with what Run has folded so far.
func New(s *store.Store) *View { return &View{s} }

// Run keeps the view up to date until ctx ends.
func (v *View) Run(ctx context.Context) error { return v.store.Follow(ctx, follower()) }

// CatchUp folds all that is in the change log now.
func (v *View) CatchUp(ctx context.Context) error { return v.store.CatchUp(ctx, follower()) }

// Rebuild builds the view anew. When the log was pruned, first seen moves to the
// moment at which it begins.
func (v *View) Rebuild(ctx context.Context) error { return v.store.Rebuild(ctx, follower()) }

func follower() store.Follower {
	return store.Follower{Name: "cmdb", Version: 2, Fold: fold, Sections: slices.Collect(maps.Keys(derivations)), KeysOnly: []facts.ID{facts.Packages},
		Tables: []string{tableShared, tableCounts, "cmdb.items", "cmdb.support", "cmdb.incoming"}}
}

// itemRecord is what is remembered of an item.
type itemRecord struct {
	First facts.Time
	Gone  facts.Time // since when no row says that it is there; 0: it is
}

// sharedRecord is what is kept of an item that the fleet shares.
type sharedRecord struct {
	itemRecord
	rows uint64 // that say it is there
}

func (r sharedRecord) encode() []byte {
	b := binary.AppendVarint(nil, int64(r.First))
	b = binary.AppendVarint(b, int64(r.Gone))
	return binary.AppendUvarint(b, r.rows)
}

func decodeShared(key, b []byte) (r sharedRecord, err error) {
	first, n := binary.Varint(b)
	gone, m := binary.Varint(b[max(n, 0):])
	rows, k := binary.Uvarint(b[max(n, 0)+max(m, 0):])
	if n <= 0 || m <= 0 || k <= 0 {
		return r, &store.CorruptError{Table: tableShared, Key: bytes.Clone(key), Detail: "not decodable"}
	}
	return sharedRecord{itemRecord{facts.Time(first), facts.Time(gone)}, rows}, nil
}

// sharedKey is the key of a shared item.
func sharedKey(it item) []byte { return append([]byte{byte(it.class)}, it.name...) }

// folding is one run of fold; what it changes is written once.
type folding struct {
	tx     *store.Tx
	shared map[string]sharedRecord
	counts map[Class]int64
}

// fold takes changes in, one after the other.
func fold(tx *store.Tx, changes []store.Change) error {
	f := folding{tx, map[string]sharedRecord{}, map[Class]int64{}}
	for _, c := range changes {
		derive, ok := derivations[c.Section]
		if !ok || c.Kind > store.Removed {
			continue
		}
		if c.Section == facts.Packages {
			if err := f.countSoftware(c); err != nil {
				return err
			}
			continue
		}
		old, new, err := observations(derive, c)
		if err != nil {
			return fmt.Errorf("change %d: %w", c.Seq, err)
		}
		for _, o := range old {
			if err := f.count(o.item, c, -1); err != nil {
				return err
			}
		}
		for _, o := range new {
			if err := f.count(o.item, c, 1); err != nil {
				return err
			}
		}
	}
	return f.flush()
}

// countSoftware counts a row of a package without decoding it, since there are more of
// them than of all others: the item is named by the beginning of the row's key, so that
// a row that changed says the same as before.
func (f folding) countSoftware(c store.Change) error {
	source, rest, _ := strings.Cut(c.Key, "\x00")
	name, _, _ := strings.Cut(rest, "\x00")
	it := item{class: Software, name: source + "/" + name}
	switch c.Kind {
	case store.Added:
		return f.count(it, c, 1)
	case store.Removed:
		return f.count(it, c, -1)
	}
	return nil
}

// observations derives what a row said before a change and says after it, without
// what both say.
func observations(derive func(identity.HostID, facts.Row) []observation, c store.Change) (old, new []observation, err error) {
	if old, err = observe(derive, c, c.Old); err != nil {
		return nil, nil, err
	}
	if new, err = observe(derive, c, c.New); err != nil {
		return nil, nil, err
	}
	gone := slices.DeleteFunc(slices.Clone(old), func(o observation) bool { return says(new, o) })
	come := slices.DeleteFunc(slices.Clone(new), func(o observation) bool { return says(old, o) })
	return gone, come, nil
}

func observe(derive func(identity.HostID, facts.Row) []observation, c store.Change, data []byte) ([]observation, error) {
	if data == nil {
		return nil, nil
	}
	row, err := wire.DecodeRow(c.Section, data)
	if err != nil {
		return nil, err
	}
	return derive(c.Host, row), nil
}

// says reports whether one of the observations is of the same item and relation.
func says(list []observation, o observation) bool {
	for _, p := range list {
		if p.item == o.item && p.relation == o.relation && p.target == o.target {
			return true
		}
	}
	return false
}

// count notes that one row more, or less, says that an item is there.
func (f folding) count(it item, c store.Change, rows int64) error {
	if !it.class.shared() {
		f.counts[it.class] += rows
		return nil
	}
	key := sharedKey(it)
	rec, ok := f.shared[string(key)]
	if !ok {
		var err error
		if rec, err = readShared(f.tx, key); err != nil {
			return err
		}
	}
	at := facts.TimeOf(c.Received)
	switch {
	case rows < 0 && rec.rows > 0:
		if rec.rows--; rec.rows == 0 {
			rec.Gone = at
		}
	case rows > 0:
		if rec.First == 0 {
			rec.First = at
		}
		rec.rows++
		rec.Gone = 0
	}
	f.shared[string(key)] = rec
	return nil
}

func (f folding) flush() error {
	for _, k := range slices.Sorted(maps.Keys(f.shared)) {
		if err := f.tx.Table(tableShared).Put([]byte(k), f.shared[k].encode()); err != nil {
			return err
		}
	}
	for class, n := range f.counts {
		was, err := readCount(f.tx, class)
		if err != nil {
			return err
		}
		if err := f.tx.Table(tableCounts).Put([]byte{byte(class)}, binary.AppendVarint(nil, was+n)); err != nil {
			return err
		}
	}
	return nil
}

func readCount(tx *store.Tx, class Class) (int64, error) {
	v, err := tx.Table(tableCounts).Get([]byte{byte(class)})
	n, _ := binary.Varint(v)
	return n, err
}

func readShared(tx *store.Tx, key []byte) (sharedRecord, error) {
	v, err := tx.Table(tableShared).Get(key)
	if err != nil || v == nil {
		return sharedRecord{}, err
	}
	return decodeShared(key, v)
}
