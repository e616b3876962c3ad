package alert

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"atalaya/collector/store"
)

const (
	firstBackoff = time.Second
	longBackoff  = 5 * time.Minute
	// maxOutbox bounds the events that wait for a receiver, about 10 MB; the oldest go.
	maxOutbox = 10_000
)

// outbox delivers events that wait in the store. An event is removed only after the
// receiver took the message with it.
type outbox struct {
	cfg    Config
	hook   Webhook
	client *http.Client
	firing func(rule string) []Alert
	woken  chan struct{} // 1 long: there may be new events

	groups map[string]*delivery // by rule; used by run only

	mu    sync.Mutex // guards stats
	stats DeliveryStats
}

// DeliveryStats counts deliveries since the start.
type DeliveryStats struct {
	Delivered uint64 // messages the receiver took
	Retried   uint64 // attempts that failed and will be made again
	Refused   uint64 // messages that the receiver refused for good
	Dropped   uint64 // events dropped because too many waited
	Waiting   uint64 // events
	LastError string // of the last attempt; empty after a success
}

// delivery is the state of a group of alerts, which is all of one name.
type delivery struct {
	next     time.Time // not before
	failures int
}

// queued is an event in the outbox.
type queued struct {
	seq uint64
	at  time.Time
	a   Alert
}

func newOutbox(cfg Config, firing func(string) []Alert) (*outbox, error) {
	o := &outbox{cfg: cfg, firing: firing, woken: make(chan struct{}, 1), groups: map[string]*delivery{}}
	if cfg.Webhook == nil {
		return o, nil
	}
	o.hook = cfg.Webhook.withDefaults()
	if err := o.hook.Check(); err != nil {
		return nil, err
	}
	o.client = &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, IdleConnTimeout: longBackoff},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return o, nil
}

// Delivery returns counts of the notifications.
func (e *Engine) Delivery() (DeliveryStats, error) {
	e.outbox.mu.Lock()
	st := e.outbox.stats
	e.outbox.mu.Unlock()
	err := e.cfg.Store.View(func(tx *store.Tx) (err error) {
		st.Waiting, err = tx.Table(outboxTable).Count()
		return err
	})
	return st, err
}

// wanted reports whether a receiver is told of an event.
func (o *outbox) wanted(ev Event) bool {
	return o.client != nil && (ev.To == Firing || ev.To == Resolved && !o.hook.NoResolved)
}

// add stores an event for delivery, in the transaction that stores the step itself.
func (o *outbox) add(tx *store.Tx, ev Event) error {
	if !o.wanted(ev) {
		return nil
	}
	t := tx.Table(outboxTable)
	if _, err := appendEvent(t, ev); err != nil {
		return err
	}
	n, err := t.Count()
	if err != nil || n <= maxOutbox {
		return err
	}
	o.mu.Lock()
	o.stats.Dropped++
	o.mu.Unlock()
	return dropFirst(t)
}

func dropFirst(t store.Table) error {
	var first []byte
	err := t.Scan(nil, func(k, _ []byte) error {
		first = append(first, k...)
		return store.ErrStop
	})
	if err != nil {
		return err
	}
	return t.Delete(first)
}

// wake tells run that there may be new events.
func (o *outbox) wake() {
	select {
	case o.woken <- struct{}{}:
	default:
	}
}

// run delivers until ctx ends.
func (o *outbox) run(ctx context.Context) {
	if o.client == nil {
		return
	}
	defer o.client.CloseIdleConnections()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-o.woken:
		case <-timer.C:
		}
		wait, err := o.deliver(ctx)
		if err != nil && ctx.Err() == nil {
			o.cfg.Log.Error("notifications not read", "err", err)
		}
		timer.Reset(wait)
	}
}

// deliver sends what is due and returns how long nothing else will be.
func (o *outbox) deliver(ctx context.Context) (time.Duration, error) {
	waiting, err := o.read()
	if err != nil {
		return longBackoff, err
	}
	wait := longBackoff
	for rule, events := range waiting {
		d := o.groups[rule]
		if d == nil {
			d = &delivery{next: events[0].at.Add(o.hook.GroupWait)}
			o.groups[rule] = d
		}
		if left := d.next.Sub(o.cfg.Now()); left > 0 {
			wait = min(wait, left)
			continue
		}
		if err := o.send(ctx, rule, d, events); err != nil {
			return longBackoff, err
		}
		wait = min(wait, max(0, d.next.Sub(o.cfg.Now())))
	}
	for rule, d := range o.groups {
		// A group that was quiet for an interval waits for company again.
		if _, ok := waiting[rule]; !ok && o.cfg.Now().After(d.next) {
			delete(o.groups, rule)
		}
	}
	return wait, nil
}

// read returns the events that wait by rule, oldest first.
func (o *outbox) read() (map[string][]queued, error) {
	out := map[string][]queued{}
	err := o.cfg.Store.View(func(tx *store.Tx) error {
		return tx.Table(outboxTable).Scan(nil, func(k, v []byte) error {
			var ev Event
			if err := json.Unmarshal(v, &ev); err != nil {
				return err
			}
			out[ev.Alert.Rule] = append(out[ev.Alert.Rule], queued{binary.BigEndian.Uint64(k), ev.At, ev.Alert})
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("read notifications: %w", err)
	}
	return out, nil
}

// send delivers one message with a group's events and the alerts that fire besides.
// It returns only failures of the store.
func (o *outbox) send(ctx context.Context, rule string, d *delivery, events []queued) error {
	events = o.fitting(events)
	err := o.hook.post(ctx, o.client, newMessage(o.hook, o.cfg.ExternalURL, rule, merge(events, o.firing(rule))))
	if ctx.Err() != nil {
		return nil // shutting down: the events wait for the next start
	}
	var refused *refusal
	gaveUp := errors.As(err, &refused)
	o.note(rule, err, gaveUp)
	if err != nil && !gaveUp {
		d.failures++
		d.next = o.cfg.Now().Add(backoff(d.failures))
		return nil
	}
	d.failures = 0
	d.next = o.cfg.Now().Add(o.hook.GroupInterval)
	return o.remove(events)
}

// fitting returns the first events whose alerts fit in a message; the rest waits for
// the next one, so that none is cut off.
func (o *outbox) fitting(events []queued) []queued {
	seen := map[string]bool{}
	for i, e := range events {
		seen[e.a.Fingerprint] = true
		if o.hook.MaxAlerts > 0 && len(seen) > o.hook.MaxAlerts {
			return events[:i]
		}
	}
	return events
}

// merge returns the newest event of each alert, in order, and then the other firing ones.
func merge(events []queued, firing []Alert) []Alert {
	at := map[string]int{}
	var out []Alert
	for _, e := range events {
		if i, ok := at[e.a.Fingerprint]; ok {
			out[i] = e.a
			continue
		}
		at[e.a.Fingerprint] = len(out)
		out = append(out, e.a)
	}
	for _, a := range firing {
		if _, ok := at[a.Fingerprint]; !ok {
			out = append(out, a)
		}
	}
	return out
}

// backoff returns the pause after a number of failures: full jitter over the upper
// half, so that it is neither nothing nor in step with others.
func backoff(failures int) time.Duration {
	limit := longBackoff
	if failures < 10 {
		limit = min(longBackoff, firstBackoff<<(failures-1))
	}
	return limit/2 + rand.N(limit/2)
}

// note counts an attempt and logs changes only.
func (o *outbox) note(rule string, err error, gaveUp bool) {
	o.mu.Lock()
	before := o.stats.LastError
	switch {
	case err == nil:
		o.stats.Delivered++
		o.stats.LastError = ""
	case gaveUp:
		o.stats.Refused++
		o.stats.LastError = err.Error()
	default:
		o.stats.Retried++
		o.stats.LastError = err.Error()
	}
	o.mu.Unlock()
	switch {
	case gaveUp:
		o.cfg.Log.Error("notification given up", "rule", rule, "err", err)
	case err != nil && before == "":
		o.cfg.Log.Warn("notifications wait for the receiver", "rule", rule, "err", err)
	case err == nil && before != "":
		o.cfg.Log.Info("receiver takes notifications again")
	}
}

func (o *outbox) remove(events []queued) error {
	err := o.cfg.Store.Update(func(tx *store.Tx) error {
		t := tx.Table(outboxTable)
		for _, e := range events {
			if err := t.Delete(seqKey(e.seq)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove delivered notifications: %w", err)
	}
	return nil
}
