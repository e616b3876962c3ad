package sim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"atalaya/shared/facts"
	"atalaya/shared/wire"
)

// Host is one simulated host after some of its changes. Not safe for concurrent use.
type Host struct {
	fleet  *Fleet
	number int
	step   int // changes that have happened
	role   int
	level  map[int32]int8 // version of each product that is installed
	users  int            // people with an account
	ports  map[int]string // listening, with the process
	failed int            // service that has failed; 0: none
	sent   map[facts.ID]facts.Digest
}

// NewHost returns host number n at its installation, before its first change.
func (f *Fleet) NewHost(n int) *Host {
	h := &Host{
		fleet: f, number: n, level: make(map[int32]int8, f.shape.Packages),
		ports: map[int]string{22: "sshd"}, sent: map[facts.ID]facts.Digest{},
	}
	r := h.random(0)
	h.role, h.users = r.IntN(roles), 1+r.IntN(4)
	base := int8(r.IntN(levels / 2))
	for _, p := range f.roles[h.role] {
		h.level[p] = base
		if r.IntN(40) == 0 { // it lags behind, or came from elsewhere
			h.level[p] = int8(r.IntN(levels / 2))
		}
	}
	for range ownPackages {
		h.level[int32(r.IntN(len(f.products)))] = base
	}
	switch h.role % 3 {
	case 0:
		h.ports[80], h.ports[443] = "nginx", "nginx"
	case 1:
		h.ports[5432] = "postgres"
	}
	return h
}

// random is the source of the host's step-th change; step 0 is its installation.
func (h *Host) random(step int) *rand.Rand {
	return rand.New(rand.NewPCG(h.fleet.shape.Seed^uint64(h.number)<<20, uint64(step)))
}

// Name is the host's name.
func (h *Host) Name() string { return h.fleet.shape.hostName(h.number) }

// machine is the host's number among those of all fleets.
func (h *Host) machine() uint64 { return uint64(h.fleet.shape.mark())<<32 | uint64(h.number) }

// Step counts the changes so far.
func (h *Host) Step() int { return h.step }

// Sections are those that a simulated host reports.
func Sections() []facts.ID {
	return []facts.ID{
		facts.OS, facts.Kernel, facts.System, facts.BIOS, facts.CPUs, facts.MemoryModules, facts.BlockDevices, facts.Filesystems,
		facts.Interfaces, facts.Addresses, facts.ListeningSockets, facts.Packages, facts.PatchState, facts.Services, facts.Users, facts.Groups,
	}
}

// absent is the level of a product that is not installed.
const absent = -1

// move is a product that goes from one level to another.
type move struct {
	product  int32
	from, to int8
}

// maxTries bounds the search for something that can change.
const maxTries = 100

// Change makes the next change of the host and returns what an agent would report of
// it: the one section that is different, as a delta, with the number of rows in it.
func (h *Host) Change(at int64) (u wire.SectionUpdate, rows int) {
	h.step++
	r := h.random(h.step)
	for try := 0; rows == 0 && try < maxTries; try++ { // what is newest cannot be upgraded
		u, rows = h.change(r, at)
	}
	return u, rows
}

// change makes a change, or none where what was picked cannot change.
func (h *Host) change(r *rand.Rand, at int64) (wire.SectionUpdate, int) {
	switch n := r.IntN(100); {
	case n < 55:
		return h.packages(at, h.upgrade(r))
	case n < 65:
		return h.packages(at, h.install(r))
	case n < 75:
		return h.packages(at, h.remove(r))
	default:
		section, before := h.small(r, n)
		return h.section(at, section, before)
	}
}

// upgrade brings some packages to the next version, as a patch day does.
func (h *Host) upgrade(r *rand.Rand) []move {
	list := h.fleet.roles[h.role]
	var moves []move
	for range 1 + r.IntN(12) {
		p := list[r.IntN(len(list))]
		l, ok := h.level[p]
		if ok && l < levels-1 && !slices.ContainsFunc(moves, func(m move) bool { return m.product == p }) {
			moves = append(moves, move{p, l, l + 1})
		}
	}
	return moves
}

func (h *Host) install(r *rand.Rand) []move {
	p := int32(r.IntN(len(h.fleet.products)))
	if _, ok := h.level[p]; ok {
		return nil
	}
	return []move{{p, absent, 0}}
}

func (h *Host) remove(r *rand.Rand) []move {
	if len(h.level) == 0 {
		return nil
	}
	list := slices.Sorted(maps.Keys(h.level))
	p := list[r.IntN(len(list))]
	return []move{{p, h.level[p], absent}}
}

// packages carries out moves and reports them.
func (h *Host) packages(at int64, moves []move) (wire.SectionUpdate, int) {
	u := wire.SectionUpdate{Section: facts.Packages, Status: facts.StatusOK, At: at}
	d := h.sent[facts.Packages]
	var put []facts.Item
	for _, m := range moves {
		if m.from != absent {
			d = d.Minus(item(h.packageRow(m.product, m.from)))
		}
		if m.to == absent {
			delete(h.level, m.product)
			u.Removed = append(u.Removed, h.packageRow(m.product, m.from).Key())
			continue
		}
		h.level[m.product] = m.to
		put = append(put, item(h.packageRow(m.product, m.to)))
		d = d.Plus(put[len(put)-1])
	}
	u.Put, u.Digest, h.sent[facts.Packages] = dataOf(put), d, d
	return u, len(moves)
}

// small changes something other than packages and returns the section with its rows
// as they were.
func (h *Host) small(r *rand.Rand, n int) (facts.ID, []facts.Item) {
	switch {
	case n < 82:
		before := items(h.rows(facts.Users))
		h.users = max(1, h.users+2*r.IntN(2)-1)
		return facts.Users, before
	case n < 90:
		before := items(h.rows(facts.Services))
		h.failed = r.IntN(len(services) + 1)
		return facts.Services, before
	}
	before := items(h.rows(facts.ListeningSockets))
	port := 8000 + r.IntN(20)
	if h.ports[port] != "" {
		delete(h.ports, port)
	} else {
		h.ports[port] = "java"
	}
	return facts.ListeningSockets, before
}

// section reports how a small section differs from what it was.
func (h *Host) section(at int64, id facts.ID, before []facts.Item) (wire.SectionUpdate, int) {
	now := items(h.rows(id))
	d := facts.Diff(before, now)
	digest := facts.DigestOf(now)
	h.sent[id] = digest
	u := wire.SectionUpdate{Section: id, Status: facts.StatusOK, At: at, Digest: digest, Put: dataOf(d.Put), Removed: d.Removed}
	return u, len(d.Put) + len(d.Removed)
}

// Whole reports sections whole, all of them when none is named.
func (h *Host) Whole(at int64, ids ...facts.ID) []wire.SectionUpdate {
	if len(ids) == 0 {
		ids = Sections()
	}
	var out []wire.SectionUpdate
	for _, id := range ids {
		list := items(h.rows(id))
		digest := facts.DigestOf(list)
		h.sent[id] = digest
		out = append(out, wire.SectionUpdate{Section: id, Status: facts.StatusOK, At: at, Digest: digest, Full: true, Put: dataOf(list)})
	}
	return out
}

// Unchanged reports that all sections were looked at and are as before.
func (h *Host) Unchanged(at int64) []wire.SectionUpdate {
	var out []wire.SectionUpdate
	for _, id := range Sections() {
		out = append(out, wire.SectionUpdate{Section: id, Status: facts.StatusOK, At: at, Digest: h.sent[id]})
	}
	return out
}

// items encodes rows and sorts them. The rows are ours: that they cannot be encoded
// is a mistake in this package.
func items(rows []facts.Row) []facts.Item {
	list, err := wire.Items(facts.Sort(rows))
	if err != nil {
		panic(err)
	}
	return list
}

func item(row facts.Row) facts.Item { return items([]facts.Row{row})[0] }

func dataOf(list []facts.Item) [][]byte {
	slices.SortFunc(list, func(a, b facts.Item) int { return strings.Compare(a.Key, b.Key) })
	var out [][]byte
	for _, it := range list {
		out = append(out, it.Data)
	}
	return out
}
