package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// Follower is a view over the change log: tables that are brought up to date by
// folding changes into them, and that can be built anew from the log at any time.
// Folding must give the same tables however the log is cut into pieces. A log that
// was pruned begins with an addition for each row there was. Where something was lost to
// damage it is left out, and the view built anew once it is told again: a section that was
// lost begins with a Baseline with Lost set, after which its rows are added again.
type Follower struct {
	Name    string   // names its cursor
	Version uint64   // of its tables; they are built anew when it differs from the stored one
	Tables  []string // all tables it writes
	// Sections are those whose changes it folds; nil: all.
	Sections []facts.ID
	// KeysOnly are those of which it needs no contents: rows that are there from the
	// beginning come without them, which spares most of the work.
	KeysOnly []facts.ID
	Fold     func(tx *Tx, changes []Change) error

	voids map[hostSection]uint64 // while it is brought up to date: see voidsOf
}

// foldChanges is how many changes one transaction of a follower takes: some tens of
// milliseconds, for which other writers wait. First inventories of one role touch the
// same records, which several of them in a transaction write once.
const foldChanges = 8000

// retryAfter is how long Follow waits when a transaction failed, on a full disk for instance.
const retryAfter = 5 * time.Second

// Follow keeps f up to date until ctx ends, and then returns nil. A transaction that
// fails is logged once and tried again.
func (s *Store) Follow(ctx context.Context, f Follower) error {
	var last string
	for {
		changed := s.Changed()
		err := s.CatchUp(ctx, f)
		if ctx.Err() != nil {
			return nil
		}
		again, err2 := s.whenToRefill(f)
		if err = errors.Join(err, err2); err != nil {
			again = time.After(retryAfter)
			if err.Error() != last {
				s.log.Error("view not up to date", "view", f.Name, "err", err)
			}
		}
		last = fmt.Sprint(err)
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again:
		}
	}
}

// CatchUp folds all changes that are in the log into f.
func (s *Store) CatchUp(ctx context.Context, f Follower) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		behind := false
		err := s.View(func(tx *Tx) (err error) {
			behind, err = f.behind(tx)
			return err
		})
		if err != nil || !behind {
			return wrapView(f.Name, err)
		}
		if err := s.Update(f.step); err != nil {
			return wrapView(f.Name, err)
		}
	}
}

func wrapView(name string, err error) error {
	if err != nil {
		return fmt.Errorf("view %s: %w", name, err)
	}
	return nil
}

// Rebuild empties f's tables and folds the whole log into them again.
func (s *Store) Rebuild(ctx context.Context, f Follower) error {
	if err := s.Update(f.reset); err != nil {
		return wrapView(f.Name, err)
	}
	return s.CatchUp(ctx, f)
}

// behind reports whether there is something to do.
func (f Follower) behind(tx *Tx) (bool, error) {
	cursor, err1 := tx.Cursor(f.Name)
	version, err2 := tx.meta("view." + f.Name)
	last, err3 := tx.LastChange()
	in, due, err4 := f.toRefill(tx)
	return version&^lacking != f.Version || cursor != last || due && in <= 0, errors.Join(err1, err2, err3, err4)
}

// step folds the next changes. A view that meets for the first time that something is lost
// is begun again, so that all of it is made of what is known now.
func (f Follower) step(tx *Tx) error {
	version, err1 := tx.meta("view." + f.Name)
	in, due, err2 := f.toRefill(tx)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if due && in <= 0 {
		return f.beginLacking(tx)
	}
	if f.voids, err1 = f.voidsOf(tx); err1 != nil {
		return err1
	}
	if err := f.advance(tx, version&^lacking); err != nil || !tx.lacks {
		return err
	}
	if version&lacking == 0 {
		return f.beginLacking(tx)
	}
	return f.putVoids(tx, f.voids)
}

// advance folds the next changes, or empties the tables when they are of another
// version or ahead of the log, which was then set back.
func (f Follower) advance(tx *Tx, version uint64) error {
	cursor, err1 := tx.Cursor(f.Name)
	last, err2 := tx.LastChange()
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if version != f.Version || cursor > last {
		return f.reset(tx)
	}
	first, err := tx.firstKept()
	if err != nil {
		return err
	}
	switch {
	case cursor+1 < first && cursor > 0:
		return f.reset(tx) // changes it had not read were lost
	case cursor+1 < first:
		return f.begin(tx, first-1)
	}
	changes, read, err := f.folded(tx, cursor)
	if err != nil {
		return err
	}
	if len(changes) > 0 {
		if err := f.Fold(tx, changes); err != nil {
			return err
		}
	}
	return tx.SetCursor(f.Name, read)
}

// begin folds the state after the change of that number, where the log begins: a row
// is added for each that a host had. One transaction takes some hosts.
func (f Follower) begin(tx *Tx, after uint64) error {
	place := "view." + f.Name + ".host"
	done, err1 := tx.meta(place)
	hosts, err2 := tx.meta(metaHosts)
	history, err3 := tx.HistoryFrom()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	state := tx.asOfChange(after)
	var changes []Change
	for ; done < hosts && len(changes) < foldChanges; done++ {
		index := uint32(done + 1)
		id, ok, err := tx.HostByIndex(index)
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("host number %d: %w", index, ErrCorrupt))
		}
		states, err := state.Sections(index)
		if err != nil {
			return err
		}
		for _, st := range states {
			if !f.wants(st.Section) {
				continue
			}
			base := Change{Seq: after, Host: id, Section: st.Section, Kind: Added, Observed: history, At: history, Received: history}
			if changes, err = f.addRows(tx, changes, state, index, base); err != nil {
				return err
			}
		}
	}
	if err := f.Fold(tx, changes); err != nil {
		return err
	}
	if done < hosts {
		return tx.putMeta(place, done)
	}
	return errors.Join(tx.putMeta(place, 0), tx.SetCursor(f.Name, after))
}

// HostHistory calls fn for all that happened to a section of a host, oldest first and
// row by row, as a Follower sees it: it begins with an addition for each row that there
// was where the log begins. ErrStop ends it early.
func (tx *Tx) HostHistory(id identity.HostID, section facts.ID, fn func(Change) error) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return err
	}
	first, err := tx.firstKept()
	if err != nil {
		return err
	}
	history, err := tx.HistoryFrom()
	if err != nil {
		return err
	}
	began := tx.asOfChange(first - 1)
	base := Change{Seq: first - 1, Host: id, Section: section, Kind: Added, Observed: history, At: history, Received: history}
	changes, err := Follower{}.addRows(tx, nil, began, rec.Index, base)
	if err != nil {
		return err
	}
	want := func(h blockHead) bool { return h.sections&sectionBit(section) != 0 }
	f := Follower{Sections: []facts.ID{section}, voids: map[hostSection]uint64{}}
	err = tx.walkLog(false, want).host(rec.Index, func(g group) error {
		changes, err = f.expand(tx, changes, id, g, 0)
		return err
	})
	lost := f.voids[hostSection{rec.Index, section}]
	changes = slices.DeleteFunc(changes, func(c Change) bool { return c.Seq < lost })
	for i := 0; i < len(changes) && err == nil; i++ {
		err = fn(changes[i])
	}
	if errors.Is(err, ErrStop) {
		return nil
	}
	return err
}

// addRows appends a change like base for each row that a host has of a section.
func (f Follower) addRows(tx *Tx, changes []Change, state *State, index uint32, base Change) ([]Change, error) {
	add := func(key string, data []byte) error {
		base.Key, base.Old, base.New = key, nil, nil
		if base.Kind == Removed {
			base.Old = data
		} else {
			base.New = data
		}
		changes = append(changes, base)
		return nil
	}
	if !slices.Contains(f.KeysOnly, base.Section) {
		err := state.Rows(index, base.Section, add)
		return changes, err
	}
	err := state.keys(index, base.Section, func(key string) error { return add(key, nil) })
	return changes, err
}

// folded returns the next changes for a view, some thousands at most: Baseline and
// Cleared become a change for each row.
func (f Follower) folded(tx *Tx, after uint64) (changes []Change, read uint64, err error) {
	if read, err = tx.LastChange(); err != nil {
		return nil, 0, err
	}
	err = tx.groupsAfter(after, func(g group) error {
		if len(changes) >= foldChanges {
			read = g.first - 1
			return ErrStop
		}
		id, _, err := tx.HostByIndex(g.host)
		if err != nil {
			return err
		}
		changes, err = f.expand(tx, changes, id, g, after)
		return err
	})
	return changes, read, err
}

// expand appends the changes of a group above that number in the sections wanted.
func (f Follower) expand(tx *Tx, changes []Change, id identity.HostID, g group, above uint64) ([]Change, error) {
	// A batch holds a section once: after it each is as after its own entries.
	then := tx.asOfChange(g.first + uint64(len(g.entries)) - 1)
	before := tx.asOfChange(g.first - 1)
	rows := rowReader{tx: tx}
	for i, e := range g.entries {
		place := hostSection{g.host, e.section}
		if seq := g.first + uint64(i); seq <= above || !f.wants(e.section) || seq < f.voids[place] {
			continue
		}
		c, err := rows.change(id, g, i)
		if err != nil {
			return nil, err
		}
		switch {
		case e.lost:
			tx.lacks, f.voids[place] = true, c.Seq
			changes = append(changes, c)
		case c.Lost && c.Old == nil && c.New == nil:
			// nothing is known of it any more
		case e.kind == Baseline: // of one that was lost later nothing is there
			c.Kind = Added
			changes, err = f.addRows(tx, changes, then, g.host, c)
		case e.kind == Cleared:
			c.Kind = Removed
			changes, err = f.addRows(tx, changes, before, g.host, c)
		default:
			changes = append(changes, c)
		}
		if err != nil {
			return nil, err
		}
	}
	return changes, nil
}

func (f Follower) wants(section facts.ID) bool {
	return f.Sections == nil || slices.Contains(f.Sections, section)
}

func (f Follower) reset(tx *Tx) error {
	for _, name := range f.Tables {
		if err := tx.Table(name).Clear(); err != nil {
			return err
		}
	}
	if err := tx.putMeta("view."+f.Name, f.Version); err != nil {
		return err
	}
	at, err := tx.meta(metaRefill)
	if err != nil {
		return err
	}
	return errors.Join(tx.putMeta("view."+f.Name+".host", 0), tx.putMeta("view."+f.Name+".refill", at), tx.SetCursor(f.Name, 0))
}
