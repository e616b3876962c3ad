// Package search finds hosts and assets by any text that is known of them: names,
// addresses, serial numbers, users, packages, services, certificates, what is declared.
//
// What hosts share is in the store's dictionary: of each item the texts are kept in
// memory, once for the fleet, in small letters and without anything else. A word is found
// by looking through them, which takes milliseconds, and the store's inverted index tells
// the hosts. What a host shares with no other is kept in memory for each host. Nothing of
// it is stored; it is made when the collector starts and follows the logs.
//
// One search runs at a time. Run owns the only goroutine's work; the package starts none.
package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"atalaya/collector/asset"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// ErrBuilding: what is searched is not read yet after a start.
var ErrBuilding = errors.New("the search is not ready yet after the start of the collector: try again in a moment")

const (
	// segmentBytes is the size of a piece of the items' texts: they grow without copying.
	segmentBytes = 1 << 20
	// sweepEvery lies between two looks at the names and tags of all hosts; those of a host
	// that reports are seen at once.
	sweepEvery = time.Minute
	// hostsAtOnce are read in one transaction.
	hostsAtOnce = 500
	// assetBase is added to the number of an asset without a host, so that it is a member
	// of the same sets as hosts.
	assetBase = 1 << 31
)

// Index is what is searched. Its methods may be called from any goroutine.
type Index struct {
	store *store.Store
	items map[facts.ID]plan
	own   map[facts.ID]plan
	gate  chan struct{} // held by who reads or changes what follows

	segments   []*segment
	lastItem   uint32
	retold     uint64 // see store.Tx.Retold
	lastChange uint64
	lastAsset  uint64
	swept      time.Time
	things     map[uint32]*thing // hosts by their index, assets without one by number and assetBase
}

// segment holds the texts of items one behind the other.
type segment struct {
	text   []byte
	starts []uint32 // of each item's text
	ids    []uint32
}

// thing is a host or an asset without one.
type thing struct {
	host  identity.HostID
	asset asset.ID // 0: a host
	name  string
	tags  []string
	text  []byte
}

// New returns a search over a state file.
func New(s *store.Store) *Index {
	x := &Index{store: s, gate: make(chan struct{}, 1), things: map[uint32]*thing{}}
	x.items, x.own = plans()
	return x
}

// enter waits for the index.
func (x *Index) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case x.gate <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (x *Index) leave() { <-x.gate }

// Run keeps the index up to date until ctx ends, so that a search finds little to do.
func (x *Index) Run(ctx context.Context) error {
	for {
		changed := x.store.Changed()
		if x.CatchUp(ctx) != nil {
			changed = nil // tried again at the next sweep; a search tells why it failed
		}
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-time.After(sweepEvery):
		}
	}
}

// CatchUp reads what is new.
func (x *Index) CatchUp(ctx context.Context) error {
	if err := x.enter(ctx); err != nil {
		return err
	}
	defer x.leave()
	return x.refresh(ctx)
}

// refresh reads what is new since the last time, all the first time.
func (x *Index) refresh(ctx context.Context) error {
	var todo []identity.HostID
	err := x.store.View(func(tx *store.Tx) error {
		if err := x.readItems(ctx, tx); err != nil {
			return err
		}
		hosts, err := x.changed(tx)
		todo = hosts
		return err
	})
	for part := range slices.Chunk(todo, hostsAtOnce) {
		if err != nil {
			break
		}
		if err = ctx.Err(); err != nil {
			break
		}
		err = x.store.View(func(tx *store.Tx) error { return x.readHosts(tx, part) })
	}
	if err != nil {
		x.lastChange, x.lastAsset, x.swept = 0, 0, time.Time{} // all is looked at again
		return fmt.Errorf("search: %w", err)
	}
	return nil
}

func (x *Index) readItems(ctx context.Context, tx *store.Tx) error {
	retold, err := tx.Retold()
	if err != nil {
		return err
	}
	if retold != x.retold {
		x.segments, x.lastItem, x.retold = nil, 0, retold
	}
	n := 0
	return tx.Now().ItemsAfter(x.lastItem, func(it store.Item) error {
		if n++; n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		x.lastItem = it.ID
		p, ok := x.items[it.Section]
		if !ok {
			return nil
		}
		row, err := wire.DecodeRow(it.Section, it.Data)
		if err != nil {
			return nil // no search finds what cannot be read
		}
		x.addItem(it.ID, func(fn func(value)) { p.each(row, fn) })
		return nil
	})
}

func (x *Index) addItem(id uint32, each func(func(value))) {
	if n := len(x.segments); n == 0 || len(x.segments[n-1].text) >= segmentBytes {
		x.segments = append(x.segments, &segment{text: make([]byte, 0, segmentBytes+maxTexts)})
	}
	s := x.segments[len(x.segments)-1]
	start := len(s.text)
	each(func(v value) {
		if len(s.text)-start < maxTexts {
			s.text = appendValue(s.text, v)
		}
	})
	if len(s.text) == start {
		return
	}
	s.text = append(s.text, markValue)
	s.starts, s.ids = append(s.starts, uint32(start)), append(s.ids, id)
}

// changed returns the hosts that must be read again, and reads the assets without hosts.
func (x *Index) changed(tx *store.Tx) ([]identity.HostID, error) {
	touched := map[identity.HostID]bool{}
	last, err := tx.LastChange()
	if err != nil {
		return nil, err
	}
	if x.lastChange > 0 && last > x.lastChange {
		err := tx.Changes(x.lastChange, 0, func(c store.Change) error {
			if _, ok := x.own[c.Section]; ok {
				touched[c.Host] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if err := x.changedAssets(tx, touched); err != nil {
		return nil, err
	}
	if x.lastChange == 0 || x.store.Now().Sub(x.swept) >= sweepEvery {
		if err := x.sweep(tx, touched); err != nil {
			return nil, err
		}
	}
	x.lastChange = last
	out := make([]identity.HostID, 0, len(touched))
	for id := range touched {
		out = append(out, id)
	}
	return out, nil
}

// sweep notes the hosts that are new, gone or called otherwise.
func (x *Index) sweep(tx *store.Tx, touched map[identity.HostID]bool) error {
	x.swept = x.store.Now()
	first := x.lastChange == 0
	seen := map[uint32]bool{}
	err := tx.Hosts(func(h store.Host) error {
		seen[h.Index] = true
		t := x.things[h.Index]
		if first || t == nil || t.name != h.Name || !slices.Equal(t.tags, h.Tags) {
			touched[h.ID] = true
		}
		return nil
	})
	for index := range x.things {
		if index < assetBase && !seen[index] && err == nil {
			delete(x.things, index)
		}
	}
	return err
}

// changedAssets follows the log of assets.
func (x *Index) changedAssets(tx *store.Tx, touched map[identity.HostID]bool) error {
	last, err := asset.LastChange(tx)
	if err != nil || last == x.lastAsset {
		return err
	}
	ids := map[asset.ID]bool{}
	err = asset.EachChange(tx, 0, func(c asset.Change) error {
		if c.Seq <= x.lastAsset {
			return store.ErrStop
		}
		ids[c.Asset] = true
		for _, fc := range c.Fields {
			if fc.Field == asset.FieldHost {
				for _, text := range []string{fc.Old, fc.New} {
					if id, err := identity.ParseHostID(text); err == nil {
						touched[id] = true
					}
				}
			}
		}
		return nil
	})
	for id := range ids {
		if err == nil && id != 0 {
			err = x.readAsset(tx, id, touched)
		}
	}
	x.lastAsset = last
	return err
}

func (x *Index) readAsset(tx *store.Tx, id asset.ID, touched map[identity.HostID]bool) error {
	r, ok, err := asset.ByID(tx, id)
	if err != nil {
		return err
	}
	delete(x.things, assetBase|uint32(id))
	if !ok {
		return nil
	}
	if host, linked := r.Host(); linked {
		touched[host] = true
		if h, known, err := tx.Host(host); err != nil || known && h.RemovedAt.IsZero() {
			return err
		}
	}
	text, err := textOf(func(fn func(value)) error { assetValues(r, fn); return nil })
	x.things[assetBase|uint32(id)] = &thing{asset: id, name: r.Label(), text: text}
	return err
}

// readHosts reads what hosts share with no other.
func (x *Index) readHosts(tx *store.Tx, ids []identity.HostID) error {
	for _, id := range ids {
		h, known, err := tx.Host(id)
		if err != nil {
			return err
		}
		if !known || !h.RemovedAt.IsZero() {
			delete(x.things, h.Index)
			r, linked, err := asset.OfHost(tx, id)
			if err == nil && linked {
				err = x.readAsset(tx, r.ID, map[identity.HostID]bool{})
			}
			if err != nil {
				return err
			}
			continue
		}
		text, err := textOf(func(fn func(value)) error { return hostValues(tx, h, x.own, fn) })
		if err != nil {
			return err
		}
		x.things[h.Index] = &thing{host: id, name: h.Name, tags: h.Tags, text: text}
		if r, linked, err := asset.OfHost(tx, id); err != nil {
			return err
		} else if linked {
			delete(x.things, assetBase|uint32(r.ID))
		}
	}
	return nil
}

// find calls fn for each item whose text holds the word, with the best rank.
func (s *segment) find(word []byte, fn func(id uint32, r rank)) {
	for pos := 0; pos < len(s.text); {
		at := bytes.Index(s.text[pos:], word)
		if at < 0 {
			return
		}
		at += pos
		i, found := slices.BinarySearch(s.starts, uint32(at))
		if !found {
			i--
		}
		end := len(s.text)
		if i+1 < len(s.starts) {
			end = int(s.starts[i+1])
		}
		fn(s.ids[i], rankIn(s.text[s.starts[i]:end], word))
		pos = end
	}
}
