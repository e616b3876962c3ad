package inventory

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	who "atalaya/collector/identity"
	"atalaya/collector/store"
	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// ChangedQuery asks what changed on hosts between two moments.
type ChangedQuery struct {
	Hosts    []string // see Host; nil: all, or those with Tag
	Tag      string
	From, To time.Time // To zero: now
	Limit    int       // 0: all
}

// Changed is what changed, or happened, in the same way on some of the hosts that were asked about.
type Changed struct {
	Event           // of the first host; Columns and Text without what differs from host to host
	Hosts []HostRef `json:"hosts"` // the first ones
	Count int       `json:"count"` // of hosts
	Fleet int       `json:"fleet"` // hosts of the whole fleet that have now what it became, 0: not known
	Times int       `json:"times"` // changes of the row on one host in that time, at most
	Score float64   `json:"score"`

	arrivals arrivals // of FirstSeen
}

// maxChangedHosts is how many hosts a Changed names.
const maxChangedHosts = 10

// weights say how much a change of a section is likely to matter to who looks for a
// cause: software and configuration before what follows from them, and that before
// what comes and goes by itself. Others weigh otherWeight.
var weights = map[facts.ID]float64{
	facts.Packages: 1, facts.Kernel: 1, facts.OS: 1, facts.Services: 0.9, facts.Users: 0.9, facts.Groups: 0.8,
	facts.ListeningSockets: 0.7, facts.Filesystems: 0.7, facts.Interfaces: 0.6, facts.Addresses: 0.6, facts.Routes: 0.6,
	facts.BIOS: 0.8, facts.Patches: 0.2, facts.PatchState: 0.1,
}

const (
	otherWeight  = 0.5
	statusWeight = 0.2
	hostWeight   = 2    // of what happened to a host as a whole
	firstWeight  = 0.05 // of a first reading, and of what comes and goes by itself, as addresses do
)

// WhatChanged returns the net changes between two moments, those that likely matter
// most first: by section, rare before common in the fleet and among the hosts asked
// about, once before often. What came and went between the moments is left out.
func (v *View) WhatChanged(q ChangedQuery) ([]Changed, error) {
	if q.To.IsZero() {
		q.To = v.store.Now()
	}
	out := []Changed{}
	err := v.store.View(func(tx *store.Tx) error {
		if _, err := tx.AsOf(q.From); err != nil {
			return err
		}
		if err := tx.Reaches(q.To); err != nil {
			return err
		}
		hosts, names, err := q.hosts(tx)
		if err != nil {
			return err
		}
		r := ranking{tx: tx, from: q.From, to: q.To, names: names, room: v.changedRows, same: map[string]*Changed{}, fleetwide: len(q.Hosts) == 0}
		if err := r.gather(hosts); err != nil {
			return err
		}
		out = r.ranked()
		return nil
	})
	if q.Limit > 0 && len(out) > q.Limit {
		out = out[:q.Limit]
	}
	return out, err
}

// hosts resolves whom the query is about.
func (q ChangedQuery) hosts(tx *store.Tx) ([]uint32, map[[8]byte]string, error) {
	names := map[[8]byte]string{}
	var indexes []uint32
	take := func(h store.Host) error {
		names[h.ID] = h.Name
		indexes = append(indexes, h.Index)
		return nil
	}
	if q.Hosts == nil {
		err := tx.AllHosts(identity.HostID{}, func(h store.Host) error { // the removed ones too: they changed
			if q.Tag != "" && !slices.Contains(h.Tags, q.Tag) {
				return nil
			}
			return take(h)
		})
		if err != nil {
			return nil, nil, err
		}
		if q.Tag != "" && len(indexes) == 0 {
			return nil, nil, fmt.Errorf("%w: no host has the tag %q", ErrNotFound, q.Tag)
		}
	}
	for _, ref := range q.Hosts {
		h, err := FindHost(tx, ref)
		if err != nil {
			return nil, nil, err
		}
		if err := take(h); err != nil {
			return nil, nil, err
		}
	}
	return indexes, names, nil
}

type hostPlace struct {
	host [8]byte
	place
}

// netChange joins the changes of a row on a host.
type netChange struct {
	store.Change
	first []byte // what the row was before all of them
	times int
}

// Bounds of one run of WhatChanged.
const (
	// maxChangedRows is how many rows that changed are held at a time, some 100 MB.
	maxChangedRows = 200_000
	// maxChangedKinds is how many different changes an answer is made of.
	maxChangedKinds = 200_000
)

// errCrowded: more rows changed than are held at a time.
var errCrowded = errors.New("too many rows changed")

// ranking is one run of WhatChanged.
type ranking struct {
	tx       *store.Tx
	from, to time.Time
	names    map[[8]byte]string
	room     int // rows to hold at a time
	// fleetwide: no host was asked for by name.
	fleetwide bool

	order []hostPlace // of net
	net   map[hostPlace]*netChange
	begun map[identity.HostID]*beginning
	moved map[identity.HostID]map[time.Time]*decision
	keys  []string // of same
	same  map[string]*Changed
}

// gather takes in what changed on the hosts. Where that is more than there is room for it
// takes half of the hosts after the other, each with a reading of the log.
func (r *ranking) gather(hosts []uint32) error {
	r.order, r.net = nil, map[hostPlace]*netChange{}
	r.begun, r.moved = map[identity.HostID]*beginning{}, map[identity.HostID]map[time.Time]*decision{}
	set := store.HostSetOf(hosts...)
	err := r.tx.ChangesBetween(store.FleetQuery{ChangeQuery: store.ChangeQuery{From: r.from}, Hosts: &set}, func(c store.Change) error {
		if !c.At.After(r.from) || c.At.After(r.to) {
			return nil
		}
		if r.add(c); len(r.net) > r.room && len(hosts) > 1 {
			return errCrowded
		}
		return nil
	})
	if errors.Is(err, errCrowded) {
		half := len(hosts) / 2
		if err := r.gather(hosts[:half]); err != nil {
			return err
		}
		return r.gather(hosts[half:])
	}
	if err != nil {
		return err
	}
	if err := r.group(); err != nil {
		return err
	}
	return r.happened(hosts)
}

func (r *ranking) add(c store.Change) {
	if r.decided(c) || r.begins(c) {
		return
	}
	p := hostPlace{c.Host, place{c.Section, c.Key, c.Key == "" && c.Kind > store.Removed}}
	n := r.net[p]
	if n == nil {
		n = &netChange{first: c.Old}
		r.net[p] = n
		r.order = append(r.order, p)
	}
	n.Change = c
	n.times++
}

// group joins what hosts have in common.
func (r *ranking) group() error {
	for _, p := range r.order {
		n := r.net[p]
		c := n.Change
		if c.Kind <= store.StatusChanged {
			if c.Old = n.first; string(c.Old) == string(c.New) {
				continue
			}
		}
		switch {
		case c.Kind > store.Removed:
		case c.Old == nil:
			c.Kind = store.Added
		case c.New == nil:
			c.Kind = store.Removed
		default:
			c.Kind = store.Changed
		}
		e, err := event(c)
		if err != nil {
			return err
		}
		if e, err = withoutOwn(e, c); err != nil || e.Text == "" || elsewhere(e, c) {
			continue // only what is each host's own differs
		}
		g, fresh, err := r.join(fmt.Sprint(e.Section, "\x00", c.Key, "\x00", e.Kind, "\x00", e.Text), e, c.Host, n.times)
		if err != nil {
			return err
		}
		if fresh {
			if g.Fleet, err = r.fleet(c); err != nil {
				return err
			}
		}
	}
	r.order, r.net = nil, nil
	return nil
}

// join counts an event of a host among those of the same key; fresh: it is the first.
func (r *ranking) join(key string, e Event, host identity.HostID, times int) (g *Changed, fresh bool, err error) {
	g = r.same[key]
	if fresh = g == nil; fresh {
		if len(r.same) >= maxChangedKinds {
			return nil, false, fmt.Errorf("%w: more than %d different changes; ask for a shorter time, a tag, or hosts by name", ErrTooMany, maxChangedKinds)
		}
		g = &Changed{Event: e}
		r.same[key] = g
		r.keys = append(r.keys, key)
	}
	g.Count++
	g.Times = max(g.Times, times)
	if len(g.Hosts) < maxChangedHosts {
		g.Hosts = append(g.Hosts, HostRef{host, r.names[host]})
	}
	return g, fresh, nil
}

// ranked sorts what there is.
func (r *ranking) ranked() []Changed {
	out := make([]Changed, len(r.keys))
	for i, key := range r.keys {
		out[i] = *r.same[key]
		out[i].Score = out[i].score()
	}
	slices.SortStableFunc(out, func(a, b Changed) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), b.At.Compare(a.At))
	})
	return out
}

// withoutOwn takes the columns that are each host's own out of an event.
func withoutOwn(e Event, c store.Change) (Event, error) {
	own := store.HostColumns(c.Section)
	if len(own) == 0 || c.Kind > store.Removed {
		return e, nil
	}
	e.Columns = slices.DeleteFunc(e.Columns, func(c Column) bool { return slices.Contains(own, c.Name) })
	e.Text = text(e)
	return e, nil
}

// fleet returns how many hosts have now what a row became, or what it was when it went.
func (r *ranking) fleet(c store.Change) (int, error) {
	row := c.New
	if row == nil {
		row = c.Old
	}
	if c.Kind > store.Removed || row == nil {
		return 0, nil
	}
	state := r.tx.Now()
	it, found, err := state.ItemOf(c.Section, c.Key, row)
	if err != nil || !found {
		return 0, err
	}
	return state.Count(it)
}

func (c Changed) score() float64 {
	weight, ok := otherWeight, false
	if sec, known := facts.ByName(c.Section); known {
		if weight, ok = weights[sec.ID]; !ok {
			weight = otherWeight
		}
	}
	switch {
	case c.Kind == store.StatusChanged.String():
		weight = statusWeight
	case c.Kind == FirstReading, c.Kind == string(who.AddressChanged), c.Kind == string(who.Enrolled):
		weight = firstWeight
	case c.Section == HostEvents:
		weight = hostWeight
	}
	common := float64(max(c.Fleet, c.Count, 1))
	return weight / (1 + math.Log2(common)/8) / (1 + math.Log2(float64(max(c.Times, 1))))
}
