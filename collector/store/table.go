package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	bolt "go.etcd.io/bbolt"

	"atalaya/shared/facts"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumSize is the length of the checksum behind each value.
const sumSize = 4

// How full pages are left when they are split: full where keys come in ascending runs
// (hosts, items, the change log), which half-full pages, the default of bbolt, would
// spread over twice the space; half full where keys come in between or records grow,
// which full pages would have split again and again.
const (
	fillAscending = 0.9
	fillBetween   = 0.5
)

// catalogue is the bucket with the number and the sum of the records of each table.
const catalogue = "store.tables"

// Tx is a transaction: a consistent state to read and, in Update, to write. It
// belongs to one goroutine and ends with the function it was given to.
type Tx struct {
	store      *Store
	b          *bolt.Tx
	tables     map[string]*table
	lastChange uint64               // the newest change this transaction logged, 0: none
	groups     []group              // logged, not yet written
	dated      facts.Time           // the clock was set back to it, which records of hosts do not know yet; 0: it was not
	edits      []haveEdit           // of the inverted index, not yet written
	met        map[string]knownItem // items that this transaction told, see knownItems
	words      []uint64             // of hostsWith, used again
	lacks      bool                 // rows were left out, or changes cut, because items are lost
	refills    bool                 // views have to be made anew
}

// Table is a named, ordered map from keys to values within a transaction. The zero
// Table is not usable.
type Table struct{ *table }

type table struct {
	tx     *Tx
	name   string
	bucket *bolt.Bucket // nil while the table is empty and was not written
	cursor *bolt.Cursor // of find
	err    error        // why the table cannot be used
	dirty  bool
	total  tableTotal // loaded by the first write

	// Of this transaction: the greatest key, records put behind it, and records put
	// between others or grown.
	last          []byte
	behind, inner int
}

// Table returns the table of that name; it comes into being with its first record.
// Names begin with the package they belong to: "cmdb.items".
func (tx *Tx) Table(name string) Table {
	if t, ok := tx.tables[name]; ok {
		return Table{t}
	}
	t := &table{tx: tx, name: name}
	t.bucket, t.err = tx.bucket(name)
	if tx.tables == nil {
		tx.tables = map[string]*table{}
	}
	tx.tables[name] = t
	return Table{t}
}

func (tx *Tx) bucket(name string) (b *bolt.Bucket, err error) {
	defer guard(faults(), &err, name, nil)
	return tx.b.Bucket([]byte(name)), nil
}

// Key joins parts to a key such that no two lists of parts give the same key: each
// part is preceded by its length. Keys that share their first parts are neighbours.
func Key(parts ...[]byte) []byte {
	var k []byte
	for _, p := range parts {
		k = binary.AppendUvarint(k, uint64(len(p)))
		k = append(k, p...)
	}
	return k
}

// checksum covers the table and the key too, so that a value that turns up in
// another place is not taken for a good one.
func checksum(table string, key, value []byte) uint32 {
	c := ^uint32(0) // by hand: crc32.Update would have name and length allocated for each record
	for i := range len(table) {
		c = castagnoli[byte(c)^table[i]] ^ c>>8
	}
	for n, i := uint32(len(key)), 0; i < 4; n, i = n>>8, i+1 {
		c = castagnoli[byte(c)^byte(n)] ^ c>>8
	}
	c = crc32.Update(^c, castagnoli, key)
	return crc32.Update(c, castagnoli, value)
}

// unseal verifies a stored value and returns it without its checksum.
func unseal(table string, key, stored []byte) ([]byte, error) {
	n := len(stored) - sumSize
	if n < 0 {
		return nil, &CorruptError{Table: table, Key: bytes.Clone(key), Detail: "value is too short"}
	}
	if checksum(table, key, stored[:n]) != binary.LittleEndian.Uint32(stored[n:]) {
		return nil, &CorruptError{Table: table, Key: bytes.Clone(key), Detail: "checksum does not match"}
	}
	return stored[:n:n], nil
}

// Get returns the value of key, nil when there is none. The slice is valid during
// the transaction and must not be changed.
func (t Table) Get(key []byte) (value []byte, err error) {
	if t.bucket == nil {
		return nil, t.err
	}
	defer guard(faults(), &err, t.name, key)
	stored := t.find(key)
	if stored == nil {
		return nil, nil
	}
	return unseal(t.name, key, stored)
}

// find is bolt's Get. Where nothing is written one cursor serves all calls: a new one for
// each is most of what a list of hosts leaves for the collector of garbage.
func (t *table) find(key []byte) []byte {
	if t.tx.b.Writable() {
		return t.bucket.Get(key)
	}
	if t.cursor == nil {
		t.cursor = t.bucket.Cursor()
	}
	if k, v := t.cursor.Seek(key); bytes.Equal(k, key) {
		return v
	}
	return nil
}

// Put sets the value of key. Key and value may be reused after it returns.
func (t Table) Put(key, value []byte) (err error) {
	if err := t.open(); err != nil {
		return err
	}
	defer guard(faults(), &err, t.name, key)
	old := t.bucket.Get(key)
	if old != nil {
		t.forget(old)
	}
	t.place(key, len(value)+sumSize-len(old), old == nil)
	stored := make([]byte, len(value), len(value)+sumSize)
	copy(stored, value)
	stored = binary.LittleEndian.AppendUint32(stored, checksum(t.name, key, value))
	t.total = t.total.plus(totalOf(stored))
	if err := t.bucket.Put(bytes.Clone(key), stored); err != nil {
		return fmt.Errorf("write table %q: %w", t.name, err)
	}
	return nil
}

// Delete removes key; a key that is not there is no error.
func (t Table) Delete(key []byte) (err error) {
	if t.bucket == nil {
		return t.err
	}
	if err := t.open(); err != nil {
		return err
	}
	defer guard(faults(), &err, t.name, key)
	old := t.bucket.Get(key)
	if old == nil {
		return nil
	}
	t.forget(old)
	if err := t.bucket.Delete(key); err != nil {
		return fmt.Errorf("write table %q: %w", t.name, err)
	}
	return nil
}

// Clear removes all records.
func (t Table) Clear() (err error) {
	if t.bucket == nil {
		return t.err
	}
	if err := t.open(); err != nil {
		return err
	}
	defer guard(faults(), &err, t.name, nil)
	if err := t.tx.b.DeleteBucket([]byte(t.name)); err != nil {
		return fmt.Errorf("clear table %q: %w", t.name, err)
	}
	t.total = tableTotal{}
	t.bucket, err = t.tx.b.CreateBucket([]byte(t.name))
	return err
}

// DeletePrefix removes the records whose keys begin with prefix.
func (t Table) DeletePrefix(prefix []byte) error {
	var keys [][]byte
	err := t.Scan(prefix, func(k, _ []byte) error {
		keys = append(keys, bytes.Clone(k))
		return nil
	})
	for _, k := range keys {
		err = errors.Join(err, t.Delete(k))
	}
	return err
}

// Count returns the number of records.
func (t Table) Count() (uint64, error) {
	if t.dirty {
		return t.total.count, nil
	}
	total, err := t.tx.total(t.name)
	return total.count, err
}

// Scan calls fn for the records whose keys begin with prefix, in ascending order. fn
// must not write to the table. ErrStop ends the scan without an error.
func (t Table) Scan(prefix []byte, fn func(key, value []byte) error) error {
	return t.ScanFrom(prefix, prefix, fn)
}

// ScanFrom is Scan from the first key that is not below from.
func (t Table) ScanFrom(prefix, from []byte, fn func(key, value []byte) error) error {
	if t.bucket == nil {
		return t.err
	}
	if bytes.Compare(from, prefix) < 0 {
		from = prefix
	}
	c := t.bucket.Cursor()
	return t.walk(prefix, func() ([]byte, []byte) { return c.Seek(from) }, c.Next, fn)
}

// ScanReverse calls fn for the records whose keys begin with prefix and are below
// before, in descending order; before nil is the end of the prefix.
func (t Table) ScanReverse(prefix, before []byte, fn func(key, value []byte) error) error {
	if t.bucket == nil {
		return t.err
	}
	if before == nil {
		before = PrefixEnd(prefix)
	}
	c := t.bucket.Cursor()
	first := func() ([]byte, []byte) {
		if before == nil {
			return c.Last()
		}
		if k, _ := c.Seek(before); k == nil {
			return c.Last()
		}
		return c.Prev()
	}
	return t.walk(prefix, first, c.Prev, fn)
}

// walk steps a cursor through the prefix, verifying each value.
func (t *table) walk(prefix []byte, first, next func() ([]byte, []byte), fn func(key, value []byte) error) error {
	step := func(move func() ([]byte, []byte)) (k, v []byte, err error) {
		defer guard(faults(), &err, t.name, prefix)
		if k, v = move(); k == nil || !bytes.HasPrefix(k, prefix) {
			return nil, nil, nil
		}
		v, err = unseal(t.name, k, v)
		return k, v, err
	}
	for k, v, err := step(first); ; k, v, err = step(next) {
		if err != nil || k == nil {
			return err
		}
		if err := fn(k, v); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// PrefixEnd returns the least key above all that begin with prefix, nil when there is none.
func PrefixEnd(prefix []byte) []byte {
	k := bytes.Clone(prefix)
	for i := len(k) - 1; i >= 0; i-- {
		if k[i]++; k[i] != 0 {
			return k[:i+1]
		}
	}
	return nil
}

// open readies the table for writing.
func (t *table) open() (err error) {
	if t.dirty || t.err != nil {
		return t.err
	}
	defer guard(faults(), &err, t.name, nil)
	if t.total, err = t.tx.total(t.name); err != nil {
		return err
	}
	if t.bucket, err = t.tx.b.CreateBucketIfNotExists([]byte(t.name)); err != nil {
		return fmt.Errorf("write table %q: %w", t.name, err)
	}
	t.last, _ = t.bucket.Cursor().Last()
	t.dirty = true
	return nil
}

// place notes where a record goes and chooses how full its pages are to be.
func (t *table) place(key []byte, grows int, fresh bool) {
	switch {
	case fresh && bytes.Compare(key, t.last) > 0:
		t.behind++
		t.last = bytes.Clone(key)
	case grows > 0:
		t.inner++
	}
	t.bucket.FillPercent = fillAscending
	if t.inner > t.behind {
		t.bucket.FillPercent = fillBetween
	}
}

// forget takes a record that is going away out of the sum.
func (t *table) forget(stored []byte) { t.total = t.total.minus(totalOf(stored)) }

// recount makes number and sum anew from what is stored. A record is taken out of the
// sum by its checksum, which may be what is damaged.
func (t *table) recount() (err error) {
	if err := t.open(); err != nil {
		return err
	}
	defer guard(faults(), &err, t.name, nil)
	t.total = tableTotal{}
	return t.bucket.ForEach(func(_, stored []byte) error {
		t.total = t.total.plus(totalOf(stored))
		return nil
	})
}

// flushTables writes the sums of the tables that were written.
func (tx *Tx) flushTables() (err error) {
	defer guard(faults(), &err, catalogue, nil)
	for name, t := range tx.tables {
		if !t.dirty {
			continue
		}
		b, err := tx.b.CreateBucketIfNotExists([]byte(catalogue))
		if err != nil {
			return fmt.Errorf("write table sums: %w", err)
		}
		if err := b.Put([]byte(name), t.total.seal(name)); err != nil {
			return fmt.Errorf("write table sums: %w", err)
		}
	}
	return nil
}
