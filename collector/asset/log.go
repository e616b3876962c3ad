package asset

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// pen writes changes within one transaction.
type pen struct {
	tx     *store.Tx
	by     string
	at     facts.Time
	seq    uint64 // of the newest change
	last   ID     // the highest number that was given
	fields catalogue
	// hosts are the numbers of hosts by their names, for imports: read once, because a host
	// is looked for in each row. Nil: hosts are looked for one by one.
	hosts map[string][]identity.HostID
}

// maxNote bounds a reason, in bytes.
const maxNote = 400

func newPen(tx *store.Tx, by string, now time.Time) (*pen, error) {
	if err := whole(tx); err != nil {
		return nil, err
	}
	p := &pen{tx: tx, by: by, at: facts.TimeOf(now)}
	err := tx.Table(tableLog).ScanReverse(nil, nil, func(k, v []byte) error {
		c, err := decodeChange(k, v)
		if err != nil {
			return err
		}
		p.seq, p.at = c.Seq, max(p.at, c.At) // a clock that was set back must not shuffle the past
		return store.ErrStop
	})
	if err != nil {
		return nil, err
	}
	err = tx.Table(tableByAsset).ScanReverse(nil, nil, func(k, _ []byte) error {
		p.last = ID(binary.BigEndian.Uint32(k))
		return store.ErrStop
	})
	if err != nil {
		return nil, err
	}
	p.fields, err = readFields(tx)
	return p, err
}

// knowHosts reads the names of all hosts.
func (p *pen) knowHosts() error {
	p.hosts = map[string][]identity.HostID{}
	return p.tx.Hosts(func(h store.Host) error {
		p.hosts[h.Name] = append(p.hosts[h.Name], h.ID)
		return nil
	})
}

func decodeChange(k, v []byte) (Change, error) {
	c := Change{}
	if err := json.Unmarshal(v, &c); err != nil || len(k) != 8 {
		return c, &store.CorruptError{Table: tableLog, Key: slices.Clone(k), Detail: "not a change"}
	}
	c.Seq = binary.BigEndian.Uint64(k)
	return c, nil
}

// write logs a change and brings the records up to it.
func (p *pen) write(c Change) (Change, error) {
	p.seq++
	c.Seq, c.At, c.By = p.seq, p.at, p.by
	if len(c.Note) > maxNote {
		return c, invalidf("the reason has %d bytes, %d at most", len(c.Note), maxNote)
	}
	if strings.ContainsFunc(c.Note, unsafe) {
		return c, invalidf("the reason holds control or invisible characters")
	}
	p.fields.order(c.Fields)
	if p.seq == 1 {
		if err := p.tx.SetViewVersion(viewName, viewVersion); err != nil {
			return c, err
		}
	}
	if err := putChange(p.tx, c.Seq, c); err != nil {
		return c, err
	}
	return c, fold(p.tx, c)
}

func putChange(tx *store.Tx, seq uint64, c Change) error {
	v, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return tx.Table(tableLog).Put(seqKey(seq), v)
}

// fold brings the tables that are made from the log up to a change.
func fold(tx *store.Tx, c Change) error {
	if err := tx.Table(tableByAsset).Put(append(idKey(c.Asset), seqKey(c.Seq)...), nil); err != nil {
		return err
	}
	switch {
	case c.Kind == Lost:
		return resume(tx, c)
	case c.Asset == 0:
		return foldField(tx, c)
	}
	old, _, err := readRecord(tx, c.Asset)
	if err != nil {
		return err
	}
	now := old.clone()
	now.apply(c)
	if err := changeKeys(tx, old, now); err != nil {
		return err
	}
	if c.Kind == Removed {
		return tx.Table(tableRecords).Delete(idKey(c.Asset))
	}
	return putRecord(tx, now)
}

func putRecord(tx *store.Tx, r Record) error {
	v, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return tx.Table(tableRecords).Put(idKey(r.ID), v)
}

func foldField(tx *store.Tx, c Change) error {
	for _, fc := range c.Fields {
		var err error
		if c.Kind == Defined {
			err = tx.Table(tableFields).Put([]byte(fc.Field), []byte(fc.New))
		} else {
			err = tx.Table(tableFields).Delete([]byte(fc.Field))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func changeKeys(tx *store.Tx, old, now Record) error {
	t := tx.Table(tableKeys)
	for _, k := range keyFields {
		was, is := foldKey(old.Values[k.field]), foldKey(now.Values[k.field])
		if was == is {
			continue
		}
		if was != "" {
			if err := t.Delete(recordKey(k.kind, was, now.ID)); err != nil {
				return err
			}
		}
		if is != "" {
			if err := t.Put(recordKey(k.kind, is, now.ID), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func recordKey(kind, folded string, id ID) []byte {
	return append(store.Key([]byte(kind), []byte(folded)), idKey(id)...)
}

func (r Record) clone() Record {
	r.Values, r.Locks = maps.Clone(r.Values), maps.Clone(r.Locks)
	if r.Values == nil {
		r.Values = map[string]string{}
	}
	if r.Locks == nil {
		r.Locks = map[string]Lock{}
	}
	return r
}

// apply makes of a record what it is after a change.
func (r *Record) apply(c Change) {
	r.ID = c.Asset
	if c.Kind == Added {
		r.AddedAt = c.At
	}
	r.ChangedAt, r.ChangedBy = c.At, c.By
	for _, fc := range c.Fields {
		switch c.Kind {
		case Locked:
			r.Locks[fc.Field] = Lock{By: c.By, At: c.At, Why: c.Note}
		case Unlocked:
			delete(r.Locks, fc.Field)
		case Removed:
			delete(r.Values, fc.Field)
		default:
			set(r.Values, fc.Field, fc.New)
		}
	}
}

// undo makes of a record what it was before a change. When it was added, and when and by
// whom it was changed before, the change does not tell.
func (r *Record) undo(c Change) {
	r.ID = c.Asset
	for _, fc := range c.Fields {
		switch c.Kind {
		case Locked:
			delete(r.Locks, fc.Field)
		case Unlocked:
			r.Locks[fc.Field] = *fc.Lock
		default:
			set(r.Values, fc.Field, fc.Old)
		}
	}
}

func set(values map[string]string, field, value string) {
	if value == "" {
		delete(values, field)
	} else {
		values[field] = value
	}
}

// CatchUp makes the records anew from the log where damage took something of them, and puts
// lines into the log where it took some of that. It is to be called when the file is opened
// and after it was mended.
func (b *Book) CatchUp() error {
	err := b.store.View(whole)
	if !errors.Is(err, ErrRepair) {
		return err
	}
	return b.store.Update(func(tx *store.Tx) error {
		if version, err := tx.ViewVersion(viewName); err != nil || version == viewVersion {
			return errors.Join(err, healLog(tx, b.store.Now()))
		}
		for _, table := range []string{tableRecords, tableKeys, tableByAsset, tableFields} {
			if err := tx.Table(table).Clear(); err != nil {
				return err
			}
		}
		seq := uint64(0)
		err := tx.Table(tableLog).Scan(nil, func(k, v []byte) error {
			c, err := decodeChange(k, v)
			if err != nil {
				return err
			}
			if seq++; c.Seq != seq {
				return &store.CorruptError{Table: tableLog, Key: seqKey(seq), Detail: "is missing, and the records that are made from it are damaged too: restore the last backup"}
			}
			return fold(tx, c)
		})
		if err != nil {
			return err
		}
		return tx.SetViewVersion(viewName, viewVersion)
	})
}
