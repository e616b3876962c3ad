package store

import (
	"bytes"
	"encoding/binary"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// sectionKey is the prefix of the rows of a section.
func sectionKey(index uint32, section facts.ID) []byte {
	return binary.BigEndian.AppendUint16(indexKey(index), uint16(section))
}

func rowKey(index uint32, section facts.ID, key string) []byte {
	return append(sectionKey(index, section), key...)
}

// Rows calls fn for the rows of a section of a host, sorted by key. data is valid
// during the transaction; wire.DecodeRow reads it. ErrStop ends it early.
func (tx *Tx) Rows(id identity.HostID, section facts.ID, fn func(key string, data []byte) error) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return err
	}
	return tx.rows(rec.Index, section, fn)
}

func (tx *Tx) rows(index uint32, section facts.ID, fn func(key string, data []byte) error) error {
	prefix := sectionKey(index, section)
	return tx.Table(tableRows).Scan(prefix, func(k, v []byte) error {
		data, _, err := splitRow(k, v)
		if err != nil {
			return err
		}
		return fn(string(k[len(prefix):]), data)
	})
}

// Row returns one row of a host, nil when there is none.
func (tx *Tx) Row(id identity.HostID, section facts.ID, key string) ([]byte, error) {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return nil, err
	}
	data, _, err := tx.row(rec.Index, section, key)
	return data, err
}

// row also returns the number of the change that made the row what it is.
func (tx *Tx) row(index uint32, section facts.ID, key string) (data []byte, since uint64, err error) {
	k := rowKey(index, section, key)
	v, err := tx.Table(tableRows).Get(k)
	if err != nil || v == nil {
		return nil, 0, err
	}
	return splitRow(k, v)
}

func splitRow(k, v []byte) (data []byte, since uint64, err error) {
	since, n := binary.Uvarint(v)
	if n <= 0 {
		return nil, 0, &CorruptError{Table: tableRows, Key: bytes.Clone(k), Detail: "not decodable"}
	}
	return v[n:], since, nil
}

// putRow writes a row, or takes it away when data is nil.
func (tx *Tx) putRow(index uint32, section facts.ID, key string, data []byte, since uint64) error {
	k := rowKey(index, section, key)
	if data == nil {
		return tx.Table(tableRows).Delete(k)
	}
	return tx.Table(tableRows).Put(k, append(binary.AppendUvarint(nil, since), data...))
}
