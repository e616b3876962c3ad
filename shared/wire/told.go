package wire

import (
	"encoding/binary"
	"fmt"

	"atalaya/shared/facts"
)

// Most readings of most sections say what the one before said. From version 2 on such
// an update, in which but for the time all is as the last update of its section on the
// same stream had it, is an entry of key 10 of the batch:
//
//	section  uvarint: zigzag of the difference to the section of the entry before (the
//	         first: to 0), times 2, plus 1 when a count follows
//	count    uvarint: how many updates of key 7 come between this entry and the one before
//	time     zigzag varint, ms since the entry before (the first: since the batch's time)

const (
	// maxTold bounds the sections that can be entries, maxToldReason those by their
	// reason: a collector remembers as much of each agent.
	maxTold       = 256
	maxToldReason = 128
)

// told is what the last update said of a section; status 0: nothing.
type told struct {
	digest facts.Digest
	reason string
	status facts.Status
}

// note remembers an update.
func (c *connection) note(u *SectionUpdate) {
	if int(u.Section) >= maxTold {
		return
	}
	if need := int(u.Section) + 1 - len(c.told); need > 0 {
		c.told = append(c.told, make([]told, need)...)
	}
	t := told{u.Digest, u.Reason, u.Status}
	if len(t.reason) > maxToldReason {
		t = told{}
	}
	c.told[u.Section] = t
}

// says reports whether an update is as the one that was noted, but for the time.
func (c *connection) says(u *SectionUpdate) bool {
	return !u.Full && len(u.Put) == 0 && len(u.Removed) == 0 && u.Status != 0 &&
		int(u.Section) < len(c.told) && c.told[u.Section] == told{u.Digest, u.Reason, u.Status}
}

// repeated takes the updates that repeat others out of the list and returns them as
// entries.
func (e *MetricEncoder) repeated(updates []SectionUpdate, at int64) (changed []SectionUpdate, entries []byte) {
	between, last := 0, facts.ID(0)
	for i := range updates {
		u := &updates[i]
		if e.version < 2 || !e.says(u) {
			e.note(u)
			changed = append(changed, *u)
			between++
			continue
		}
		head := zigzag(int64(u.Section)-int64(last)) << 1
		if between > 0 {
			head |= 1
		}
		entries = binary.AppendUvarint(entries, head)
		if between > 0 {
			entries = binary.AppendUvarint(entries, uint64(between))
		}
		entries = binary.AppendVarint(entries, u.At-at)
		between, last, at = 0, u.Section, u.At
	}
	return changed, entries
}

// repeat is the inverse of repeated.
func (d *MetricDecoder) repeat(changed []SectionUpdate, entries []byte, at int64) ([]SectionUpdate, error) {
	in := input{b: entries}
	var all []SectionUpdate
	take := func(n int) {
		for i := range changed[:n] {
			d.note(&changed[i])
		}
		all, changed = append(all, changed[:n]...), changed[n:]
	}
	section := int64(0)
	for len(in.b) > 0 {
		head := in.uvarint()
		if head&1 == 1 {
			n := in.uvarint()
			if n > uint64(len(changed)) {
				in.fail("fewer updates than are counted")
				break
			}
			take(int(n))
		}
		section += unzigzag(head >> 1)
		at += in.varint()
		if section < 0 || section >= int64(len(d.told)) || d.told[section].status == 0 {
			in.fail("section repeats what was not told")
			break
		}
		if len(all) == MaxUpdates {
			return nil, fmt.Errorf("%w: more than %d updates", ErrTooLarge, MaxUpdates)
		}
		t := d.told[section]
		all = append(all, SectionUpdate{Section: facts.ID(section), Status: t.status, Reason: t.reason, At: at, Digest: t.digest})
	}
	if in.err != nil {
		return nil, in.err
	}
	take(len(changed))
	if len(all) > MaxUpdates {
		return nil, fmt.Errorf("%w: more than %d updates", ErrTooLarge, MaxUpdates)
	}
	return all, nil
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
