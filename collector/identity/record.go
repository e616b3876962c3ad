package identity

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"
	"time"

	hostid "atalaya/shared/identity"
)

// Limits of a record.
const (
	maxEvents    = 64 // the newest stay
	maxRefused   = 8  // machines that had a copy of the key, the newest
	maxAddresses = 8
	maxLast      = 4 // as Alternates looks at
)

// Record is what is known of the identity of a host.
type Record struct {
	Facts     []hostid.Fact `json:"facts,omitempty"`
	Addresses []Address     `json:"addresses,omitempty"` // newest first
	Events    []Event       `json:"events,omitempty"`    // oldest first
	Refused   []Copy        `json:"refused,omitempty"`   // newest last

	// The last runs of its agent, epochs of its spool and boards it was seen with, for Alternates.
	Runs   []uint64 `json:"runs,omitempty"`
	Epochs []uint64 `json:"epochs,omitempty"`
	Boards []uint64 `json:"boards,omitempty"`
}

// Address is where a host came from.
type Address struct {
	Address string    `json:"address"`
	First   time.Time `json:"first"`
}

// Event is something that happened to the identity of a host, with its explanation.
type Event struct {
	At    time.Time `json:"at"`
	Kind  Kind      `json:"kind"`
	Text  string    `json:"text"`
	Lines []Line    `json:"facts,omitempty"`
	By    string    `json:"by,omitempty"`    // who did it; empty: the collector decided
	Merge uint64    `json:"merge,omitempty"` // number of the merge it tells of
	Times int       `json:"times,omitempty"` // that it happened, when more than once in a row
	Last  time.Time `json:"last,omitzero"`   // the last of them
}

// Copy is a machine that was refused because the key is another's.
type Copy struct {
	At       time.Time     `json:"at"` // first
	Last     time.Time     `json:"last"`
	Kind     Kind          `json:"kind"`
	Hostname string        `json:"hostname"`
	Address  string        `json:"address"`
	Facts    []hostid.Fact `json:"facts,omitempty"`
	Times    int           `json:"times"`
}

// Greeting is what is known when a host begins a session.
type Greeting struct {
	At       time.Time
	Name     string // the host's by now
	Hostname string // as it says
	Address  string
	Facts    []hostid.Fact
	Run      uint64 // of its agent; 0: an agent that does not tell
	Epoch    uint64
	SetBack  uint64 // how many batches the collector has that the agent has still to make; 0: none
	Live     bool   // another run of the agent is connected and answers
}

// Answer is what comes of a greeting.
type Answer struct {
	Refuse  bool   // the session
	Text    string // why, or how the host is known: for the agent
	Changed bool   // the record is
	Name    string // what the host goes on to be called; empty: as it says
}

// Greet judges a machine that begins a session with the key of the host. It changes
// the record and nothing else.
func (r *Record) Greet(g Greeting, judge Judge) Answer {
	v := SameKey(r.Facts, g.Facts, judge)
	if moved := v.Kind == BoardSwapped || v.Kind == DiskMoved; moved && Alternates(after(r.Boards, boardOf(g.Facts))) {
		v.Refuse, v.Kind, v.Text = true, Cloned, "another machine has the key, and a copy of the disk with its serial number: the two came by turns ("+v.Reasons()+")"
	}
	if v.Refuse {
		return r.refuse(g, v)
	}
	a, contested := r.contest(g, &v)
	if a.Refuse {
		return a
	}
	changed := r.turn(g)
	if v.Kind != "" {
		r.Add(Event{At: g.At, Kind: v.Kind, Text: v.Text, Lines: v.Lines})
		changed = true
	}
	if contested { // its names and addresses are those of two machines
		a.Name = g.Name
	} else if len(r.Addresses) > 0 && g.Hostname != "" && g.Name != g.Hostname { // not at its first session: the name is from the enrolment
		r.Add(Event{At: g.At, Kind: Renamed, Text: fmt.Sprintf("%s is now called %s: same key; %s", g.Name, g.Hostname, v.Reasons())})
		changed = true
	}
	if g.SetBack > 0 {
		r.Add(Event{At: g.At, Kind: SetBack, Text: fmt.Sprintf("the host was set back in time (a snapshot or a backup of it): its spool was about to make a batch that came %d batches ago; "+
			"it begins a new epoch and reports again; same key, %s", g.SetBack, v.Reasons())})
		changed = true
	}
	changed = r.address(g, &v, contested) || changed
	a.Text, a.Changed = v.Text, r.learn(g.Facts) || changed
	return a
}

// refuse notes a machine that has a copy of the key.
func (r *Record) refuse(g Greeting, v Verdict) Answer {
	text := v.Text + ". The original keeps its record; give this machine an identity of its own: stop the agent and run " +
		"`atalaya-agent enroll --replace --token-file FILE` with a new token. If it took the original's place: `atalaya host accept`"
	board := boardOf(g.Facts)
	i := slices.IndexFunc(r.Refused, func(c Copy) bool { return boardOf(c.Facts) == board })
	if i < 0 {
		r.Refused = append(r.Refused, Copy{At: g.At})
		r.Refused = r.Refused[max(0, len(r.Refused)-maxRefused):]
		i = len(r.Refused) - 1
		r.Add(Event{At: g.At, Kind: v.Kind, Text: fmt.Sprintf("%s at %s was refused: %s", g.Hostname, g.Address, v.Text), Lines: v.Lines})
	}
	c := &r.Refused[i]
	c.Last, c.Kind, c.Hostname, c.Address, c.Facts = g.At, v.Kind, g.Hostname, g.Address, g.Facts
	c.Times++
	return Answer{Refuse: true, Text: text, Changed: true}
}

// contest looks for a second agent with this key that the hardware does not tell from
// the first: one of the two folders of state is a copy, or two machines were merged. One
// that comes again tells nothing new, and for a day it may still be either.
func (r *Record) contest(g Greeting, v *Verdict) (a Answer, contested bool) {
	runs, epochs := after(r.Runs, g.Run), after(r.Epochs, g.Epoch)
	turns := Alternates(runs) || Alternates(epochs)
	if !turns && !g.Live {
		return Answer{}, false
	}
	if !g.Live && slices.Equal(runs, r.Runs) && slices.Equal(epochs, r.Epochs) {
		return Answer{}, g.At.Sub(r.contested()) < contestTime
	}
	how := "by turns"
	if g.Live {
		how = "at once"
	}
	r.Add(Event{At: g.At, Kind: Contested, Text: fmt.Sprintf("two agents use the key of this host %s, the second is %s at %s, and the hardware does not tell which has the copy (%s): "+
		"give the second an identity of its own by `atalaya-agent enroll --replace`, or take them apart by `atalaya host unmerge` where they were merged; while one is connected the other is refused", how, g.Hostname, g.Address, v.Reasons())})
	if !g.Live {
		return Answer{}, true
	}
	return Answer{Refuse: true, Changed: true, Text: "another agent with this key is connected, on this or on equal hardware (" + v.Reasons() + "): one of the two has a copy of the other's state folder. " +
		"Give this one an identity of its own: stop it and run `atalaya-agent enroll --replace --token-file FILE` with a new token"}, true
}

// contestTime is how long after two came by turns it is not known which of them one is.
const contestTime = 24 * time.Hour

// contested returns when that was last.
func (r *Record) contested() time.Time {
	for _, e := range slices.Backward(r.Events) {
		if e.Kind == Contested && e.Last.After(e.At) {
			return e.Last
		} else if e.Kind == Contested {
			return e.At
		}
	}
	return time.Time{}
}

// turn notes who came.
func (r *Record) turn(g Greeting) bool {
	runs, epochs, boards := after(r.Runs, g.Run), after(r.Epochs, g.Epoch), after(r.Boards, boardOf(g.Facts))
	changed := !slices.Equal(runs, r.Runs) || !slices.Equal(epochs, r.Epochs) || !slices.Equal(boards, r.Boards)
	r.Runs, r.Epochs, r.Boards = runs, epochs, boards
	return changed
}

// after returns the last things with the newest, which counts once in a row; 0 is none.
func after(last []uint64, newest uint64) []uint64 {
	if newest == 0 || len(last) > 0 && last[len(last)-1] == newest {
		return last
	}
	last = append(slices.Clone(last), newest)
	return last[max(0, len(last)-maxLast):]
}

// boardOf is a number for the board that facts are of; 0: they tell of none.
func boardOf(facts []hostid.Fact) uint64 {
	h, told := fnv.New64a(), false
	for _, f := range facts {
		if kinds[f.Kind].class == board && f.Junk() == "" {
			h.Write(binary.AppendUvarint([]byte{byte(f.Kind)}, uint64(len(f.Value))))
			h.Write([]byte(f.Value))
			told = true
		}
	}
	if !told {
		return 0
	}
	return h.Sum64()
}

// address notes where the host came from, and tells it unless it is contested.
func (r *Record) address(g Greeting, v *Verdict, contested bool) bool {
	if g.Address == "" || len(r.Addresses) > 0 && r.Addresses[0].Address == g.Address {
		return false
	}
	if len(r.Addresses) > 0 && !contested {
		r.Add(Event{At: g.At, Kind: AddressChanged, Text: fmt.Sprintf("comes from %s, before from %s: an address is no identity, same key; %s", g.Address, r.Addresses[0].Address, v.Reasons())})
	}
	r.Addresses = slices.DeleteFunc(r.Addresses, func(a Address) bool { return a.Address == g.Address })
	r.Addresses = slices.Insert(r.Addresses, 0, Address{g.Address, g.At})
	r.Addresses = r.Addresses[:min(len(r.Addresses), maxAddresses)]
	return true
}

// learn takes over the facts of the host: of each kind what it tells now, of those it
// does not tell (an agent that lost a right) what was known.
func (r *Record) learn(now []hostid.Fact) bool {
	var facts []hostid.Fact
	for _, f := range r.Facts {
		if !slices.ContainsFunc(now, func(n hostid.Fact) bool { return n.Kind == f.Kind }) {
			facts = append(facts, f)
		}
	}
	facts = append(facts, now...)
	slices.SortFunc(facts, func(a, b hostid.Fact) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	facts = slices.Compact(facts)
	if slices.Equal(facts, r.Facts) {
		return false
	}
	r.Facts = facts
	return true
}

// Join takes over the facts of a machine that enrolled as this host with another key.
func (r *Record) Join(facts []hostid.Fact, e Event) {
	r.learn(facts)
	r.Runs, r.Epochs, r.Boards = nil, nil, after(nil, boardOf(facts))
	r.Add(e)
}

// Accept gives the host to the machine that was refused last; false: none was.
func (r *Record) Accept(at time.Time, by string) bool {
	if len(r.Refused) == 0 {
		return false
	}
	c := r.Refused[len(r.Refused)-1]
	r.Refused = r.Refused[:len(r.Refused)-1]
	r.Facts, r.Runs, r.Epochs, r.Boards = nil, nil, nil, after(nil, boardOf(c.Facts))
	r.learn(c.Facts)
	r.Add(Event{At: at, Kind: Accepted, By: by, Text: fmt.Sprintf("the key was given to %s at %s, which was refused as %s: it is this host from now on, and the machine before it is refused", c.Hostname, c.Address, c.Kind)})
	return true
}

// Add appends an event. One like the newest counts as that once more.
func (r *Record) Add(e Event) {
	if n := len(r.Events); n > 0 {
		last := &r.Events[n-1]
		if last.Kind == e.Kind && (last.Text == e.Text || e.Kind == Contested || e.Kind == AddressChanged) && last.Merge == e.Merge {
			last.Times, last.Last, last.Text = max(last.Times, 1)+1, e.At, e.Text
			return
		}
	}
	r.Events = append(r.Events, e)
	r.Events = r.Events[max(0, len(r.Events)-maxEvents):]
}
