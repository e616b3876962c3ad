package store

import (
	"encoding/binary"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// sectionKey is the key of what a host has of a section.
func sectionKey(index uint32, section facts.ID) []byte {
	return binary.BigEndian.AppendUint16(indexKey(index), uint16(section))
}

// Rows calls fn for the rows of a section of a host, sorted by key. data is valid
// during the transaction; wire.DecodeRow reads it. ErrStop ends it early.
func (tx *Tx) Rows(id identity.HostID, section facts.ID, fn func(key string, data []byte) error) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return err
	}
	return tx.Now().Rows(rec.Index, section, fn)
}

// Row returns one row of a host, nil when there is none.
func (tx *Tx) Row(id identity.HostID, section facts.ID, key string) ([]byte, error) {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return nil, err
	}
	return tx.Now().Row(rec.Index, section, key)
}
