package store

import (
	"bytes"

	bolt "go.etcd.io/bbolt"
)

// copyBytes is what a transaction of a copy writes.
const copyBytes = 16 << 20

// copier writes records into a fresh file.
type copier struct {
	db   *bolt.DB
	tx   *bolt.Tx
	name string
	size int
}

func (w *copier) table(name string) { w.name = name }

// bucket returns the bucket of a name in a transaction that is not yet too long.
func (w *copier) bucket(name string) (*bolt.Bucket, error) {
	if w.size > copyBytes {
		if err := w.end(); err != nil {
			return nil, err
		}
	}
	if w.tx == nil {
		tx, err := w.db.Begin(true)
		if err != nil {
			return nil, err
		}
		w.tx = tx
	}
	b, err := w.tx.CreateBucketIfNotExists([]byte(name))
	if err == nil {
		b.FillPercent = fillAscending
	}
	return b, err
}

// put writes a sealed record; false: there is one of that key.
func (w *copier) put(key, stored []byte) (fresh bool, err error) {
	b, err := w.bucket(w.name)
	if err != nil || b.Get(key) != nil {
		return false, err
	}
	w.size += len(key) + len(stored)
	return true, b.Put(bytes.Clone(key), bytes.Clone(stored))
}

func (w *copier) drop(key []byte) error {
	b, err := w.bucket(w.name)
	if err != nil {
		return err
	}
	return b.Delete(key)
}

// sum lists a table.
func (w *copier) sum(name string, t tableTotal) error {
	b, err := w.bucket(catalogue)
	if err != nil {
		return err
	}
	if _, err := w.bucket(name); err != nil {
		return err
	}
	return b.Put([]byte(name), t.seal(name))
}

// end commits what was written.
func (w *copier) end() error {
	if w.tx == nil {
		return nil
	}
	tx := w.tx
	w.tx, w.size = nil, 0
	return tx.Commit()
}
