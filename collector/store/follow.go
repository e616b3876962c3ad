package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"atalaya/shared/identity"
)

// Follower is a view over the change log: tables that are brought up to date by
// folding changes into them, and that can be built anew from the log at any time.
// Folding must give the same tables however the log is cut into pieces, and must
// cope with a pruned log, in which a change may replace or remove what no change brought.
type Follower struct {
	Name    string   // names its cursor
	Version uint64   // of its tables; they are built anew when it differs from the stored one
	Tables  []string // all tables it writes
	Fold    func(tx *Tx, changes []Change) error
}

// foldChanges is how many changes one transaction of a follower takes: some tens of
// milliseconds, for which other writers wait.
const foldChanges = 2000

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
		var again <-chan time.Time
		if err != nil {
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
	return version != f.Version || cursor != last, errors.Join(err1, err2, err3)
}

// step folds the next changes, or empties the tables when they are of another
// version or ahead of the log, which was then set back.
func (f Follower) step(tx *Tx) error {
	cursor, err1 := tx.Cursor(f.Name)
	version, err2 := tx.meta("view." + f.Name)
	last, err3 := tx.LastChange()
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	if version != f.Version || cursor > last {
		return f.reset(tx)
	}
	var changes []Change
	err := tx.Changes(cursor, foldChanges, func(c Change) error {
		changes = append(changes, c)
		return nil
	})
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return tx.SetCursor(f.Name, last) // the rest was pruned
	}
	if err := f.Fold(tx, changes); err != nil {
		return err
	}
	return tx.SetCursor(f.Name, changes[len(changes)-1].Seq)
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
	return tx.SetCursor(f.Name, 0)
}

// AsOf returns the number of the newest change of a host that had been received at
// that moment, 0 when there was none. It goes back through the log from the newest
// change, so that a clock that was once wrong misplaces only what came under it.
func (tx *Tx) AsOf(id identity.HostID, at time.Time) (seq uint64, err error) {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return 0, err
	}
	err = tx.spans(rec.Index, true, func(s span) error {
		if s.received.After(at) {
			return nil
		}
		seq = s.last
		return ErrStop
	})
	return seq, err
}
