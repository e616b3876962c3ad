package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// lastWrite is the number of the newest transaction that wrote.
func lastWrite(t *testing.T, s *Store) int {
	t.Helper()
	n := 0
	if err := s.View(func(tx *Tx) error { n = tx.b.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// writeTogether has n write one key each while another holds the turn to write, and returns
// what each was told.
func writeTogether(t *testing.T, s *Store, n int, write func(i int, tx *Tx) error) []error {
	t.Helper()
	errs, all := make([]error, n), sync.WaitGroup{}
	err := s.Update(func(*Tx) error {
		for i := range n {
			all.Go(func() {
				defer func() {
					if p := recover(); p != nil {
						errs[i] = fmt.Errorf("panic: %v", p)
					}
				}()
				errs[i] = s.UpdateTogether(func(tx *Tx) error { return write(i, tx) })
			})
		}
		for waiting := 0; waiting < n; {
			s.together.mu.Lock()
			waiting = len(s.together.waiting)
			s.together.mu.Unlock()
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all.Wait()
	return errs
}

func putKey(i int, tx *Tx) error { return tx.Table("test").Put(fmt.Appendf(nil, "%05d", i), []byte{1}) }

func keysOf(t *testing.T, s *Store) map[string]bool {
	t.Helper()
	keys := map[string]bool{}
	err := s.View(func(tx *Tx) error {
		return tx.Table("test").Scan(nil, func(k, _ []byte) error { keys[string(k)] = true; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// TestWritesThatWaitShareATransaction: a thousand writes take as many transactions as
// groups of maxTogether.
func TestWritesThatWaitShareATransaction(t *testing.T) {
	s := open(t)
	const n = 3*maxTogether + 17
	before := lastWrite(t, s)
	for i, err := range writeTogether(t, s, n, putKey) {
		if err != nil {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if got := lastWrite(t, s) - before; got != 1+4 {
		t.Errorf("%d transactions, want that which they waited for and 4", got)
	}
	if got := len(keysOf(t, s)); got != n {
		t.Errorf("%d keys, want %d", got, n)
	}
	if len(s.together.waiting) != 0 {
		t.Errorf("%d still wait", len(s.together.waiting))
	}
}

// TestOneThatFailsFailsAlone: with an error or a panic nothing of its own is written,
// and all of the others.
func TestOneThatFailsFailsAlone(t *testing.T) {
	s := open(t)
	bad := errors.New("bad")
	errs := writeTogether(t, s, 20, func(i int, tx *Tx) error {
		err := putKey(i, tx)
		switch i {
		case 3:
			return bad
		case 7:
			panic("seven")
		}
		return err
	})
	keys := keysOf(t, s)
	for i, err := range errs {
		failed := i == 3 && errors.Is(err, bad) || i == 7 && err != nil && err.Error() == "panic: seven"
		if (i == 3 || i == 7) != failed || (err != nil) != failed {
			t.Errorf("%d was told %v", i, err)
		}
		if keys[fmt.Sprintf("%05d", i)] == failed {
			t.Errorf("%d is written: %v", i, !failed)
		}
	}
}

// TestSharedWriteOfAStoreThatCannotWrite: each learns of it.
func TestSharedWriteOfAStoreThatCannotWrite(t *testing.T) {
	s := open(t)
	broken := errors.New("broken")
	s.mu.Lock()
	s.failed = broken
	s.mu.Unlock()
	for range 3 {
		if err := s.UpdateTogether(func(tx *Tx) error { return putKey(1, tx) }); !errors.Is(err, broken) {
			t.Errorf("%v, want %v", err, broken)
		}
	}
}
