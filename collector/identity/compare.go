// Package identity decides whether a machine that speaks to the collector is the one
// that is known: by its key, and by weighted facts of its hardware. It only decides:
// what it is told comes in as values, and what it concludes goes out with the facts on
// which it rests. Package ledger keeps them.
//
// The rules and their weights: docs/adr/0024-identity.md.
package identity

import (
	"slices"
	"strings"

	hostid "atalaya/shared/identity"
)

// class says in which part of a machine a fact lives. A key lives on a disk.
type class uint8

const (
	board     class = iota // of the mainboard or the virtual machine
	nic                    // of its network cards
	disk                   // of its disks
	installed              // copied with the disks' content
)

// kinds gives each fact its class and weight. A fact that is unique by a standard
// (UUID, MAC, WWN) anchors: without one that agrees, nothing is taken for the same.
var kinds = map[hostid.FactKind]struct {
	class  class
	weight int
	anchor bool
}{
	hostid.FactSystemUUID:    {board, 60, true},
	hostid.FactSystemSerial:  {board, 50, false},
	hostid.FactBoardSerial:   {board, 50, false},
	hostid.FactChassisSerial: {board, 30, false}, // blades share that of their enclosure
	hostid.FactMAC:           {nic, 40, true},
	hostid.FactDisk:          {disk, 50, true},
	hostid.FactInstance:      {installed, 40, false},
	hostid.FactMachineID:     {installed, 40, false},
}

// maxCounted is how many values of one kind add to a sum: a server with eight network
// cards is no surer than one with two.
const maxCounted = 2

// Agreement says how a fact stands to what was known.
type Agreement string

// The agreements.
const (
	Agrees  Agreement = "agrees"
	Differs Agreement = "differs"
	Added   Agreement = "new"  // not known before
	Missing Agreement = "gone" // known, not told now
	Junk    Agreement = "junk" // tells nothing
)

// Line is one fact of a comparison.
type Line struct {
	Fact      string    `json:"fact"`
	Known     string    `json:"known,omitempty"`
	Now       string    `json:"now,omitempty"`
	Agreement Agreement `json:"agreement"`
	Weight    int       `json:"weight"` // what it counted: above 0 for, below against
	Why       string    `json:"why,omitempty"`
}

// Comparison weighs what is known of a machine against what one says now.
type Comparison struct {
	Lines   []Line
	For     int // sum of the weights that agree
	Against int // sum of those that differ

	anchored     bool // one that anchors agrees
	uuidDiffers  bool
	swapped      bool // UUID or serial number of the board differ
	boardAgrees  int
	boardDiffers int
	nic, disk    Agreement // "" when one side does not tell
	machineID    Agreement
}

// Judge says why a value is junk; "" when it is none. It adds to Fact.Junk what was
// learned of the fleet.
type Judge func(hostid.Fact) string

// Compare weighs two sets of facts.
func Compare(known, now []hostid.Fact, judge Judge) Comparison {
	var c Comparison
	for kind := hostid.FactSystemUUID; kind <= hostid.FactMachineID; kind++ {
		c.compareKind(kind, valuesOf(known, kind), valuesOf(now, kind), judge)
	}
	return c
}

func valuesOf(facts []hostid.Fact, kind hostid.FactKind) (values []string) {
	for _, f := range facts {
		if f.Kind == kind && !slices.Contains(values, f.Value) {
			values = append(values, f.Value)
		}
	}
	return values
}

// compareKind weighs the values of one kind. Where several may be (cards, disks) one
// that agrees is enough: the others came or went.
func (c *Comparison) compareKind(kind hostid.FactKind, known, now []string, judge Judge) {
	c.junk(kind, &known, &now, judge)
	var same, gone, come []string
	for _, v := range known {
		if slices.Contains(now, v) {
			same = append(same, v)
		} else {
			gone = append(gone, v)
		}
	}
	for _, v := range now {
		if !slices.Contains(known, v) {
			come = append(come, v)
		}
	}
	k := kinds[kind]
	for i, v := range same {
		weight := k.weight
		if i >= maxCounted {
			weight = 0
		}
		c.For += weight
		c.Lines = append(c.Lines, Line{Fact: kind.String(), Known: v, Now: v, Agreement: Agrees, Weight: weight})
	}
	switch {
	case len(same) > 0:
		c.note(kind, Agrees)
	case len(gone) > 0 && len(come) > 0:
		weight := k.weight
		if k.class == installed {
			weight = 0 // a new installation has new ones
		}
		c.Against += weight
		c.Lines = append(c.Lines, Line{Fact: kind.String(), Known: strings.Join(gone, ", "), Now: strings.Join(come, ", "), Agreement: Differs, Weight: -weight})
		c.note(kind, Differs)
		return
	}
	for _, v := range gone {
		c.Lines = append(c.Lines, Line{Fact: kind.String(), Known: v, Agreement: Missing})
	}
	for _, v := range come {
		c.Lines = append(c.Lines, Line{Fact: kind.String(), Now: v, Agreement: Added})
	}
}

// junk takes out the values that tell nothing, with a line for each.
func (c *Comparison) junk(kind hostid.FactKind, known, now *[]string, judge Judge) {
	drop := func(values *[]string, old bool) {
		*values = slices.DeleteFunc(*values, func(v string) bool {
			why := judge(hostid.Fact{Kind: kind, Value: v})
			if why == "" {
				return false
			}
			l := Line{Fact: kind.String(), Now: v, Agreement: Junk, Why: why}
			if old {
				l.Known, l.Now = v, ""
				if slices.Contains(*now, v) {
					l.Now = v
				}
			}
			if !slices.Contains(c.Lines, l) && (old || !slices.ContainsFunc(c.Lines, func(o Line) bool { return o.Fact == l.Fact && o.Now == v })) {
				c.Lines = append(c.Lines, l)
			}
			return true
		})
	}
	drop(known, true)
	drop(now, false)
}

func (c *Comparison) note(kind hostid.FactKind, a Agreement) {
	k := kinds[kind]
	if a == Agrees && k.anchor {
		c.anchored = true
	}
	switch k.class {
	case board:
		if a == Agrees {
			c.boardAgrees += k.weight
		} else {
			c.boardDiffers += k.weight
		}
		c.uuidDiffers = c.uuidDiffers || kind == hostid.FactSystemUUID && a == Differs
		c.swapped = c.swapped || a == Differs && (kind == hostid.FactSystemUUID || kind == hostid.FactBoardSerial)
	case nic:
		c.nic = a
	case disk:
		c.disk = a
	case installed:
		if kind == hostid.FactMachineID {
			c.machineID = a
		}
	}
}

// hardware is what the facts of the machine itself weigh, for and against.
func (c *Comparison) hardware() (agree, differ int) {
	agree, differ = c.boardAgrees, c.boardDiffers
	count := func(a Agreement, kind hostid.FactKind) {
		switch a {
		case Agrees:
			agree += kinds[kind].weight
		case Differs:
			differ += kinds[kind].weight
		}
	}
	count(c.nic, hostid.FactMAC)
	count(c.disk, hostid.FactDisk)
	return agree, differ
}

// Reasons tells the facts that agree and differ, in a line.
func (c *Comparison) Reasons() string {
	var yes, no []string
	for _, l := range c.Lines {
		switch l.Agreement {
		case Agrees:
			yes = append(yes, l.Fact)
		case Differs:
			no = append(no, l.Fact)
		}
	}
	yes, no = slices.Compact(yes), slices.Compact(no)
	switch {
	case len(yes)+len(no) == 0:
		return "no fact of the hardware can be compared"
	case len(no) == 0:
		return clause(yes, "agree")
	case len(yes) == 0:
		return clause(no, "differ") + ", nothing agrees"
	}
	return clause(yes, "agree") + "; " + clause(no, "differ")
}

// clause makes a list of facts the subject of a verb.
func clause(facts []string, verb string) string {
	last := len(facts) - 1
	if last == 0 {
		return facts[0] + " " + verb + "s"
	}
	return strings.Join(facts[:last], ", ") + " and " + facts[last] + " " + verb
}
