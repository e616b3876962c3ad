package search

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"atalaya/collector/asset"
	"atalaya/collector/store"
	"atalaya/shared/identity"
	"atalaya/shared/wire"
)

// rank says how good a match is; the smaller the better: exact before prefix before part,
// and of each what names the host before what the host has.
type rank uint8

const (
	exactName rank = iota
	exactValue
	prefixName
	prefixValue
	partName
	partValue
	noMatch
	ranks = int(noMatch)
)

// String names how a word was found.
func (r rank) String() string {
	return []string{"exact", "exact", "prefix", "prefix", "part", "part", ""}[r]
}

// rankIn is the best rank of a word in a text.
func rankIn(text, word []byte) rank {
	best := noMatch
	for pos := 1; pos < len(text); { // before the first value stands a mark
		at := bytes.Index(text[pos:], word)
		if at < 0 {
			break
		}
		at += pos
		r := partValue
		if text[at-1] < 0x20 {
			r = prefixValue
			if text[at+len(word)] < 0x20 { // a mark ends each text
				r = exactValue
			}
		}
		if text[mark(text, at)] == markIdentity {
			r--
		}
		if best = min(best, r); best == exactName {
			break
		}
		pos = at + 1
	}
	return best
}

// mark is the place of the mark before a value.
func mark(text []byte, at int) int {
	at--
	for text[at] >= 0x20 {
		at--
	}
	return at
}

// Limits of a search.
const (
	maxText  = 200 // bytes
	maxWords = 8
	minWord  = 2 // bytes
	// maxSets is how many items' sets of hosts one word reads: some tens of milliseconds.
	maxSets = 1500
	// maxMatches is how many matches of a host are told.
	maxMatches = 5
)

// Query is what to look for: words that all must be found of one host or asset, in any
// case. Quotes make several words one.
type Query struct {
	Text   string
	Offset int // hosts and assets to leave out
	Limit  int
}

// Answer is what was found.
type Answer struct {
	Groups []Group // the best first, then by name
	Total  int
	// Partial says why there may be more that was not found, empty when that is all.
	Partial string
}

// Group is a host, or an asset without one, with what matches.
type Group struct {
	Host    identity.HostID
	Asset   asset.ID // 0: a host
	Name    string
	Rank    string
	Matches []Match // the best first
	More    int     // matches that are not told
}

// Match is a text that holds a word.
type Match struct {
	Section, Column string // of facts; or "host" and "asset" with the name of the property
	Item            string // the row
	Text            string
	Rank            string
	rank            rank
}

// textError says what is wrong with the text of a query.
type textError string

func (e textError) Error() string { return string(e) }

// words takes a text apart.
func words(text string) ([][]byte, error) {
	if len(text) > maxText {
		return nil, textError(fmt.Sprintf("the text has %d bytes, %d at most", len(text), maxText))
	}
	var out [][]byte
	quoted := false
	for _, part := range strings.FieldsFunc(folded(text), func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return r == '"' || r == ' ' && !quoted
	}) {
		if len(part) < minWord {
			return nil, textError(fmt.Sprintf("%q is too short: want words of %d letters or more", part, minWord))
		}
		out = append(out, []byte(part))
	}
	if len(out) == 0 || len(out) > maxWords {
		return nil, textError(fmt.Sprintf("want 1 to %d words to look for", maxWords))
	}
	return out, nil
}

// IsText reports whether an error says what is wrong with the text of a query.
func IsText(err error) bool {
	_, ok := err.(textError)
	return ok
}

// found is what one word finds.
type found struct {
	word    []byte
	sets    [ranks]store.HostSet // of each rank, those of no better one
	items   []hit
	partial int // items whose hosts were not read
}

// hit is an item that holds a word.
type hit struct {
	id    uint32
	rank  rank
	hosts store.HostSet
}

// Find searches.
func (x *Index) Find(ctx context.Context, q Query) (out Answer, err error) {
	list, err := words(q.Text)
	if err != nil {
		return out, err
	}
	if err := x.enter(ctx); err != nil {
		return out, ErrBuilding
	}
	defer x.leave()
	if err := x.refresh(ctx); err != nil {
		return out, err
	}
	err = x.store.View(func(tx *store.Tx) error {
		var all []found
		for _, w := range list {
			f, err := x.look(ctx, tx, w)
			if err != nil {
				return err
			}
			if f.partial > 0 {
				out.Partial = fmt.Sprintf("%q is in %d more rows that hosts have, and hosts that match by these alone are left out: a longer text finds them", w, f.partial)
			}
			all = append(all, f)
		}
		sets := join(all)
		for _, s := range sets {
			out.Total += s.Len()
		}
		out.Groups, err = x.page(tx, all, sets, q)
		return err
	})
	return out, err
}

// look finds a word: in the texts of hosts, then in items until their hosts are all known.
func (x *Index) look(ctx context.Context, tx *store.Tx, word []byte) (found, error) {
	f := found{word: word}
	var direct [ranks][]uint32
	for index, t := range x.things {
		if r := rankIn(t.text, word); r < noMatch {
			direct[r] = append(direct[r], index)
		}
	}
	for _, s := range x.segments {
		s.find(word, func(id uint32, r rank) { f.items = append(f.items, hit{id: id, rank: r}) })
	}
	slices.SortStableFunc(f.items, func(a, b hit) int { return cmp.Compare(a.rank, b.rank) })
	state, next := tx.Now(), 0
	hosts := x.hosts()
	var known store.HostSet
	full := false // more rows find no more hosts
	for r := range rank(noMatch) {
		set := store.HostSetOf(direct[r]...)
		for ; next < len(f.items) && f.items[next].rank == r; next++ {
			if next >= maxSets || full {
				continue
			}
			if next%64 == 0 && ctx.Err() != nil {
				return f, ctx.Err()
			}
			with, err := state.HostsWith(store.Item{ID: f.items[next].id})
			if err != nil {
				return f, err
			}
			f.items[next].hosts = with
			set = set.Or(with)
			full = next%16 == 0 && known.Or(set).Len() >= len(x.things)
		}
		f.sets[r] = set.And(hosts).AndNot(known)
		known = known.Or(f.sets[r])
	}
	if len(f.items) > maxSets {
		if known.Len() < hosts.Len() {
			f.partial = len(f.items) - maxSets
		}
		f.items = f.items[:maxSets]
	}
	return f, nil
}

// hosts are all hosts and assets that are there.
func (x *Index) hosts() store.HostSet {
	all := make([]uint32, 0, len(x.things))
	for index := range x.things {
		all = append(all, index)
	}
	return store.HostSetOf(all...)
}

// join gives those that all words find, by the worst of their ranks.
func join(all []found) (out [ranks]store.HostSet) {
	var before store.HostSet
	reach := make([]store.HostSet, len(all)) // found with this rank or a better one
	for r := range ranks {
		for i, f := range all {
			reach[i] = reach[i].Or(f.sets[r])
		}
		both := reach[0]
		for _, set := range reach[1:] {
			both = both.And(set)
		}
		out[r] = both.AndNot(before)
		before = before.Or(both)
	}
	return out
}

// page gives the groups of a page.
func (x *Index) page(tx *store.Tx, all []found, sets [ranks]store.HostSet, q Query) (out []Group, err error) {
	skip := q.Offset
	for r, set := range sets {
		n := set.Len()
		if skip >= n {
			skip -= n
			continue
		}
		indexes := make([]uint32, 0, n)
		for index := range set.All() {
			indexes = append(indexes, index)
		}
		slices.SortFunc(indexes, func(a, b uint32) int {
			return cmp.Or(strings.Compare(x.things[a].name, x.things[b].name), cmp.Compare(a, b))
		})
		for _, index := range indexes[skip:] {
			if len(out) == q.Limit {
				return out, nil
			}
			g, err := x.group(tx, all, index)
			if err != nil {
				return nil, err
			}
			g.Rank = rank(r).String()
			out = append(out, g)
		}
		skip = 0
	}
	return out, nil
}

// group tells what of a host or an asset matches.
func (x *Index) group(tx *store.Tx, all []found, index uint32) (g Group, err error) {
	t := x.things[index]
	g = Group{Host: t.host, Asset: t.asset, Name: t.name}
	take := func(v value) {
		text := append(appendValue(nil, v), markValue)
		best := noMatch
		for _, f := range all {
			best = min(best, rankIn(text, f.word))
		}
		if best < noMatch {
			g.Matches = append(g.Matches, Match{v.section, v.column, v.item, v.text, best.String(), best})
		}
	}
	own := func(f found) bool { return rankIn(t.text, f.word) < noMatch }
	switch {
	case !slices.ContainsFunc(all, own): // only what it shares with others
	case t.asset != 0:
		r, ok, err := asset.ByID(tx, t.asset)
		if err != nil {
			return g, err
		}
		if ok {
			assetValues(r, take)
		}
	default:
		h, ok, err := tx.Host(t.host)
		if err != nil {
			return g, err
		}
		if ok {
			if err := hostValues(tx, h, x.own, take); err != nil {
				return g, err
			}
		}
	}
	if err := x.itemMatches(tx, all, index, take, &g); err != nil {
		return g, err
	}
	slices.SortStableFunc(g.Matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), strings.Compare(a.Section, b.Section), strings.Compare(a.Item, b.Item), strings.Compare(a.Column, b.Column))
	})
	if n := len(g.Matches); n > maxMatches {
		g.More += n - maxMatches
		g.Matches = g.Matches[:maxMatches]
	}
	return g, nil
}

// itemMatches tells the items of a host that match, the best of each word.
func (x *Index) itemMatches(tx *store.Tx, all []found, index uint32, take func(value), g *Group) error {
	state := tx.Now()
	read := map[uint32]bool{}
	for _, f := range all {
		n := 0
		for _, h := range f.items {
			if !h.hosts.Contains(index) || read[h.id] {
				continue
			}
			if n++; n > maxMatches {
				g.More++
				continue
			}
			read[h.id] = true
			it, err := state.Item(h.id)
			if errors.Is(err, store.ErrCorrupt) {
				continue // lost since it was read: its hosts tell it again
			}
			if err != nil {
				return err
			}
			row, err := wire.DecodeRow(it.Section, it.Data)
			if err != nil {
				return err
			}
			x.items[it.Section].each(row, take)
		}
	}
	return nil
}
