// Package cmdb keeps the configuration items and their relations: what there is, what
// it runs on, what it is part of, and what is hit when something fails.
//
// It is a view over the store's change log. Each row of facts says, by a pure function
// (derive_*.go), that an item is there and how it is related (relations.go); an item
// is present as long as a row says so, and is remembered with first and last seen
// afterwards. The same log gives the same tables, however it is cut. Hosts are items
// from their enrolment on and live in the store itself.
//
// Ids are stable texts: host/<host>, operating_system/<host>, service/<host>/<name>,
// network_address/<host>/<address>, software/<source>/<name>, where <host> is the
// host's id.
package cmdb

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// The tables of the view.
const (
	tableItems    = "cmdb.items"    // item key -> itemRecord as JSON
	tableSupport  = "cmdb.support"  // item key as part, host index, hash of section and row key -> support
	tableIncoming = "cmdb.incoming" // target key as part, relation, item key -> nothing
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
// oldest change that is left of an item.
func (v *View) Rebuild(ctx context.Context) error { return v.store.Rebuild(ctx, follower()) }

func follower() store.Follower {
	return store.Follower{Name: "cmdb", Version: 1, Tables: []string{tableItems, tableSupport, tableIncoming}, Fold: fold}
}

// itemRecord is what is remembered of an item.
type itemRecord struct {
	First facts.Time `json:"first"`
	Gone  facts.Time `json:"gone,omitzero"` // since when no row says that it is there; 0: it is
}

// support is what one row says of an item: that it is there, and a relation.
type support struct {
	first      facts.Time
	relation   RelationID
	target     []byte // item key
	attributes map[string]string
}

// itemKey is the short form of an item in the tables: class, host index where the
// class belongs to a host, name.
func itemKey(it item, index uint32) []byte {
	k := []byte{byte(it.class)}
	if !it.class.shared() {
		k = binary.BigEndian.AppendUint32(k, index)
	}
	return append(k, it.name...)
}

// splitKey is the inverse of itemKey.
func splitKey(tx *store.Tx, key []byte) (it item, err error) {
	bad := &store.CorruptError{Table: tableItems, Key: bytes.Clone(key), Detail: "not an item"}
	if len(key) == 0 {
		return it, bad
	}
	it.class = Class(key[0])
	rest := key[1:]
	if !it.class.shared() {
		if len(rest) < 4 {
			return it, bad
		}
		id, ok, err := tx.HostByIndex(binary.BigEndian.Uint32(rest))
		if err != nil {
			return it, err
		}
		if !ok {
			return it, bad
		}
		it.host, rest = id, rest[4:]
	}
	it.name = string(rest)
	return it, nil
}

func supportKey(key []byte, index uint32, c store.Change) []byte {
	h := sha256.New()
	binary.Write(h, binary.BigEndian, uint16(c.Section)) // a hash never fails
	h.Write([]byte(c.Key))
	k := binary.BigEndian.AppendUint32(store.Key(key), index)
	return append(k, h.Sum(nil)[:8]...)
}

// encode gives first seen, relation, target, attributes as JSON.
func (s support) encode() ([]byte, error) {
	b := binary.AppendVarint(nil, int64(s.first))
	b = append(b, byte(s.relation))
	b = binary.AppendUvarint(b, uint64(len(s.target)))
	b = append(b, s.target...)
	if len(s.attributes) == 0 {
		return b, nil
	}
	a, err := json.Marshal(s.attributes)
	return append(b, a...), err
}

func decodeSupport(key, b []byte) (s support, err error) {
	bad := &store.CorruptError{Table: tableSupport, Key: bytes.Clone(key), Detail: "not decodable"}
	first, n := binary.Varint(b)
	if n <= 0 || len(b) < n+2 {
		return s, bad
	}
	s.first, s.relation, b = facts.Time(first), RelationID(b[n]), b[n+1:]
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return s, bad
	}
	s.target, b = b[n:n+int(size)], b[n+int(size):]
	if len(b) > 0 && json.Unmarshal(b, &s.attributes) != nil {
		return s, bad
	}
	return s, nil
}

// fold takes changes in, one after the other.
func fold(tx *store.Tx, changes []store.Change) error {
	indexes := map[identity.HostID]uint32{}
	for _, c := range changes {
		derive, ok := derivations[c.Section]
		if !ok || c.Kind == store.StatusChanged {
			continue
		}
		index, ok := indexes[c.Host]
		if !ok {
			h, _, err := tx.Host(c.Host)
			if err != nil {
				return err
			}
			index = h.Index
			indexes[c.Host] = index
		}
		f := folding{tx, index, c}
		if err := f.fold(derive); err != nil {
			return fmt.Errorf("change %d: %w", c.Seq, err)
		}
	}
	return nil
}

// folding is one change while it is folded.
type folding struct {
	tx     *store.Tx
	index  uint32
	change store.Change
}

func (f folding) fold(derive func(identity.HostID, facts.Row) []observation) error {
	old, err := f.observe(derive, f.change.Old)
	if err != nil {
		return err
	}
	new, err := f.observe(derive, f.change.New)
	if err != nil {
		return err
	}
	for _, o := range old {
		if !says(new, o) {
			if err := f.withdraw(o); err != nil {
				return err
			}
		}
	}
	for _, o := range new {
		if err := f.assert(o); err != nil {
			return err
		}
	}
	return nil
}

func (f folding) observe(derive func(identity.HostID, facts.Row) []observation, data []byte) ([]observation, error) {
	if data == nil {
		return nil, nil
	}
	row, err := wire.DecodeRow(f.change.Section, data)
	if err != nil {
		return nil, err
	}
	return derive(f.change.Host, row), nil
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

func incomingKey(target []byte, r RelationID, key []byte) []byte {
	return append(append(store.Key(target), byte(r)), key...)
}

// assert notes that the row says o.
func (f folding) assert(o observation) error {
	key, at := itemKey(o.item, f.index), facts.TimeOf(f.change.Received)
	sk := supportKey(key, f.index, f.change)
	s := support{first: at, relation: o.relation, target: itemKey(o.target, f.index), attributes: o.attributes}
	v, err := f.tx.Table(tableSupport).Get(sk)
	if err != nil {
		return err
	}
	if v != nil {
		was, err := decodeSupport(sk, v)
		if err != nil {
			return err
		}
		s.first = was.first
	}
	if v, err = s.encode(); err != nil {
		return err
	}
	if err := f.tx.Table(tableSupport).Put(sk, v); err != nil {
		return err
	}
	if err := f.tx.Table(tableIncoming).Put(incomingKey(s.target, s.relation, key), nil); err != nil {
		return err
	}
	rec, known, err := readItem(f.tx, key)
	if err != nil || known && rec.Gone == 0 {
		return err
	}
	if !known {
		rec.First = at
	}
	rec.Gone = 0
	return f.putItem(key, rec)
}

// withdraw notes that the row no longer says o.
func (f folding) withdraw(o observation) error {
	key := itemKey(o.item, f.index)
	if err := f.tx.Table(tableSupport).Delete(supportKey(key, f.index, f.change)); err != nil {
		return err
	}
	target := itemKey(o.target, f.index)
	related := false
	err := eachSupport(f.tx, key, indexKey(f.index), func(_ uint32, s support) error {
		related = related || s.relation == o.relation && bytes.Equal(s.target, target)
		return nil
	})
	if err != nil {
		return err
	}
	if !related {
		if err := f.tx.Table(tableIncoming).Delete(incomingKey(target, o.relation, key)); err != nil {
			return err
		}
	}
	present := false
	err = eachSupport(f.tx, key, nil, func(uint32, support) error {
		present = true
		return store.ErrStop
	})
	if err != nil || present {
		return err
	}
	rec, known, err := readItem(f.tx, key)
	if err != nil || !known {
		return err
	}
	rec.Gone = facts.TimeOf(f.change.Received)
	return f.putItem(key, rec)
}

func (f folding) putItem(key []byte, rec itemRecord) error {
	v, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return f.tx.Table(tableItems).Put(key, v)
}

func readItem(tx *store.Tx, key []byte) (rec itemRecord, known bool, err error) {
	v, err := tx.Table(tableItems).Get(key)
	if err != nil || v == nil {
		return rec, false, err
	}
	if err := json.Unmarshal(v, &rec); err != nil {
		return rec, false, &store.CorruptError{Table: tableItems, Key: bytes.Clone(key), Detail: err.Error()}
	}
	return rec, true, nil
}

// eachSupport calls fn for what rows say of an item, with the host they are of; host
// is the key of one host, nil for all.
func eachSupport(tx *store.Tx, key, host []byte, fn func(index uint32, s support) error) error {
	prefix := store.Key(key)
	n := len(prefix)
	return tx.Table(tableSupport).Scan(append(prefix, host...), func(k, v []byte) error {
		s, err := decodeSupport(k, v)
		if err != nil {
			return err
		}
		if len(k) < n+4 {
			return &store.CorruptError{Table: tableSupport, Key: bytes.Clone(k), Detail: "too short"}
		}
		return fn(binary.BigEndian.Uint32(k[n:]), s)
	})
}

func indexKey(index uint32) []byte { return binary.BigEndian.AppendUint32(nil, index) }
