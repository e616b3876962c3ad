package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// tableLost remembers what damage took: number -> Loss as JSON.
const tableLost = "store.lost"

// maxLost is how many losses are remembered, the newest.
const maxLost = 100

// Loss is what damage took of a table.
type Loss struct {
	At      time.Time `json:"at"`
	Table   string    `json:"table"`
	Records uint64    `json:"records"` // that could not be read, as far as it is known; one at least
	What    string    `json:"what"`    // they were
	Became  string    `json:"became"`  // mended, asked of the hosts again, or thrown away
}

// String is the loss as a sentence.
func (l Loss) String() string {
	return fmt.Sprintf("damage to the state file: table %s, %d or more %s: %s", l.Table, l.Records, l.Became, l.What)
}

// Lost returns what damage took, oldest first.
func (tx *Tx) Lost() (out []Loss, err error) {
	err = tx.Table(tableLost).Scan(nil, func(k, v []byte) error {
		var l Loss
		if err := json.Unmarshal(v, &l); err != nil {
			return &CorruptError{Table: tableLost, Key: k, Detail: err.Error()}
		}
		out = append(out, l)
		return nil
	})
	return out, err
}

// NoteLoss remembers that damage took records of a table. A package notes what it alone
// can tell, in the transaction that mends it.
func (tx *Tx) NoteLoss(table string, records uint64, what, became string) error {
	t := tx.Table(tableLost)
	var last uint64
	err := t.ScanReverse(nil, nil, func(k, _ []byte) error {
		if len(k) == 8 {
			last = binary.BigEndian.Uint64(k)
		}
		return ErrStop
	})
	if err != nil {
		return err
	}
	l := Loss{At: tx.store.now().UTC(), Table: table, Records: records, What: what, Became: became}
	v, err := json.Marshal(l)
	if err != nil {
		return err
	}
	tx.store.log.Error("damage to the state file: "+became, "table", table, "records", records, "what", what)
	if last >= maxLost {
		if err := t.Delete(binary.BigEndian.AppendUint64(nil, last+1-maxLost)); err != nil {
			return err
		}
	}
	return t.Put(binary.BigEndian.AppendUint64(nil, last+1), v)
}

// noteLoss is NoteLoss in the words of the table's policy.
func (tx *Tx) noteLoss(table string, records uint64) error {
	p := policyOf(table)
	return tx.NoteLoss(table, records, p.told, p.fate.verb())
}
