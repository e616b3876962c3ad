package cmdb

import (
	"fmt"

	"atalaya/collector/store"
)

// Step is one relation on the way from what fails to what is hit.
type Step struct {
	From     string `json:"from"`     // id
	Relation string `json:"relation"` // read from From
	To       string `json:"to"`       // id
}

// Hit is an item that a failure reaches, by a shortest way.
type Hit struct {
	Item  Item   `json:"item"`
	Depth int    `json:"depth"` // relations in between
	Why   []Step `json:"why"`
}

// Result is what fails with an item.
type Result struct {
	Item      Item  `json:"item"`
	Hits      []Hit `json:"hits"`      // nearest first
	Truncated bool  `json:"truncated"` // there are more than were returned
}

// maxHits bounds an impact walk: more than that nobody reads, and a fleet-wide library
// reaches everything.
const maxHits = 10_000

// Impact walks the relations from an item in the direction in which failure travels
// and returns what it reaches within depth relations; depth 0 is no bound.
func (v *View) Impact(ref string, depth int) (res Result, err error) {
	err = v.store.View(func(tx *store.Tx) error {
		w := walk{reader: reader{tx: tx}, depth: depth, seen: map[string]bool{}}
		start, err := w.find(ref)
		if err != nil {
			return err
		}
		if w.res.Item, err = w.describe(start); err != nil {
			return err
		}
		w.res.Hits = []Hit{}
		w.seen[w.res.Item.ID] = true
		if err := w.expand(w.res.Item, nil); err != nil {
			return err
		}
		// Breadth first: the first way found to an item is a shortest one.
		for i := 0; i < len(w.res.Hits); i++ {
			if err := w.expand(w.res.Hits[i].Item, w.res.Hits[i].Why); err != nil {
				return err
			}
		}
		res = w.res
		return nil
	})
	return res, err
}

// walk is one run of Impact. seen keeps it from going in circles.
type walk struct {
	reader
	depth int
	seen  map[string]bool
	res   Result
}

// expand adds what a failure of from, reached by why, hits next.
func (w *walk) expand(from Item, why []Step) error {
	if w.res.Truncated || w.depth > 0 && len(why) == w.depth {
		return nil
	}
	it, err := parseID(from.ID)
	if err != nil {
		return fmt.Errorf("impact: %w", err)
	}
	related, err := w.related(it)
	if err != nil {
		return err
	}
	for _, r := range related {
		if w.seen[r.Item.ID] || r.source != (r.relation.Impact == HitsTarget) {
			continue
		}
		if len(w.res.Hits) == maxHits {
			w.res.Truncated = true
			return nil
		}
		w.seen[r.Item.ID] = true
		path := append(append([]Step(nil), why...), Step{from.ID, r.Relation, r.Item.ID})
		w.res.Hits = append(w.res.Hits, Hit{Item: r.Item, Depth: len(path), Why: path})
	}
	return nil
}
