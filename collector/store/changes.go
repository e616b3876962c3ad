package store

import (
	"errors"
	"fmt"
	"time"

	"atalaya/shared/facts"
	"atalaya/shared/identity"
)

// ChangeQuery selects changes of one host. The zero value selects all.
type ChangeQuery struct {
	After, Before uint64    // numbers greater and smaller; 0: no bound
	From, To      time.Time // received after From and not after To; zero: no bound
	// came about after CameFrom and not after CameTo; zero: no bound
	CameFrom, CameTo time.Time
	Section          facts.ID // 0: all
	Kind             string   // as ChangeKind.String has it; empty: all
	Limit            int      // 0: none
	NewestFirst      bool
	// Bare leaves out of rows the columns that are each host's own (see HostColumns), which
	// takes less time. What fn gets holds until it returns.
	Bare bool
}

func (tx *Tx) walkQuery(q ChangeQuery) *logWalk {
	w := tx.walkLog(q.NewestFirst, q.blockFits)
	w.reader.bare = q.Bare
	return w
}

func (q ChangeQuery) blockFits(h blockHead) bool {
	return (q.Section == 0 || h.sections&sectionBit(q.Section) != 0) &&
		h.last() > q.After && (q.Before == 0 || h.first < q.Before) &&
		(q.From.IsZero() || h.high > facts.TimeOf(q.From)) && (q.To.IsZero() || h.low <= facts.TimeOf(q.To))
}

func (q ChangeQuery) fits(g group, i int) bool {
	seq := g.first + uint64(i)
	return seq > q.After && (q.Before == 0 || seq < q.Before) && (q.Section == 0 || g.entries[i].section == q.Section) &&
		(q.Kind == "" || g.entries[i].kind.String() == q.Kind) &&
		(q.From.IsZero() || g.received > facts.TimeOf(q.From)) && (q.To.IsZero() || g.received <= facts.TimeOf(q.To)) &&
		(q.CameFrom.IsZero() || g.entries[i].at > facts.TimeOf(q.CameFrom)) && (q.CameTo.IsZero() || g.entries[i].at <= facts.TimeOf(q.CameTo))
}

// HostChanges calls fn for the changes of a host that q selects. ErrStop ends it early.
func (tx *Tx) HostChanges(id identity.HostID, q ChangeQuery, fn func(Change) error) error {
	rec, ok, err := tx.hostRecord(id)
	if err != nil || !ok {
		return err
	}
	backs, err := tx.setBacks()
	if err != nil {
		return err
	}
	return tx.walkQuery(q).host(rec.Index, q.collect(tx, backs, func(uint32) (identity.HostID, error) { return id, nil }, fn))
}

// collect gives the changes of groups that q selects to fn, up to the limit, dated as AsOf
// has them with those set-backs of the clock.
func (q ChangeQuery) collect(tx *Tx, backs []setBack, hostOf func(uint32) (identity.HostID, error), fn func(Change) error) func(group) error {
	n, rows := 0, rowReader{tx: tx, bare: q.Bare}
	return func(g group) error {
		host, err := hostOf(g.host)
		if err != nil {
			return err
		}
		for i := range g.entries {
			if q.NewestFirst {
				i = len(g.entries) - 1 - i
			}
			if len(backs) > 0 {
				g.entries[i].at = byThen(g.entries[i].at, g.first+uint64(i), backs)
			}
			if !q.fits(g, i) {
				continue
			}
			if q.Limit > 0 && n == q.Limit {
				return ErrStop
			}
			n++
			c, err := rows.change(host, g, i)
			if err != nil {
				return err
			}
			if err := fn(c); err != nil {
				return err
			}
		}
		return nil
	}
}

// FleetQuery selects changes of several hosts.
type FleetQuery struct {
	ChangeQuery
	Hosts *HostSet // nil: all
}

// ChangesBetween calls fn for the changes of the fleet that q selects, in the order of
// their numbers. ErrStop ends it early.
func (tx *Tx) ChangesBetween(q FleetQuery, fn func(Change) error) error {
	names := map[uint32]identity.HostID{}
	backs, err := tx.setBacks()
	if err != nil {
		return err
	}
	collect := q.collect(tx, backs, func(index uint32) (id identity.HostID, err error) {
		id, ok := names[index]
		if !ok {
			id, _, err = tx.HostByIndex(index)
			names[index] = id
		}
		return id, err
	}, fn)
	walk := tx.walkQuery(q.ChangeQuery)
	each := func(k, v []byte) error {
		return walk.block(k, v, func(g group) error {
			if q.Hosts != nil && !q.Hosts.Contains(g.host) {
				return nil
			}
			return collect(g)
		})
	}
	if q.NewestFirst {
		return tx.Table(tableChanges).ScanReverse(nil, nil, each)
	}
	return tx.Table(tableChanges).Scan(nil, each)
}

// Changes calls fn for the changes with numbers above after, in order; limit 0 is no
// limit. ErrStop ends it early. fn may keep the change.
func (tx *Tx) Changes(after uint64, limit int, fn func(Change) error) error {
	q := ChangeQuery{After: after, Limit: limit}
	return tx.groupsAfter(after, q.collect(tx, nil, func(index uint32) (identity.HostID, error) {
		host, _, err := tx.HostByIndex(index)
		return host, err
	}, fn))
}

// maxRead bounds the items that a rowReader keeps, some hundred bytes each.
const maxRead = 50_000

// rowReader reads the rows of entries, an item that many hosts came to once.
type rowReader struct {
	tx    *Tx
	bare  bool // without the columns that are each host's own
	items map[uint32]Item
}

func (r *rowReader) item(id uint32) (Item, error) {
	it, ok := r.items[id]
	if ok {
		return it, nil
	}
	it, err := r.tx.item(id)
	if err == nil && len(r.items) < maxRead {
		if r.items == nil {
			r.items = map[uint32]Item{}
		}
		r.items[id] = it
	}
	return it, err
}

// row returns the key and the row that r refers to.
func (r *rowReader) row(section facts.ID, at ref) (key string, data []byte, err error) {
	if at.item == 0 {
		return at.key, at.data, nil
	}
	it, err := r.item(at.item)
	if err != nil {
		return "", nil, err
	}
	if r.bare {
		at.data = nil
	}
	data, err = it.row(section, at.data)
	return it.Key, data, err
}

// change gives an entry as others see it.
func (r *rowReader) change(host identity.HostID, g group, i int) (Change, error) {
	e := g.entries[i]
	c := Change{
		Seq: g.first + uint64(i), Host: host, Section: e.section, Kind: e.kind, Observed: e.observed.Time(), At: e.at.Time(),
		Received: g.received.Time(), Epoch: g.epoch, BatchSeq: g.batchSeq,
	}
	switch e.kind {
	case Added, Changed, Removed:
		if err := r.sides(&c, e); err != nil {
			return c, fmt.Errorf("change %d: %w", c.Seq, err)
		}
	default:
		c.Old, c.New, c.Rows, c.Lost = e.was, e.is, e.rows, e.lost
	}
	return c, nil
}

// sides fills in the rows of a change. One whose item is lost to damage is missing:
// a change of which only one side is known looks like an addition or a removal.
func (r *rowReader) sides(c *Change, e entry) error {
	read := func(side ref) (data []byte, err error) {
		var key string
		if key, data, err = r.row(e.section, side); err == nil {
			c.Key = key
			return data, nil
		}
		var damage *CorruptError
		if errors.As(err, &damage) && damage.Table == tableItems {
			c.Lost, r.tx.lacks = true, true
			return nil, nil
		}
		return nil, err
	}
	var err1, err2 error
	if e.kind != Added {
		c.Old, err1 = read(e.old)
		c.OldItem = e.old.item
	}
	if e.kind != Removed {
		c.New, err2 = read(e.new)
		c.NewItem = e.new.item
	}
	switch {
	case c.Lost && c.Old != nil:
		c.Kind = Removed
	case c.Lost && c.New != nil:
		c.Kind = Added
	}
	return errors.Join(err1, err2)
}
