package query

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"atalaya/collector/store"
)

// tableSaved holds the saved queries: name -> Saved as JSON.
const tableSaved = "query.saved"

// maxSaved bounds how many queries may be saved.
const maxSaved = 1000

var (
	// ErrNotSaved: no query is saved under that name.
	ErrNotSaved = errors.New("no such saved query")
	// ErrSaved: there is one of that name, which may be replaced only where that was said.
	ErrSaved = errors.New("saved already")
)

// Saved is a query that people keep under a name.
type Saved struct {
	Name string    `json:"-"`
	SQL  string    `json:"sql"`
	Note string    `json:"note,omitempty"` // what it is for
	By   string    `json:"by,omitempty"`   // who saved it
	At   time.Time `json:"at"`
}

var savedName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Save keeps a query under its name; it must be one that can be run. One that has the name
// stays, unless it is to be replaced; then its note stays if no other is given.
func (e *Engine) Save(ctx context.Context, s Saved, replace bool) error {
	if !savedName.MatchString(s.Name) {
		return fmt.Errorf("%w: name %q: want lower case letters, digits, - and _, at most 64", ErrQuery, s.Name)
	}
	if _, err := e.Run(ctx, Request{SQL: s.SQL, Caller: s.By, Explain: true}); err != nil {
		return err
	}
	s.At = e.cfg.Now().UTC()
	return e.cfg.Store.Update(func(tx *store.Tx) error {
		t := tx.Table(tableSaved)
		v, err := t.Get([]byte(s.Name))
		if err != nil {
			return err
		}
		if v == nil {
			if n, err := t.Count(); err != nil || n >= maxSaved {
				return errors.Join(err, fmt.Errorf("%w: %d queries are saved: forget some", ErrQuery, n))
			}
		} else if err := s.follows(v, replace); err != nil {
			return err
		}
		b, err := json.Marshal(s)
		if err != nil {
			return err
		}
		return t.Put([]byte(s.Name), b)
	})
}

// follows takes the note of the query that is replaced, if that may be.
func (s *Saved) follows(before []byte, replace bool) error {
	old, err := decodeSaved([]byte(s.Name), before)
	if err != nil {
		return err
	}
	if !replace {
		return fmt.Errorf("%w: %q, by %s on %s: give another name, or replace it (--force)", ErrSaved, s.Name, old.By, old.At.Format(time.DateOnly))
	}
	s.Note = cmp.Or(s.Note, old.Note)
	return nil
}

// Forget takes a saved query away.
func (e *Engine) Forget(name string) error {
	return e.cfg.Store.Update(func(tx *store.Tx) error {
		t := tx.Table(tableSaved)
		if v, err := t.Get([]byte(name)); err != nil || v == nil {
			return errors.Join(err, notSaved(name))
		}
		return t.Delete([]byte(name))
	})
}

func notSaved(name string) error {
	return fmt.Errorf("%w: %q (`atalaya query --list` shows them)", ErrNotSaved, name)
}

// Saved returns the query of that name.
func (e *Engine) Saved(name string) (s Saved, err error) {
	err = e.cfg.Store.View(func(tx *store.Tx) error {
		v, err := tx.Table(tableSaved).Get([]byte(name))
		if err != nil || v == nil {
			return errors.Join(err, notSaved(name))
		}
		s, err = decodeSaved([]byte(name), v)
		return err
	})
	return s, err
}

// AllSaved returns the saved queries by name.
func (e *Engine) AllSaved() (list []Saved, err error) {
	err = e.cfg.Store.View(func(tx *store.Tx) error {
		return tx.Table(tableSaved).Scan(nil, func(k, v []byte) error {
			s, err := decodeSaved(k, v)
			list = append(list, s)
			return err
		})
	})
	return list, err
}

func decodeSaved(name, v []byte) (s Saved, err error) {
	if err := json.Unmarshal(v, &s); err != nil {
		return s, fmt.Errorf("saved query %q: %w", name, err)
	}
	s.Name = string(name)
	return s, nil
}
