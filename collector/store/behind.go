package store

import "errors"

// rollback says that the file is older than what was last committed: its newest root page
// was damaged, or it was restored from a backup.
type rollback struct {
	transactions uint64 // that are lost
	lastChange   uint64 // the newest that was committed
	oneRoot      bool   // it was not restored
}

// ready is Update for what is done to a file before it is served. When the file was set
// back that is told of in the same transaction, because a commit hides it from the next
// start: all facts are asked from the hosts again.
func (s *Store) ready(fn func(*Tx) error) error {
	err := s.Update(func(tx *Tx) error {
		if err := fn(tx); err != nil || s.behind == nil {
			return err
		}
		return tx.doubtRolledBack(*s.behind)
	})
	if err == nil && s.behind != nil {
		s.behind = nil
	}
	return err
}

// doubtRolledBack takes away what may have been taken back last, and doubts all sections.
func (tx *Tx) doubtRolledBack(b rollback) error {
	last, err := tx.meta(metaLastChange)
	if err != nil {
		return err
	}
	tx.store.log.Error("the state file is older than the last commit; every host will be asked for its facts again",
		"file", tx.store.path, "lost_transactions", b.transactions, "lost_changes", b.lastChange-min(last, b.lastChange))
	if b.oneRoot {
		for _, name := range revocable {
			n, err := tx.Table(name).Count()
			if err == nil && n > 0 {
				err = errors.Join(tx.Table(name).Clear(), tx.noteLoss(name, n))
			}
			if err != nil {
				return err
			}
		}
	}
	return tx.doubtAll()
}

// revocable are tables whose records allow something, and that may be older than they were
// without a word in any other file.
var revocable = []string{"auth.tokens", "enroll.tokens"}
