package store

import (
	"encoding/binary"
	"errors"
	"time"

	"atalaya/shared/facts"
)

// lacking marks the version of a view that was made while something was lost. What the log
// says of the time before is then less than it was: the view is made anew when more is lost
// or what was lost is told again, because the log says nothing of that.
const lacking = 1 << 63

// metaRefill is when more was lost, or lost items were told again, in ms; "view.NAME.refill"
// is what of that a view was made anew for.
const metaRefill = "refill"

// refillAfter is how long it waits for more hosts to tell what was lost before views are
// made anew: they are asked at their next word.
const refillAfter = time.Minute

// hostSection names a section of a host.
type hostSection struct {
	host    uint32
	section facts.ID
}

// refill has the views that lack something made anew soon.
func (tx *Tx) refill() error {
	last, err := tx.meta(metaRefill)
	if err != nil {
		return err
	}
	tx.refills = true
	return tx.putMeta(metaRefill, max(last+1, uint64(tx.store.now().UnixMilli())))
}

// Retold changes whenever items that were lost may have been told again, under the numbers
// that they had: who remembers what items there are reads them all anew.
func (tx *Tx) Retold() (uint64, error) { return tx.meta(metaRefill) }

// toRefill tells how long it is until a view has to be made anew because it lacks
// something; false: it has not.
func (f Follower) toRefill(tx *Tx) (in time.Duration, due bool, err error) {
	version, err1 := tx.meta("view." + f.Name)
	at, err2 := tx.meta(metaRefill)
	done, err3 := tx.meta("view." + f.Name + ".refill")
	since := tx.store.now().Sub(time.UnixMilli(int64(at)))
	if since < 0 {
		since = refillAfter // the clock was set back
	}
	return refillAfter - since, version&lacking != 0 && at != done, errors.Join(err1, err2, err3)
}

// whenToRefill returns a channel that tells when f has to be made anew; nil: never.
func (s *Store) whenToRefill(f Follower) (at <-chan time.Time, err error) {
	err = s.View(func(tx *Tx) error {
		in, due, err := f.toRefill(tx)
		if due {
			at = time.After(in)
		}
		return err
	})
	return at, wrapView(f.Name, err)
}

// beginLacking begins a view again that met for the first time that something is lost, so
// that all of it is made of what is known now. What the log tells of a section before it
// was lost is left out: it only makes sense with rows that are not known.
func (f Follower) beginLacking(tx *Tx) error {
	voids := map[hostSection]uint64{}
	err := tx.groupsAfter(0, func(g group) error {
		for i, e := range g.entries {
			if e.lost {
				voids[hostSection{g.host, e.section}] = g.first + uint64(i)
			}
		}
		return nil
	})
	return errors.Join(err, f.reset(tx), f.putVoids(tx, voids), tx.putMeta("view."+f.Name, f.Version|lacking))
}

func (f Follower) voidPrefix() string { return "view." + f.Name + ".void." }

func (f Follower) putVoids(tx *Tx, voids map[hostSection]uint64) (err error) {
	for at, seq := range voids {
		err = errors.Join(err, tx.putMeta(f.voidPrefix()+string(sectionKey(at.host, at.section)), seq))
	}
	return err
}

// voidsOf reads where sections were lost last, by the numbers of the changes that say so.
func (f Follower) voidsOf(tx *Tx) (map[hostSection]uint64, error) {
	voids := map[hostSection]uint64{}
	return voids, tx.Table(tableMeta).Scan([]byte(f.voidPrefix()), func(k, v []byte) error {
		if k = k[len(f.voidPrefix()):]; len(k) == 6 && len(v) == 8 {
			voids[hostSection{binary.BigEndian.Uint32(k), facts.ID(binary.BigEndian.Uint16(k[4:]))}] = binary.BigEndian.Uint64(v)
		}
		return nil
	})
}
