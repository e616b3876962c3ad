package identity

import (
	"fmt"

	hostid "atalaya/shared/identity"
)

// Kind names what happened to the identity of a host.
type Kind string

// The kinds of events.
const (
	Enrolled        Kind = "enrolled"
	Renamed         Kind = "renamed"
	Reimaged        Kind = "reimaged"         // new key and installation on known hardware
	Reinstalled     Kind = "reinstalled"      // new key, the same installation: the agent lost its state
	CameBack        Kind = "came-back"        // a removed host enrolled again
	Removed         Kind = "removed"          // by an administrator
	Revived         Kind = "revived"          // by an administrator
	BoardSwapped    Kind = "board-swapped"    //
	DiskMoved       Kind = "disk-moved"       // into another chassis
	CardReplaced    Kind = "nic-replaced"     //
	DiskReplaced    Kind = "disk-replaced"    //
	HardwareChanged Kind = "hardware-changed" // otherwise
	StateCopied     Kind = "state-copied"     // refused: the key is used on another machine
	Cloned          Kind = "vm-cloned"        // refused: the whole disk is
	Contested       Kind = "contested"        // two agents use one key and nothing tells which is the first
	SetBack         Kind = "set-back"         // snapshot rolled back, or a backup restored
	AddressChanged  Kind = "address-changed"  //
	LookAlike       Kind = "look-alike"       // enrolled as a host of its own although much agrees with another
	Accepted        Kind = "accepted"         // an administrator gave the key to a machine that was refused
	Merged          Kind = "merged"           //
	Unmerged        Kind = "unmerged"         //
)

// Bars of the decisions, in weights.
const (
	// joinBar: a UUID and a MAC, or a MAC and the machine-id, with nothing against them.
	joinBar = 80
	// otherBar is what must differ, with nothing on the side of the same: a UUID alone.
	otherBar = 60
)

// Verdict is a decision with its reason in a line.
type Verdict struct {
	Kind   Kind // "": nothing happened
	Refuse bool // the machine is not the one whose key it has
	Text   string
	Comparison
}

// SameKey judges a machine that has the key of a known one. The key lives on a disk:
// where the disk is the same the installation is, whatever is around it; where the
// disk is another and the board too, the key was copied.
func SameKey(known, now []hostid.Fact, judge Judge) Verdict {
	v := Verdict{Comparison: Compare(known, now, judge)}
	agree, differ := v.hardware()
	switch {
	case agree == 0 && differ == 0:
		v.Text = "known by its key; " + v.Reasons()
	case v.other(agree, differ):
		v.Refuse, v.Kind = true, StateCopied
		what := "its state folder was copied"
		if v.machineID == Agrees {
			v.Kind, what = Cloned, "its whole disk was copied, machine-id too"
		}
		v.Text = fmt.Sprintf("another machine has the key: %s (%s)", what, v.Reasons())
	case v.swapped && v.boardAgrees == 0 && v.disk == Agrees && v.nic != Agrees:
		v.Kind, v.Text = DiskMoved, "the disk was moved into another chassis: "+v.Reasons()
	case v.swapped:
		v.Kind, v.Text = BoardSwapped, "the board was swapped: "+v.Reasons()
	case v.boardDiffers > 0:
		v.Kind, v.Text = HardwareChanged, "the hardware changed: "+v.Reasons()
	case v.nic == Differs:
		v.Kind, v.Text = CardReplaced, "the network card was replaced: "+v.Reasons()
	case v.disk == Differs:
		v.Kind, v.Text = DiskReplaced, "the disk was replaced: "+v.Reasons()
	default:
		v.Text = "same machine: " + v.Reasons()
	}
	return v
}

// other reports whether the facts are those of another machine: enough differs, the
// disk is not the same, and at most what machines share (an enclosure's serial number,
// a network card that travels) agrees.
func (v *Verdict) other(agree, differ int) bool {
	if v.disk == Agrees || differ < otherBar {
		return false
	}
	if agree == 0 {
		return true
	}
	return v.disk == Differs && agree < 50 && differ >= 100
}

// SameMachine judges a machine with a key of its own against a known one: whether it
// is that one, installed anew.
func SameMachine(known, now []hostid.Fact, judge Judge) Verdict {
	v := Verdict{Comparison: Compare(known, now, judge)}
	sum := v.For - v.Against
	switch {
	case v.uuidDiffers:
		v.Refuse, v.Text = true, "another machine: the system UUID differs; "+v.Reasons()
	case v.For == 0 && v.Against == 0 && v.machineID == "":
		v.Refuse, v.Text = true, v.Reasons()
	case !v.anchored && v.machineID == Agrees:
		v.Refuse, v.Text = true, "the machine-id agrees, and no UUID, network card or disk that would prove more: the same installation whose agent lost its state, or a copy of its disk; "+v.Reasons()
	case !v.anchored:
		v.Refuse, v.Text = true, "no UUID, network card or disk agrees; "+v.Reasons()
	case sum < joinBar:
		v.Refuse, v.Text = true, fmt.Sprintf("not enough agrees: %d for and %d against, %d more than against are needed; %s", v.For, v.Against, joinBar, v.Reasons())
	case v.machineID == Agrees:
		v.Kind, v.Text = Reinstalled, "the agent was installed anew and lost its state: new key, same machine and installation; "+v.Reasons()
	default:
		v.Kind, v.Text = Reimaged, "the machine was installed anew: new key, same hardware; "+v.Reasons()
	}
	return v
}

// Alternates reports whether two things came by turns, twice each: of what follows one
// after the other neither comes back, when a machine is restarted, repaired or set
// back to a snapshot.
func Alternates(last []uint64) bool {
	n := len(last)
	return n >= 4 && last[n-1] == last[n-3] && last[n-2] == last[n-4] && last[n-1] != last[n-2]
}
