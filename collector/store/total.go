package store

import (
	"bytes"
	"encoding/binary"
)

// tableTotal is the number of a table's records and the sum of their checksums, modulo 2^64.
// The catalogue has it of each table: a record that is missing or from another time shows.
type tableTotal struct{ count, sum uint64 }

// totalOf is the total of one record as it is stored.
func totalOf(stored []byte) tableTotal {
	t := tableTotal{count: 1}
	if n := len(stored) - sumSize; n >= 0 {
		t.sum = uint64(binary.LittleEndian.Uint32(stored[n:]))
	}
	return t
}

func (t tableTotal) plus(o tableTotal) tableTotal {
	return tableTotal{t.count + o.count, t.sum + o.sum}
}

func (t tableTotal) minus(o tableTotal) tableTotal {
	return tableTotal{t.count - o.count, t.sum - o.sum}
}

// seal returns the record of a table in the catalogue.
func (t tableTotal) seal(name string) []byte {
	v := binary.LittleEndian.AppendUint64(nil, t.count)
	v = binary.LittleEndian.AppendUint64(v, t.sum)
	return binary.LittleEndian.AppendUint32(v, checksum(catalogue, []byte(name), v))
}

// unsealTotal reads the record of a table in the catalogue.
func unsealTotal(name, stored []byte) (tableTotal, error) {
	v, err := unseal(catalogue, name, stored)
	if err != nil {
		return tableTotal{}, err
	}
	if len(v) != 16 {
		return tableTotal{}, &CorruptError{Table: catalogue, Key: bytes.Clone(name), Detail: "wrong length"}
	}
	return tableTotal{binary.LittleEndian.Uint64(v), binary.LittleEndian.Uint64(v[8:])}, nil
}

// total reads the total of a table from the catalogue.
func (tx *Tx) total(name string) (t tableTotal, err error) {
	defer guard(faults(), &err, catalogue, []byte(name))
	b := tx.b.Bucket([]byte(catalogue))
	if b == nil {
		return t, nil
	}
	stored := b.Get([]byte(name))
	if stored == nil {
		return t, nil
	}
	return unsealTotal([]byte(name), stored)
}
