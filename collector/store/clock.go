package store

import (
	"encoding/binary"
	"slices"
	"time"

	"atalaya/shared/facts"
)

// The log is in the order in which things came to be known, which the collector's clock
// need not follow: an administrator or a time server sets it back. What the log held
// before came about by the moment to which the clock was set, whatever it said until
// then; so moments never contradict the order, and each has one answer.
const (
	// clockJitter is what received times may go back by without the clock having been
	// set: hosts are served side by side, and time servers step by less. The log gives
	// the moment before for such a one.
	clockJitter = 10 * time.Second
	// maxSetBacks bounds how many are remembered, the newest: a machine without a clock of
	// its own has one at each start.
	maxSetBacks = 64
)

// setBack is one time at which the clock had been set back.
type setBack struct {
	first uint64     // number of the first change after it
	at    facts.Time // received time of that one
}

// inOrder returns the received time that the log gives to a group, and notes when the
// clock was set back.
func (tx *Tx) inOrder(g group) (facts.Time, error) {
	ms, err := tx.meta(metaReceived)
	if err != nil {
		return 0, err
	}
	at, last := g.received, facts.Time(ms)
	if back := last.Time().Sub(at.Time()); last != 0 && back > clockJitter {
		tx.store.log.Warn("the clock was set back: what came before is taken to have come about by now", "was", last.Time(), "is", at.Time())
		err = tx.noteSetBack(setBack{g.first, at})
	} else {
		at = max(at, last)
	}
	if err != nil || at == last {
		return at, err
	}
	return at, tx.putMeta(metaReceived, uint64(at))
}

// noteSetBack remembers one. Those to a later moment say nothing more.
func (tx *Tx) noteSetBack(b setBack) error {
	list, err := tx.setBacks()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(was setBack) bool { return was.at >= b.at })
	list = append(list, b)
	var v []byte
	for _, b := range list[max(0, len(list)-maxSetBacks):] {
		v = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(v, b.first), uint64(b.at))
	}
	tx.dated = b.at
	return tx.Table(tableMeta).Put([]byte(metaSetBacks), v)
}

// setBacks returns those that are remembered, oldest first; their moments ascend too.
func (tx *Tx) setBacks() ([]setBack, error) {
	v, err := tx.Table(tableMeta).Get([]byte(metaSetBacks))
	if err != nil || len(v)%16 != 0 {
		return nil, orWrong(err, metaSetBacks)
	}
	var list []setBack
	for ; len(v) > 0; v = v[16:] {
		list = append(list, setBack{binary.BigEndian.Uint64(v), facts.Time(binary.BigEndian.Uint64(v[8:]))})
	}
	return list, nil
}

func orWrong(err error, name string) error {
	if err != nil {
		return err
	}
	return &CorruptError{Table: tableMeta, Key: []byte(name), Detail: "wrong length"}
}

// cutAt returns the number of the newest change that had come about by a moment because
// the clock was set back to it or before, 0 when there is none.
func (tx *Tx) cutAt(at facts.Time) (cut uint64, err error) {
	list, err := tx.setBacks()
	for _, b := range list {
		if b.at <= at {
			cut = b.first - 1
		}
	}
	return cut, err
}

// byThen returns a moment at which the change of that number is said to have come about,
// or the earlier one to which the clock was set back afterwards.
func byThen(at facts.Time, seq uint64, list []setBack) facts.Time {
	for _, b := range list {
		if b.first > seq {
			at = min(at, b.at)
		}
	}
	return at
}

// dateBack corrects the moments in the records of hosts after the clock was set back.
func (tx *Tx) dateBack() error {
	at := tx.dated
	if at == 0 {
		return nil
	}
	tx.dated = 0
	var late []Host
	err := tx.AllHosts([8]byte{}, func(h Host) error {
		away := slices.ContainsFunc(h.Away, func(a Span) bool { return a.Until > at })
		if away || max(facts.TimeOf(h.KnownFrom), facts.TimeOf(h.RemovedAt)) > at {
			late = append(late, h)
		}
		return nil
	})
	for _, h := range late {
		rec, _, err := tx.hostRecord(h.ID)
		if err != nil {
			return err
		}
		if rec.knownFrom() > at {
			rec.FirstAt = at
		}
		rec.RemovedAt = min(rec.RemovedAt, at)
		for i, a := range rec.Away {
			rec.Away[i] = Span{min(a.From, at), min(a.Until, at)}
		}
		if err := tx.putHostRecord(h.ID, rec); err != nil {
			return err
		}
	}
	return err
}
