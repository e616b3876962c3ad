package alert

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"atalaya/collector/store"
)

// The tables. Keys: alert.active (group, rule, fingerprint); alert.groups (group);
// alert.history and alert.outbox a sequence number, 8 bytes big endian.
const (
	activeTable  = "alert.active"
	groupsTable  = "alert.groups"
	historyTable = "alert.history"
	outboxTable  = "alert.outbox"
)

func seqKey(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// save stores the events, their notifications and the states after them, and the alerts
// of all besides.
func (e *Engine) save(events []Event, all map[string]*Alert) error {
	if len(events) == 0 && len(all) == 0 {
		return nil
	}
	err := e.cfg.Store.Update(func(tx *store.Tx) error {
		active := tx.Table(activeTable)
		for _, a := range all {
			if a != nil {
				if err := putAlert(active, a); err != nil {
					return err
				}
			}
		}
		for _, ev := range events {
			if err := putAlert(active, &ev.Alert); err != nil {
				return err
			}
			if err := appendHistory(tx, ev); err != nil {
				return err
			}
			if err := e.outbox.add(tx, ev); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store alerts: %w", err)
	}
	e.outbox.wake()
	return nil
}

// putAlert stores an active alert and removes one that is over.
func putAlert(t store.Table, a *Alert) error {
	key := store.Key([]byte(a.Group), []byte(a.RuleID), []byte(a.Fingerprint))
	if a.State != Pending && a.State != Firing {
		return t.Delete(key)
	}
	b, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return t.Put(key, b)
}

// lastSeq returns the greatest key of a table with numbers as keys, 0 for an empty one.
func lastSeq(t store.Table) (uint64, error) {
	var last uint64
	err := t.ScanReverse(nil, nil, func(k, _ []byte) error {
		if len(k) != 8 {
			return fmt.Errorf("key %x is not a number", k)
		}
		last = binary.BigEndian.Uint64(k)
		return store.ErrStop
	})
	return last, err
}

// appendEvent stores an event under the number after the last of a table.
func appendEvent(t store.Table, ev Event) (seq uint64, err error) {
	last, err := lastSeq(t)
	if err != nil {
		return 0, err
	}
	ev.Seq = last + 1
	b, err := json.Marshal(ev)
	if err != nil {
		return 0, err
	}
	return ev.Seq, t.Put(seqKey(ev.Seq), b)
}

// appendHistory adds an event and drops the oldest beyond maxHistory.
func appendHistory(tx *store.Tx, ev Event) error {
	t := tx.Table(historyTable)
	seq, err := appendEvent(t, ev)
	if err != nil || seq <= maxHistory {
		return err
	}
	return t.Delete(seqKey(seq - maxHistory))
}

// history returns the events of an alert, newest first.
func (e *Engine) history(fingerprint string) ([]Event, error) {
	var out []Event
	err := e.cfg.Store.View(func(tx *store.Tx) error {
		return tx.Table(historyTable).ScanReverse(nil, nil, func(_, v []byte) error {
			if !bytes.Contains(v, []byte(fingerprint)) {
				return nil
			}
			var ev Event
			if err := json.Unmarshal(v, &ev); err != nil {
				return err
			}
			if ev.Alert.Fingerprint == fingerprint {
				out = append(out, ev)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read alert history: %w", err)
	}
	return out, nil
}

// mark notes in the store that a group was evaluated.
func (e *Engine) mark(g *group, at time.Time) error {
	b, err := at.UTC().MarshalText()
	if err != nil {
		return err
	}
	if err := e.cfg.Store.Update(func(tx *store.Tx) error { return tx.Table(groupsTable).Put([]byte(g.key()), b) }); err != nil {
		return fmt.Errorf("store alerts: %w", err)
	}
	g.marked = at
	return nil
}

// restore reads what an earlier process stored, and resolves alerts whose rule is gone.
func (e *Engine) restore() error {
	var gone []*Alert
	err := e.cfg.Store.View(func(tx *store.Tx) error {
		for _, g := range e.groups {
			if err := restoreMark(tx, g); err != nil {
				return err
			}
		}
		return tx.Table(activeTable).Scan(nil, func(_, v []byte) error {
			a := new(Alert)
			if err := json.Unmarshal(v, a); err != nil {
				return err
			}
			if g, r := e.ruleOf(a); r != nil {
				// Stored at its last event only; a later evaluation was noted for the group.
				a.SeenAt = later(a.SeenAt, g.marked)
				r.alerts[a.Fingerprint] = a
			} else {
				gone = append(gone, a)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	return e.resolveGone(gone)
}

func restoreMark(tx *store.Tx, g *group) error {
	b, err := tx.Table(groupsTable).Get([]byte(g.key()))
	if err != nil || b == nil {
		return err
	}
	if err := g.marked.UnmarshalText(b); err != nil {
		return err
	}
	for _, r := range g.rules {
		r.lastEval = g.marked
	}
	return nil
}

// ruleOf returns the rule of an alert and its group, nil if there is none.
func (e *Engine) ruleOf(a *Alert) (*group, *rule) {
	for _, g := range e.groups {
		for _, r := range g.rules {
			if g.key() == a.Group && r.id == a.RuleID {
				return g, r
			}
		}
	}
	return nil, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (e *Engine) resolveGone(gone []*Alert) error {
	now := e.cfg.Now()
	var events []Event
	for _, a := range gone {
		var after *Alert
		if a.State == Firing {
			resolved := *a
			resolved.State, resolved.ResolvedAt = Resolved, now
			after = &resolved
		}
		ev, ok := changeOf(a, after, now)
		if !ok {
			return errors.New("stored alert is neither pending nor firing")
		}
		events = append(events, ev)
	}
	return e.save(events, nil)
}
